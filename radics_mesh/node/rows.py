"""The services' facts as the rows that control_api promises."""

from __future__ import annotations

from radics_mesh.control_api import (
    BundleCounts,
    BundleRow,
    KnockRow,
    Moved,
    MoveRow,
    NodeInfo,
    NodeRow,
    Received,
    SourceRow,
    VmRow,
    Whereabouts,
)
from radics_mesh.control_api import Link as LinkRow
from radics_mesh.dtn.agent import Delivery
from radics_mesh.errors import UsageError, WireError
from radics_mesh.hosting.status import MoveStats, VmStatus
from radics_mesh.ids import NodeId, VmId
from radics_mesh.knowledge.book import Entry
from radics_mesh.node.services import Services
from radics_mesh.records import Kind

# Endpoints of the node itself; no user may listen there.
INTERNAL_SERVICES = frozenset({"handoff", "sources", "scheduler"})


def node_info(node: Services, version: str) -> NodeInfo:
    body = node.describe()
    return NodeInfo(
        id=node.me.node_id.text,
        name=node.config.name,
        mesh=node.me.mesh.mesh_id.text,
        version=version,
        addresses=[str(address) for address in node.addresses()],
        arch=str(body["arch"]),
        cores=_whole(body.get("cores")),
        accelerator=node.accelerator.accelerator,
        uptime_s=node.me.clock.monotonic() - node.started,
        bytes_in=node.agent.bytes_in,
        bytes_out=node.agent.bytes_out,
        scheduler=node.config.scheduler,
    )


def node_rows(node: Services) -> list[NodeRow]:
    """This node first, then the others by name."""
    others = [
        _node_row(node, entry)
        for entry in node.directory.known(Kind.NODE)
        if entry.record.publisher != node.me.node_id
    ]
    own = _row_of_body(node, node.me.node_id, dict(node.describe()), age_s=0.0, stale=False)
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
    return NodeRow(
        id=node_id.text,
        name=str(body.get("name", node_id.short)),
        addresses=[
            f"{row[0]}:{row[1]}"
            for row in (addresses if isinstance(addresses, list) else [])
            if isinstance(row, (list, tuple)) and len(row) == 2
        ],
        arch=str(body.get("arch", "")),
        cores=_whole(body.get("cores")),
        load=_number(body.get("load")),
        memory_free=_whole(body.get("memory_free")),
        memory=_whole(body.get("memory")),
        vms=_whole(body.get("vms")),
        rtt_s=node.contacts.rtt_s(node_id),
        connected=node_id in node.contacts.peers(),
        age_s=age_s,
        stale=stale,
        self=node_id == node.me.node_id,
    )


# --- virtual machines ---------------------------------------------------------------------------


def vm_row(node: Services, name: str) -> VmRow:
    """The row of a VM of this node; UsageError when there is none of that name."""
    for row in vm_rows(node):
        if row["local"] and row["name"] == name:
            return row
    raise UsageError(f"no VM named {name} is here; `ps` lists them")


def vm_rows(node: Services) -> list[VmRow]:
    """This node's, then what the directory knows of others'."""
    own = [_own_vm(node, vm) for vm in node.hosting.vms()]
    here = {row["id"] for row in own if row["state"] != "released"}
    remote = [
        _remote_vm(node, entry)
        for entry in node.directory.known(Kind.VM)
        if entry.record.publisher != node.me.node_id and entry.record.subject not in here
    ]
    return [*own, *sorted(remote, key=lambda row: row["name"])]


def _own_vm(node: Services, vm: VmStatus) -> VmRow:
    now = node.me.clock.monotonic()
    return VmRow(
        name=vm.name,
        id=vm.vm_id.text,
        state="moving" if vm.moving else vm.state,
        epoch=vm.epoch,
        node=node.config.name,
        local=True,
        image=vm.image.hex(),
        memory=vm.memory_bytes,
        accelerator=node.accelerator.accelerator,
        sources=list(vm.sources),
        rate=node.scheduler.rate(vm.vm_id),
        moves=vm.moves,
        pinned=vm.pinned,
        uptime_s=None if vm.started_at is None else now - vm.started_at,
        boot_s=vm.boot_s,
        pid=vm.pid,
        status=vm.status,
        note=vm.note or None,
    )


def _remote_vm(node: Services, entry: Entry) -> VmRow:
    body = entry.record.body
    image = body.get("image")
    return VmRow(
        name=str(body.get("name", "")),
        id=entry.record.subject,
        state=str(body.get("state", "")) + (" (stale)" if entry.stale else ""),
        epoch=_whole(body.get("epoch")),
        node=node.name_of(entry.record.publisher),
        local=False,
        image=image.hex() if isinstance(image, bytes) else "",
        memory=_whole(body.get("memory")),
        accelerator=None,
        sources=[],
        rate=0.0,
        moves=max(0, _whole(body.get("epoch")) - 1),
        pinned=False,
        uptime_s=None,
        boot_s=None,
        pid=None,
        status=None,
        note=None,
    )


def move_rows(node: Services) -> list[MoveRow]:
    return [
        MoveRow(
            name=name,
            peer=node.name_of(move.peer),
            outward=move.outward,
            epoch=move.epoch,
            snapshot_bytes=move.snapshot_bytes,
            sent_bytes=move.sent_bytes,
            pause_s=move.pause_s,
            answered_s=move.answered_s,
            resume_s=move.resume_s,
            at=move.at,
        )
        for name, move in node.hosting.moves()
    ]


def moved(node: Services, name: str, move: MoveStats) -> Moved:
    """What a move cost, as this node saw it."""
    return Moved(
        name=name,
        source=node.config.name,
        target=node.name_of(move.peer),
        epoch=move.epoch,
        bytes=move.sent_bytes,
        downtime_s=move.answered_s,
    )


def whereabouts(node: Services, name: str) -> Whereabouts:
    """From local knowledge; the caller has looked the name up. UsageError when it is unknown."""
    for vm in node.hosting.vms():
        if vm.name == name and vm.state != "released":
            return _whereabouts(node, name, vm.vm_id, vm.state, 0.0, stale=False)
    for entry in node.directory.known(Kind.VM_NAME, name):
        vm_id = entry.record.body.get("vm")
        if isinstance(vm_id, str) and not entry.record.withdrawn:
            return _remote_whereabouts(node, name, vm_id)
    raise UsageError(f"no VM named {name} is known here; `ps` lists those that are")


def _remote_whereabouts(node: Services, name: str, text: str) -> Whereabouts:
    try:
        vm_id = VmId.parse(text)
    except WireError as error:
        raise UsageError(f"{name} is advertised with a VM id that is none") from error
    known = node.directory.known_vm(vm_id)
    if known is None:
        raise UsageError(f"{name} is advertised, but its holder's record has not been found yet")
    state = str(known.record.body.get("state", ""))
    return _whereabouts(node, name, vm_id, state, known.entry.age_s, stale=known.entry.stale)


def _whereabouts(
    node: Services, name: str, vm_id: VmId, state: str, age_s: float, *, stale: bool
) -> Whereabouts:
    chain = node.directory.ownership(vm_id)
    if chain is None:
        raise UsageError(f"the ownership chain of {name} is not known here")
    first = NodeId.of_key(chain.birth.holder)
    links = [LinkRow(epoch=1, holder=node.name_of(first), snapshot=None)]
    for link in chain.links:
        holder = node.name_of(NodeId.of_key(link.holder))
        links.append(LinkRow(epoch=link.epoch, holder=holder, snapshot=link.snapshot.hex()))
    return Whereabouts(
        name=name,
        id=vm_id.text,
        node=node.name_of(chain.holder),
        state=state,
        age_s=age_s,
        stale=stale,
        chain=links,
    )


# --- sources, bundles, knocks -------------------------------------------------------------------


def source_rows(node: Services) -> list[SourceRow]:
    """This node's, then the others'."""
    own = node.sources.publications
    here = [_own_source(node, name) for name in sorted({*own.served, *own.broken})]
    there = [
        SourceRow(
            name=entry.record.subject,
            publisher=node.name_of(entry.record.publisher),
            local=False,
            rate=_number(entry.record.body.get("rate")),
            messages=None,
            subscribers=None,
            age_s=entry.age_s,
            stale=entry.stale,
        )
        for entry in node.directory.known(Kind.SOURCE)
        if entry.record.publisher != node.me.node_id and not entry.record.withdrawn
    ]
    return [*here, *there]


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
    counters |= {f"session_{name}": n for name, n in node.contacts.counters.items()}
    counters |= {f"datagram_{name}": n for name, n in node.link.counters.items()}
    counters |= {f"directory_{name}": n for name, n in node.directory.counters.items()}
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


def received(delivery: Delivery) -> Received:
    return Received(
        id=str(delivery.bundle_id),
        source=str(delivery.source),
        signer=delivery.signer.text if delivery.signer is not None else None,
        payload=delivery.payload,
    )


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 0.0
    return float(value)


def _whole(value: object) -> int:
    return int(_number(value))
