"""Waiting bundles about which a decision is made for each of them and each contact.

Sans-IO. Each contact has a queue of what it may be given, best first: what is for the neighbour
itself, then by priority and order of arrival. Queues are made anew when contacts or routes change;
in between a bundle that comes is put into those that it belongs to. Who takes a bundle asks again,
since the other contacts' doings may have settled it; so a queue may hold what has left meanwhile.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.dtn.storage.held import Held
from radics_mesh.ids import NodeId

_Entry = tuple[int, int, int, Held]
Find = Callable[[Held], NodeId | None]


class Spread:
    """`find` says at which node a bundle's destination is, None while nobody knows."""

    def __init__(self, table: RoutingTable, find: Find) -> None:
        self._table = table
        self._find = find
        self._waiting: dict[int, Held] = {}
        self._queues: dict[NodeId, list[_Entry]] = {}
        self._stale = True

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._waiting.values()))

    def put(self, held: Held, now: Monotonic) -> None:
        self._waiting[held.key] = held
        if not self._stale:
            self._offer(held, now)

    def remove(self, held: Held) -> None:
        self._waiting.pop(held.key, None)

    def changed(self) -> None:
        self._stale = True

    def choose(
        self, held: Held, contacts: Collection[NodeId], now: Monotonic
    ) -> tuple[NodeId, ...]:
        """Whom it may be given, best first."""
        module = self._table.of(held.destination)
        return tuple(module.choose(held, self._find(held), contacts, now))

    def head(
        self,
        contact: NodeId,
        contacts: Collection[NodeId],
        is_held: Callable[[Held], bool],
        now: Monotonic,
    ) -> Held | None:
        """What this contact should be given first. `remove` it to take it."""
        if self._stale or self._queues.keys() != set(contacts):
            self._sort(contacts, is_held, now)
        queue = self._queues.get(contact, [])  # a contact that is over asks once more
        while queue:
            held = queue[0][3]
            if held.key in self._waiting and not is_held(held):
                self._forget(held)
            elif held.key in self._waiting and contact in self.choose(held, self._queues, now):
                return held
            heapq.heappop(queue)
        return None

    def _sort(
        self, contacts: Collection[NodeId], is_held: Callable[[Held], bool], now: Monotonic
    ) -> None:
        self._queues = {contact: [] for contact in contacts}
        self._stale = False
        for held in self:
            if is_held(held):
                self._offer(held, now)
            else:
                self._forget(held)

    def _forget(self, held: Held) -> None:
        del self._waiting[held.key]
        self._table.of(held.destination).gone(held)

    def _offer(self, held: Held, now: Monotonic) -> None:
        target = self._find(held)
        for contact in self.choose(held, self._queues, now):
            rank = 0 if contact == target else 1
            heapq.heappush(self._queues[contact], (rank, -held.priority, held.key, held))
