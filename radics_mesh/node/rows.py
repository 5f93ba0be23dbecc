"""The services' facts as the rows of control_shapes; those of VMs are in vm_rows."""

from __future__ import annotations

import sys

from radics_mesh.control_shapes.bundles import BundleCounts, BundleRow, Received, SightingRow
from radics_mesh.control_shapes.mesh import KnockRow, NodeInfo, NodeRow, SourceRow
from radics_mesh.dtn.agent import Delivery
from radics_mesh.ids import NodeId
from radics_mesh.knowledge.book import Entry
from radics_mesh.node.services import Services
from radics_mesh.node.sightings import WORDS, Sighting
from radics_mesh.records import Kind

# Endpoints of the node itself; no user may listen there.
INTERNAL_SERVICES = frozenset(
    {
        "echo",
        "handoff",
        "keeping",
        "mesh-keys",
        "records",
        "renewal",
        "replicas",
        "revocations",
        "scheduler",
        "sources",
        "time",
        "witness",
    }
)


def node_info(node: Services, version: str) -> NodeInfo:
    body = node.own_record.body()
    return NodeInfo(
        id=node.me.node_id.text,
        name=node.config.name,
        mesh=node.me.mesh.mesh_id.text,
        version=version,
        addresses=[str(address) for address in node.addresses()],
        arch=str(body["arch"]),
        cores=whole(body.get("cores")),
        accelerator=node.accelerator.accelerator,
        uptime_s=node.me.clock.monotonic() - node.started,
        bytes_in=node.agent.bytes_in,
        bytes_out=node.agent.bytes_out,
        scheduler=node.config.scheduler,
        time=node.timing.keeper.quality().value,
        key_epoch=node.rekeying.ring.newest.epoch,
        keys_live=len(node.rekeying.ring.live()),
        key_waits=sorted(node.names.last_of(one) for one in node.rekeying.waiting()),
    )


def node_rows(node: Services) -> list[NodeRow]:
    """This node first, then the others by name."""
    others = [
        _node_row(node, entry)
        for entry in node.directory.known(Kind.NODE)
        if entry.record.publisher != node.me.node_id
    ]
    own = _row_of_body(node, node.me.node_id, dict(node.own_record.body()), age_s=0.0, stale=False)
    return [own, *sorted(others, key=lambda row: (row["name"], row["id"]))]


def _node_row(node: Services, entry: Entry) -> NodeRow:
    return _row_of_body(
        node,
        entry.record.publisher,
        dict(entry.record.body),
        age_s=entry.age_s,
        stale=entry.stale,
    )


def _row_of_body(
    node: Services, node_id: NodeId, body: dict[str, object], *, age_s: float, stale: bool
) -> NodeRow:
    addresses = body.get("addresses")
    standing = node.liveness.standing(node_id)
    return NodeRow(
        id=node_id.text,
        name=str(body.get("name", node_id.short)),
        addresses=[
            f"{row[0]}:{row[1]}"
            for row in (addresses if isinstance(addresses, list) else [])
            if isinstance(row, (list, tuple)) and len(row) == 2
        ],
        arch=str(body.get("arch", "")),
        cores=whole(body.get("cores")),
        load=number(body.get("load")),
        memory_free=whole(body.get("memory_free")),
        memory=whole(body.get("memory")),
        vms=whole(body.get("vms")),
        rtt_s=node.contacts.rtt_s(node_id),
        connected=node_id in node.contacts.peers(),
        state=None if standing is None else standing.state.value,
        state_for_s=None if standing is None else standing.for_s,
        age_s=age_s,
        stale=stale,
        self=node_id == node.me.node_id,
    )


# --- sources, bundles, knocks -------------------------------------------------------------------


def source_rows(node: Services) -> list[SourceRow]:
    """This node's, then the others'."""
    own = node.sources.publications
    here = [_own_source(node, name) for name in sorted({*own.served, *own.broken})]
    there = [
        source_row(node, entry)
        for entry in node.directory.known(Kind.SOURCE)
        if entry.record.publisher != node.me.node_id
    ]
    return [*here, *there]


def source_row(node: Services, entry: Entry) -> SourceRow:
    """What one node says of a source."""
    if entry.publisher == node.me.node_id:
        return _own_source(node, entry.record.subject)
    return SourceRow(
        name=entry.record.subject,
        publisher=node.names.of(entry.record.publisher),
        local=False,
        rate=number(entry.record.body.get("rate")),
        messages=None,
        subscribers=None,
        age_s=entry.age_s,
        stale=entry.stale,
    )


def _own_source(node: Services, name: str) -> SourceRow:
    own = node.sources.publications
    source = own.served.get(name)
    return SourceRow(
        name=name,
        publisher=node.config.name,
        local=True,
        rate=None if source is None else source.bytes_a_second,
        messages=None if source is None else source.core.head,
        subscribers=sum(1 for row in node.sources.subscribers() if row.source == name),
        age_s=0.0,
        stale=source is None,
    )


def bundle_counts(node: Services) -> BundleCounts:
    counters = {**node.agent.counters, **node.store.counters}
    others = {
        "session": node.contacts.counters,
        "admission": node.admission.counters,
        "datagram": node.link.counters,
        "gossip": node.liveness.swim.counters,
        "records": node.comparing.entropy.counters + node.record_bundles.counters,
        "dht": node.dht.counters,
        "directory": node.directory.counters,
        "udpcl": node.datagrams.counters,
        "beacons": node.beacons,
    }
    for floor, counted in others.items():
        counters |= {f"{floor}_{name}": n for name, n in counted.items()}
    return BundleCounts(
        stored=len(node.store),
        stored_bytes=node.store.bytes_held,
        quota_bytes=node.config.store_quota_bytes,
        counters=counters,
    )


def bundle_rows(node: Services) -> list[BundleRow]:
    return [
        BundleRow(
            id=str(bundle.bundle_id),
            source=str(bundle.bundle_id.source),
            destination=str(bundle.destination),
            payload_bytes=bundle.size_bytes,
            age_s=bundle.age_s,
            expires_in_s=bundle.remaining_s,
            state=bundle.state,
        )
        for bundle in node.agent.bundles()
    ]


def knock_rows(node: Services) -> list[KnockRow]:
    return [
        KnockRow(code=k.code, name=k.name, address=str(k.address), age_s=k.age_s)
        for k in node.admission.pending()
    ]


def received(delivery: Delivery, offset: int = 0, count: int = sys.maxsize) -> Received:
    """`count` bytes of its payload from `offset` on."""
    return Received(
        id=str(delivery.bundle_id),
        source=str(delivery.source),
        signer=delivery.signer.text if delivery.signer is not None else None,
        payload=bytes(delivery.content[offset : offset + count]),
        offset=offset,
        total=len(delivery.content),
    )


def sighting_row(node: Services, sighting: Sighting) -> SightingRow:
    node_id = sighting.node.node_id
    return SightingRow(
        node=str(sighting.node) if node_id is None else node.names.of(node_id),
        what=WORDS[sighting.what],
        reason=sighting.reason,
        at=sighting.at,
        fragment=str(sighting.bundle_id) if sighting.bundle_id.offset is not None else None,
    )


def number(value: object) -> float:
    """What a record says, 0 where it says no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return float(value)


def whole(value: object) -> int:
    return int(number(value))
