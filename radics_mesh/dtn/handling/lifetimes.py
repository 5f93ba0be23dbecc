"""What is stored here ends with its lifetime (RFC 5050 section 5.5)."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable

import trio

from radics_mesh.clock import Clock, Monotonic
from radics_mesh.dtn.handling.administration import Administration
from radics_mesh.dtn.handling.assembling import Assembler
from radics_mesh.dtn.handling.endpoints import Endpoints
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.admin_records import Reason

# How often, at least, routes are asked for again, and uptime is kept: nobody tells of every change.
TICK_S = 5.0


class Lifetimes:
    """Deadlines of live bundles; `run` it as long as the agent. `ticked` is called every TICK_S."""

    def __init__(
        self,
        *,
        store: BundleStore,
        clock: Clock,
        counters: Counter[str],
        admin: Administration,
        assembler: Assembler,
        endpoints: Endpoints,
        ticked: Callable[[], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._counters = counters
        self._admin = admin
        self._assembler = assembler
        self._endpoints = endpoints
        self._ticked = ticked
        self._deadlines: list[tuple[Monotonic, int, Held]] = []
        self._sooner = trio.Event()

    def add(self, held: Held) -> None:
        entry = (held.deadline, held.key, held)
        heapq.heappush(self._deadlines, entry)
        if self._deadlines[0] is entry:
            self._sooner.set()

    async def run(self) -> None:
        while True:
            self._sooner = trio.Event()
            wait_s = min(TICK_S, self._expire() - self._clock.monotonic())
            with trio.move_on_after(max(0.0, wait_s)) as scope:
                await self._sooner.wait()
            if scope.cancelled_caught and wait_s == TICK_S:
                self._store.tick()
                while self._store.end_lives():
                    self._expire()
                self._ticked()

    def _expire(self) -> float:
        """Let go of what has outlived its lifetime; when the next one will."""
        now = self._clock.monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, key, held = heapq.heappop(self._deadlines)
            if held in self._endpoints.in_hands:  # its handler decides first
                heapq.heappush(self._deadlines, (Monotonic(now + TICK_S), key, held))
            elif held in self._store:
                self._counters["expired"] += 1
                self._admin.deleted(held, Reason.EXPIRED)
                self._assembler.discard(held)
                self._store.drop(held)
        return self._deadlines[0][0] if self._deadlines else float("inf")
