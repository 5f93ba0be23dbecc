"""Bundles that wait for a contact, in groups that share a fate, and who may take which.

Sans-IO. A group is all bundles to one node, VM or foreign peer that came from one neighbour: the
same routing decision holds for all of it, so the number of decisions does not grow with the number
of bundles. Within a group: higher priority first, then order of arrival. Bundles of modules that
decide for each bundle wait in radics_mesh.dtn.routes.spread.

A bundle goes back to the neighbour it came from only when routing knows no other way (a VM has
moved behind the sender). Such a bundle, and one that has been here before, stays a while, longer
the older it is: nodes with old routes would pass it round as fast as their links allow.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from radics_mesh.clock import Monotonic
from radics_mesh.config import Foreign
from radics_mesh.dtn.routes.module import ByTarget, Handing, Module
from radics_mesh.dtn.routes.spread import Spread
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import Eid, NodeId

# How long a bundle that turns back or returns stays, at least: a share of its age within bounds.
STAY_MIN_S, STAY_MAX_S = 0.5, 10.0
_STAY_SHARE = 1 / 16
# Bundles handed on of which we still know that they were here.
_PASSED_MAX = 8192

Locate = Callable[[Eid], NodeId | None]


@dataclass(frozen=True, slots=True)
class GroupKey:
    """`target`: the destination without its service. `own`: signed by this node. `returned`: it
    has been here before.
    """

    target: str
    module: Module
    previous: NodeId | None
    own: bool
    returned: bool


@dataclass(slots=True)
class _Group:
    """`example` stands for all destinations in the group when a way is looked for."""

    example: Eid
    heap: list[tuple[int, int, Held]] = field(default_factory=list)
    # The choice made last, as long as nothing it rests on has changed.
    route: tuple[Peer | None, bool] | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """What a contact may send now, or when to ask again (None: when something changes)."""

    held: Held | None
    again: Monotonic | None = None


class Waiting:
    """What waits, and the routing decisions about it."""

    def __init__(self, own: NodeId, routes: Module | RoutingTable, locate: Locate) -> None:
        """`routes`: one module for everything, or a table."""
        self._own = own
        self.table = RoutingTable(routes) if isinstance(routes, Module) else routes
        self._locate = locate
        self._spread = Spread(self.table, self._find)
        self._groups: dict[GroupKey, _Group] = {}
        self._passed: dict[BundleId, None] = {}

    def __iter__(self) -> Iterator[Held]:
        for group in self._groups.values():
            for _, _, held in group.heap:
                yield held
        yield from self._spread

    def put(self, held: Held, now: Monotonic) -> None:
        if self._spreads(held):
            self._spread.put(held, now)
            return
        key = self._key(held)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = _Group(held.destination)
        heapq.heappush(group.heap, (-held.priority, held.key, held))

    def leads(self, held: Held, contacts: Collection[Peer], now: Monotonic) -> bool:
        """Whether one of these would get it, if they were all the contacts that there are."""
        if self._spreads(held):
            return bool(self._spread.choose(held, _members(contacts), now))
        return self._route(self._key(held), held.destination, contacts)[0] is not None

    def goes_to(
        self, held: Held, contact: Peer, contacts: Collection[Peer], now: Monotonic
    ) -> bool:
        """Whether it would be this contact's, were it here."""
        if self._spreads(held):
            return contact in self._spread.choose(held, _members(contacts), now)
        return self._route(self._key(held), held.destination, contacts)[0] == contact

    def came(self, held: Held) -> None:
        """It has arrived, with what was said about copies."""
        self.table.of(held.destination).came(held)

    def is_needless(self, held: Held) -> bool:
        """Whether a bundle that waits is one copy too many: its like has arrived."""
        return self.table.is_needless(held)

    def spare_copies(self, priority: int) -> list[Held]:
        """Of this priority at most, what was handed on and stays: what ends soonest first."""
        given = self.table.neighbours.has_given
        spare = [h for h in self._spread if h.priority <= priority and given(h.bundle_id)]
        return sorted(spare, key=lambda held: (held.priority, held.deadline))

    def arrived(self, held: Held) -> None:
        """It was delivered here, for good."""
        self.table.arrived(held)

    def hand(self, held: Held, contact: Peer) -> Handing:
        """It is about to be sent there."""
        if not isinstance(contact, NodeId) or not self._spreads(held):
            return Handing()
        return self.table.of(held.destination).hand(held, self._find(held), contact)

    def refused(self, held: Held, contact: Peer) -> None:
        """That neighbour has certainly not taken it."""
        if isinstance(contact, NodeId):
            self.table.of(held.destination).refused(held, contact)

    def gone(self, held: Held) -> None:
        """It has left this node while it was not waiting."""
        self.table.of(held.destination).gone(held)

    def _spreads(self, held: Held) -> bool:
        """Whether its module decides about each bundle; only nodes and VMs are its business."""
        destination = held.destination
        to_member = destination.node_id is not None or destination.vm_id is not None
        return (to_member or destination.is_group) and not self.table.of(destination).by_target

    def _find(self, held: Held) -> NodeId | None:
        """The node where it belongs. Late binding: asked anew at every hop."""
        if held.destination.is_group:
            return None
        return held.destination.node_id or self._locate(held.destination)

    def _key(self, held: Held) -> GroupKey:
        return GroupKey(
            target=target_of(held.destination),
            module=self.table.of(held.destination),
            previous=held.previous,
            own=held.signer == self._own,
            returned=held.bundle_id in self._passed,
        )

    def handed_on(self, held: Held, contact: Peer, handing: Handing) -> bool:
        """A neighbour has it. Whether it stays here as well.

        Should it come back when it has left, that is a loop, or a VM on the move.
        """
        if isinstance(contact, NodeId) and self._spreads(held):
            module = self.table.of(held.destination)
            if module.handed_on(held, handing, contact):
                return True
            module.gone(held)
        self.passed(held)
        return False

    def carried(self, held: Held, by: NodeId) -> bool:
        """A node has taken it from a stick. Whether it stays here as well."""
        if self._spreads(held):
            if not self.table.neighbours.lacks(by, held.bundle_id):
                return True  # the same receipt again
            module = self.table.of(held.destination)
            if module.carried(held, self._find(held), by):
                return True
            module.gone(held)
        self.passed(held)
        return False

    def passed(self, held: Held) -> None:
        """It has been here: should it come, that is not for the first time."""
        self._passed[held.bundle_id] = None
        if len(self._passed) > _PASSED_MAX:
            del self._passed[next(iter(self._passed))]

    def take_all(self, belongs: Callable[[Held], bool]) -> list[Held]:
        """Remove and return every bundle that `belongs` somewhere else now."""
        taken = [held for held in self if belongs(held)]
        gone = {held.key for held in taken}
        for group in self._groups.values():
            group.heap = [item for item in group.heap if item[1] not in gone]
            heapq.heapify(group.heap)
        for held in taken:
            self._spread.remove(held)
        return sorted(taken, key=lambda held: held.key)

    def changed(self) -> None:
        """Routes, locations or contacts are not what they were."""
        for group in self._groups.values():
            group.route = None
        self._spread.changed()

    def pick(
        self,
        contact: Peer,
        contacts: Collection[Peer],
        is_held: Callable[[Held], bool],
        now: Monotonic,
    ) -> Pick:
        """Take the best bundle for this contact out of the waiting ones."""
        best: tuple[int, int] | None = None
        chosen: _Group | None = None
        again: Monotonic | None = None
        for key, group in list(self._groups.items()):
            head = self._head(key, group, is_held)
            if head is None or self._chosen(key, group, contacts)[0] != contact:
                continue
            ready = self._ready_at(key, group, head, contacts)
            if ready > now:
                again = ready if again is None else min(again, ready)
            elif best is None or (-head.priority, head.key) < best:
                best, chosen = (-head.priority, head.key), group
        if isinstance(contact, NodeId):
            one = self._spread.head(contact, _members(contacts), is_held, now)
            if one is not None and (best is None or (-one.priority, one.key) < best):
                self._spread.remove(one)
                return Pick(one)
        if chosen is None:
            return Pick(None, again)
        return Pick(heapq.heappop(chosen.heap)[2])

    def _head(self, key: GroupKey, group: _Group, is_held: Callable[[Held], bool]) -> Held | None:
        """The group's first bundle; those that expired meanwhile are cleared away."""
        while group.heap and not is_held(group.heap[0][2]):
            heapq.heappop(group.heap)
        if not group.heap:
            del self._groups[key]
            return None
        return group.heap[0][2]

    def _ready_at(
        self, key: GroupKey, group: _Group, head: Held, contacts: Collection[Peer]
    ) -> Monotonic:
        turns_back = self._chosen(key, group, contacts)[1]
        if not turns_back and not key.returned:
            return head.received
        age_s = head.age_us / 1e6
        return Monotonic(head.received + min(STAY_MAX_S, max(STAY_MIN_S, age_s * _STAY_SHARE)))

    def _chosen(
        self, key: GroupKey, group: _Group, contacts: Collection[Peer]
    ) -> tuple[Peer | None, bool]:
        """(which contact, whether that is where it came from)."""
        if group.route is None:
            group.route = self._route(key, group.example, contacts)
        return group.route

    def _route(
        self, key: GroupKey, example: Eid, contacts: Collection[Peer]
    ) -> tuple[Peer | None, bool]:
        target = example.node_id
        if target is None and example.vm_id is not None:
            target = self._locate(example)  # late binding: asked anew at every hop
            if target is None:
                return None, False
        if target is None:
            return (_foreign(key.target, contacts) if key.own else None), False
        hops: Sequence[NodeId] = ()
        if target != self._own and isinstance(key.module, ByTarget):
            hops = key.module.next_hops(target, _members(contacts))
        onward = next((hop for hop in hops if hop != key.previous), None)
        if onward is not None:
            return onward, False
        return (hops[0], True) if hops else (None, False)


def _members(contacts: Collection[Peer]) -> list[NodeId]:
    return [peer for peer in contacts if isinstance(peer, NodeId)]


def _foreign(target: str, contacts: Collection[Peer]) -> Peer | None:
    """The foreign peer that answers for this name: nothing of others goes through it."""
    for peer in contacts:
        if isinstance(peer, Foreign) and target_of(peer.eid) == target:
            return peer
    return None


def target_of(eid: Eid) -> str:
    """`dtn://node` in `dtn://node/service`, `ipn:20` in `ipn:20.1`: what a route leads to."""
    if eid.scheme == "ipn":
        return eid.partition(".")[0]
    return f"{eid.scheme}://{eid.authority}" if eid.authority else str(eid)
