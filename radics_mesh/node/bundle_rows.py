"""Bundles and contacts in full, as control_shapes has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from radics_mesh.clock import Wall
from radics_mesh.config import Address, Foreign
from radics_mesh.control_shapes.bundles import (
    BundleInfo,
    BundleRow,
    BundleWhy,
    CopyRow,
    HopRow,
    TransferRow,
)
from radics_mesh.control_shapes.contacts import ContactRow
from radics_mesh.dtn.agent import Contact
from radics_mesh.dtn.handling.departures import Departure
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.rules.reports import asked_for
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.admin_records import Status
from radics_mesh.dtn.wire.bundle import (
    BULK,
    CUSTODY,
    EXPEDITED,
    MUST_NOT_FRAGMENT,
    NORMAL,
    BundleId,
)
from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import NONE_EID, Eid, NodeId
from radics_mesh.node import rows
from radics_mesh.node.contact_log import Met
from radics_mesh.node.plans import Expected, expected, way_of
from radics_mesh.node.services import Services
from radics_mesh.node.sightings import WORDS, Sighting, holders, path
from radics_mesh.node.verdicts import FLYING, FULL, NEXT, REFUSED, verdict
from radics_mesh.wording import duration

_PRIORITIES = {BULK: "bulk", NORMAL: "normal", EXPEDITED: "expedited"}
# Planned contacts that begin within this time are listed among the others, so many at most.
EXPECTED_S, EXPECTED_MAX = 86_400.0, 20


def bundle_row(node: Services, held: Held) -> BundleRow:
    now = node.me.clock.monotonic()
    return BundleRow(
        id=str(held.bundle_id),
        source=str(held.bundle_id.source),
        destination=str(held.destination),
        payload_bytes=held.size_bytes,
        age_s=held.age_at(now) / 1e6,
        expires_in_s=max(0.0, held.deadline - now),
        state=node.agent.state_of(held),
    )


def bundle_info(node: Services, held: Held) -> BundleInfo:
    return BundleInfo(
        row=bundle_row(node, held),
        priority=_PRIORITIES[held.priority],
        lifetime_s=held.lifetime_s,
        signer=None if held.signer is None else node.names.of(held.signer),
        came_from=None if held.previous is None else node.names.of(held.previous),
        custodian=_called(node, held.custodian),
        report_to=_called(node, held.report_to),
        asks=_asks(held),
        payload_total=held.total,
        sightings=[rows.sighting_row(node, s) for s in path(node.sightings.of(held.bundle_id))],
        transfers=[
            row for contact in node.agent.contacts() for row in _transfer(node, contact, held)
        ],
    )


def _transfer(node: Services, contact: Contact, held: Held) -> Iterator[TransferRow]:
    content = contact.on_wire.get(held)
    sent = None if content is None else node.contacts.sent_of(contact.peer, content)
    if content is not None and sent is not None:
        yield TransferRow(node=node.names.of(contact.peer), sent_bytes=sent, bytes=len(content))


def _asks(held: Held) -> list[str]:
    asks = ["custody"] if held.flags & CUSTODY else []
    asks += [f"report when {WORDS[bit]}" for bit in Status if held.flags & asked_for(bit)]
    asks += ["not to be fragmented"] if held.flags & MUST_NOT_FRAGMENT else []
    return asks + (["administrative"] if held.is_administrative else [])


def _called(node: Services, eid: Eid) -> str | None:
    if eid == NONE_EID:
        return None
    return str(eid) if eid.node_id is None else node.names.of(eid.node_id)


# --- why a bundle is where it is ------------------------------------------------------------------


def why_here(node: Services, held: Held) -> BundleWhy:
    info = bundle_info(node, held)
    now = node.me.clock.monotonic()
    hops = [
        HopRow(node=node.names.of(c.peer), verdict=verdict(node.agent, c, held, now))
        for c in node.agent.contacts()
    ]
    here = CopyRow(
        node=node.config.name,
        since=node.me.clock.wall() - (now - held.received),
        known_by="stored here",
    )
    expected = [*_planned_way(node, held), *_expected(node)]
    return BundleWhy(
        id=info["row"]["id"],
        destination=str(held.destination),
        bundle=info,
        copies=[here, *_elsewhere(node, held.bundle_id)],
        hops=hops,
        expected=expected,
        stored_bytes=node.store.bytes_held,
        quota_bytes=node.config.store_quota_bytes,
        source_bytes=node.store.quotas.of(held.bundle_id.source),
        source_quota_bytes=node.store.quotas.source_bytes,
        expires_in_s=info["row"]["expires_in_s"],
        unblock=_unblock(node, held, info["row"]["state"], hops),
    )


def why_elsewhere(node: Services, text: str) -> BundleWhy | None:
    """Of a bundle that has left this node, or that others have told of. UsageError: of several."""
    found = node.agent.departures.find(text)
    if len(found) > 1:
        raise UsageError(f"{text[:80]!r} may be any of {len(found)} bundles that have left")
    try:
        bundle_id = found[0] if found else BundleId.parse(text)
    except WireError:
        return None
    gone, seen = node.agent.departures.of(bundle_id), node.sightings.of(bundle_id)
    if not gone and not seen:
        return None
    if seen:
        unblock = [_last_word(node, seen)]
    else:
        to = ", ".join(_taker(node, departure) for departure in gone)
        unblock = [f"{to} is to hand it on; ask there, or send with --report to be told"]
    return BundleWhy(
        id=str(bundle_id),
        destination=str(gone[0].destination) if gone else "",
        bundle=None,
        copies=_elsewhere(node, bundle_id),
        hops=[],
        expected=_expected(node),
        stored_bytes=node.store.bytes_held,
        quota_bytes=node.config.store_quota_bytes,
        source_bytes=node.store.quotas.of(bundle_id.source),
        source_quota_bytes=node.store.quotas.source_bytes,
        expires_in_s=None,
        unblock=unblock,
    )


def _elsewhere(node: Services, bundle_id: BundleId) -> list[CopyRow]:
    """By what nodes have told; by what was handed to them, if they have told nothing."""
    seen = node.sightings.of(bundle_id)
    told = {_called(node, sighting.node) for sighting in seen}
    held = [
        CopyRow(node=_called(node, eid) or str(eid), since=since, known_by="a report")
        for eid, since in holders(seen).items()
        if eid != node.me.identity.eid
    ]
    handed = [
        CopyRow(node=_taker(node, departure), since=departure.at, known_by="handed on")
        for departure in node.agent.departures.of(bundle_id)
    ]
    is_over = any(sighting.what is Status.DELIVERED and sighting.is_end for sighting in seen)
    return held if is_over else [*held, *(row for row in handed if row["node"] not in told)]


def _taker(node: Services, departure: Departure) -> str:
    return "a stick" if departure.peer is None else node.names.of(departure.peer)


def _last_word(node: Services, seen: Sequence[Sighting]) -> str:
    last = next((s for s in seen if s.is_end), path(seen)[-1])
    who = _called(node, last.node)
    why = f": {last.reason}" if last.reason else ""
    if last.is_end:
        return f"nothing more will happen: {who} says that it was {WORDS[last.what]}{why}"
    return f"the last word is from {who}: {WORDS[last.what]}{why}"


def _expected(node: Services) -> list[str]:
    return [
        f"{node.names.of(peer)} is looked for at {_places(addresses)}"
        for peer, addresses in node.contacts.sought().items()
    ]


def _planned_way(node: Services, held: Held) -> list[str]:
    """What its contact plan has in store for it."""
    target = held.destination.node_id
    found = None if target is None else way_of(node, held, target)
    if found is None:
        return []
    module, way = found
    if way.first is None:
        return ["its contact plan knows no way there in which there is room"]
    stations = [module.node_of(contact.receiver) for contact in way.contacts]
    names = [node.names.of(station) for station in stations if station is not None]
    first = way.contacts[0]
    left_s = max(0.0, first.start - node.me.clock.wall())
    begins = f"in {duration(left_s)}" if left_s else "now"
    return [
        f"by its contact plan over {', '.join(names)}, beginning {begins};"
        f" there in {duration(way.arrival - node.me.clock.wall())}"
    ]


def _places(addresses: Sequence[Address]) -> str:
    return ", ".join(str(address) for address in addresses)


def _unblock(node: Services, held: Held, state: str, hops: list[HopRow]) -> list[str]:
    """What it waits for, the nearest thing first."""
    if state in ("local", "unclaimed"):
        service = str(held.destination).rpartition("/")[2]
        if state == "local":
            return ["its receiver takes the bundles before it"]
        return [f"somebody here receives from {service}: `recv {service}`"]
    said = []
    verdicts = {hop["verdict"].partition(";")[0] for hop in hops}
    if state == "in custody":
        said.append("the word of another custodian; without it, it is sent again")
    if FLYING in verdicts:
        said.append("the neighbour's acknowledgement")
    elif NEXT in verdicts:
        said.append("its turn: bundles before it leave first")
    elif FULL in verdicts:
        said.append("room at the neighbour that leads there")
    else:
        said.append(_no_way(node, held, verdicts))
    return said


def _no_way(node: Services, held: Held, verdicts: set[str]) -> str:
    target = held.destination.node_id
    if target is None and held.destination.vm_id is not None:
        where = node.directory.locate(held.destination)
        if where is None:
            return "word of where its VM is: no node has told so here"
        target = where
    if REFUSED in verdicts:
        return "another neighbour, or a new session with the one that refused it"
    who = str(held.destination) if target is None else node.names.of(target)
    return f"a contact that leads to {who}"


# --- contacts -------------------------------------------------------------------------------------


def contact_rows(node: Services) -> list[ContactRow]:
    """Those that are up, then those that were, then those that are looked for."""
    met = node.contact_log.rows()
    known = {one.peer for one in met}
    sought = [
        _sought_row(node, peer, _places(addresses))
        for peer, addresses in node.contacts.sought().items()
        if peer not in known
    ]
    soon = Wall(node.me.clock.wall() + EXPECTED_S)
    plans = expected(node, soon)[:EXPECTED_MAX]
    return [
        *(_contact_row(node, one) for one in met),
        *sought,
        *(_expected_row(node, one) for one in plans if one.outward),
    ]


def _contact_row(node: Services, met: Met) -> ContactRow:
    bytes_in, bytes_out, bundles_out = met.totals()
    rate_in, rate_out = met.rates()
    return ContactRow(
        node=node.names.of(met.peer),
        id=_id(met.peer),
        state="down" if met.now is None else "up",
        since=met.up_at if met.down_at is None else met.down_at,
        address=node.contacts.host_of(met.peer),
        rtt_s=node.contacts.rtt_s(met.peer),
        contacts=met.contacts,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        bundles_out=bundles_out,
        rate_in=rate_in,
        rate_out=rate_out,
        in_flight=0 if met.now is None else len(met.now.in_flight),
        refused=0 if met.now is None else len(met.now.refused),
    )


def _sought_row(node: Services, peer: Peer, address: str) -> ContactRow:
    return ContactRow(
        node=node.names.of(peer),
        id=_id(peer),
        state="sought",
        since=None,
        address=address,
        rtt_s=None,
        contacts=0,
        bytes_in=0,
        bytes_out=0,
        bundles_out=0,
        rate_in=0.0,
        rate_out=0.0,
        in_flight=0,
        refused=0,
    )


def _expected_row(node: Services, one: Expected) -> ContactRow:
    row = _sought_row(node, one.peer, "")
    row["state"], row["since"], row["rate_out"] = "expected", one.contact.start, one.contact.rate
    return row


def _id(peer: NodeId | Foreign) -> str:
    return str(peer.eid) if isinstance(peer, Foreign) else peer.text
