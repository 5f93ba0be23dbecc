"""Earliest arrival over scheduled contacts, with rates and finite capacity.

Sans-IO. Every bundle is given the way on which it arrives first: a search over contacts (Dijkstra
by time of arrival) in which a contact takes a bundle only if it can send all of it before its end,
behind what was promised room there already. The room on the way is then promised to the bundle. A
node knows its own promises only; the next one searches again, with its own.

A way is kept until its first contact is over; a bundle that is still here then is given another.
Only the first hop counts here, and it may be taken early: a neighbour is in contact when it is.
A neighbour that is in contact without being planned gets what is for itself.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.dtn.routes.contact_plan import Contact, ContactPlan, Resolve
from radics_mesh.dtn.routes.module import Handing, Module
from radics_mesh.dtn.storage.held import Held
from radics_mesh.ids import NodeId

# What hops add to a bundle: previous hop, age, a longer dictionary, segment headers.
_OVERHEAD_BYTES = 200
# How long until a bundle without a way is looked at again: promises may have come free.
_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Way:
    """The contacts to take, in order, and when the bundle arrives. No contacts: there is no way."""

    contacts: tuple[Contact, ...]
    first: NodeId | None
    arrival: Wall
    # When the way stops being one, if the bundle is still here then.
    until: Wall


class Timetable:
    """A plan with its nodes' ids, and the room promised on its contacts."""

    def __init__(self, plan: ContactPlan, resolve: Resolve) -> None:
        self._from: dict[NodeId, list[tuple[Contact, NodeId]]] = defaultdict(list)
        self._latest_ends: dict[NodeId, list[Wall]] = {}
        self._promised: dict[Contact, float] = defaultdict(float)
        # Words of the plan that stand for no node that is known.
        self.unknown: set[str] = set()
        known: dict[str, NodeId | None] = {}
        for contact in plan.contacts:
            ends = []
            for word in (contact.sender, contact.receiver):
                if word not in known:
                    known[word] = plan.node_of(word, resolve)
                ends.append(known[word])
            sender, receiver = ends
            if sender is not None and receiver is not None:
                self._from[sender].append((contact, receiver))
        self.unknown = {word for word, node in known.items() if node is None}
        for row in self._from.values():
            row.sort(key=lambda item: item[0].end)

    def earliest(self, source: NodeId, target: NodeId, size_bytes: int, now: Wall) -> Way | None:
        """The way on which that many bytes arrive first; None: there is none."""
        came: dict[NodeId, tuple[Contact, NodeId]] = {}
        best: dict[NodeId, float] = {source: now}
        heap: list[tuple[float, int, NodeId]] = [(now, 0, source)]
        done: set[NodeId] = set()
        while heap:
            here, hops, node = heapq.heappop(heap)
            if node == target:
                return self._back(came, source, target, Wall(here))
            if node in done:
                continue
            done.add(node)
            for contact, receiver in self._after(node, here):
                arrival = self.arrival(contact, size_bytes, Wall(here))
                if arrival < best.get(receiver, math.inf):
                    best[receiver] = arrival
                    came[receiver] = contact, node
                    heapq.heappush(heap, (arrival, hops + 1, receiver))
        return None

    def _after(self, node: NodeId, moment: float) -> Sequence[tuple[Contact, NodeId]]:
        row = self._from.get(node, [])
        return row[bisect_right(row, moment, key=lambda item: item[0].end) :]

    def _back(
        self,
        came: Mapping[NodeId, tuple[Contact, NodeId]],
        source: NodeId,
        target: NodeId,
        arrival: Wall,
    ) -> Way:
        contacts, first = [], target
        while target != source:
            first = target
            contact, target = came[target]
            contacts.append(contact)
        contacts.reverse()
        return Way(tuple(contacts), first, arrival, contacts[0].end)

    def arrival(self, contact: Contact, size_bytes: int, ready: Wall) -> float:
        """When it arrives if it is at the sender at `ready`; infinity: the contact is too short."""
        behind = contact.start + self._promised.get(contact, 0.0) / contact.rate
        sent = max(behind, ready) + size_bytes / contact.rate
        return sent + contact.delay_s if sent <= contact.end else math.inf

    def promise(self, contacts: Sequence[Contact], size_bytes: int) -> None:
        for contact in contacts:
            self._promised[contact] += size_bytes

    def release(self, contacts: Sequence[Contact], size_bytes: int) -> None:
        for contact in contacts:
            self._promised[contact] = max(0.0, self._promised[contact] - size_bytes)


class Planned(Module):
    """`resolve` finds nodes by what their owners call them, as soon as that is known."""

    name = "plan"

    def __init__(
        self,
        own: NodeId,
        plan: ContactPlan,
        resolve: Resolve,
        wall_at: Callable[[Monotonic], Wall],
    ) -> None:
        self._own = own
        self._plan = plan
        self._resolve = resolve
        self._wall_at = wall_at
        self._table = Timetable(plan, resolve)
        self._ways: dict[int, tuple[NodeId, Way]] = {}

    @property
    def plan(self) -> ContactPlan:
        return self._plan

    @property
    def unknown(self) -> frozenset[str]:
        """Words of the plan that stand for no node that is known."""
        return frozenset(self._table.unknown)

    def load(self, plan: ContactPlan) -> None:
        """Go by another plan from now on: every bundle is given a new way."""
        self._plan = plan
        self._table = Timetable(plan, self._resolve)
        self._ways.clear()

    def node_of(self, word: str) -> NodeId | None:
        return self._plan.node_of(word, self._resolve)

    def choose(
        self, held: Held, target: NodeId | None, contacts: Collection[NodeId], now: Monotonic
    ) -> Sequence[NodeId]:
        if target is None or target == self._own:
            return ()
        if target in contacts:
            return (target,)
        first = self.way(held, target, now).first
        return (first,) if first is not None and first in contacts else ()

    def way(self, held: Held, target: NodeId, now: Monotonic) -> Way:
        """How it will get there, by the plan."""
        wall = self._wall_at(now)
        known = self._ways.get(held.key)
        if known is not None and known[0] == target and wall < known[1].until:
            return known[1]
        self._drop(held)
        way = self._search(held, target, wall)
        self._ways[held.key] = target, way
        self._table.promise(way.contacts, self._size(held))
        return way

    def _search(self, held: Held, target: NodeId, wall: Wall) -> Way:
        if any(self._resolve(word) is not None for word in self._table.unknown):
            self._table = Timetable(self._plan, self._resolve)
        found = self._table.earliest(self._own, target, self._size(held), wall)
        return found or Way((), None, Wall(math.inf), Wall(wall + _AGAIN_S))

    def handed_on(self, held: Held, handing: Handing, peer: NodeId) -> bool:
        """The promised room stays taken: it was used."""
        self._ways.pop(held.key, None)
        return False

    def gone(self, held: Held) -> None:
        self._drop(held)

    def _drop(self, held: Held) -> None:
        known = self._ways.pop(held.key, None)
        if known is not None:
            self._table.release(known[1].contacts, self._size(held))

    def _size(self, held: Held) -> int:
        return held.size_bytes + _OVERHEAD_BYTES
