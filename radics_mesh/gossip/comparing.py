"""Anti-entropy at work over sealed datagrams: a thin Trio shell.

Channel (TAG_RECORDS) ─ receive ─▶ Entropy ◀─ stir: the directory has changed
                                      ▲────── meet: the failure detector found somebody
"""

from __future__ import annotations

from random import Random, SystemRandom

import trio

from radics_mesh.clock import Clock
from radics_mesh.errors import LinkError
from radics_mesh.gossip.entropy import Entropy, Holdings, Settings
from radics_mesh.gossip.liveness import Liveness
from radics_mesh.link import DatagramLink


class Comparing:
    """`run` it beside the failure detector, whose view it compares with."""

    def __init__(
        self,
        *,
        link: DatagramLink,
        liveness: Liveness,
        holdings: Holdings,
        clock: Clock,
        settings: Settings | None = None,
        random: Random | None = None,
    ) -> None:
        self.entropy = Entropy(
            holdings,
            proved=liveness.is_proved,
            random=random or SystemRandom(),
            now=clock.monotonic(),
            settings=settings,
        )
        self._link = link
        self._liveness = liveness
        self._clock = clock
        self._sooner = trio.Event()

    def stir(self) -> None:
        """Something may be news in the directory."""
        self.entropy.stir()
        self._sooner.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled, or the link is closed (LinkError)."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive)
            nursery.start_soon(self._tick)
            nursery.start_soon(self._greet)
            task_status.started()

    async def _receive(self) -> None:
        while True:
            datagram, source = await self._link.receive()
            self.entropy.receive(datagram, source, self._clock.monotonic())
            await self._send()
            self._sooner.set()

    async def _tick(self) -> None:
        while True:
            self._sooner = trio.Event()
            wait_s = self.entropy.deadline - self._clock.monotonic()
            with trio.move_on_after(max(0.0, wait_s)):
                await self._sooner.wait()
            self.entropy.peers = self._liveness.reachable()
            self.entropy.tick(self._clock.monotonic())
            await self._send()

    async def _greet(self) -> None:
        """Whoever has come, or come back, may know what nobody here does."""
        with self._liveness.met.listen() as met:
            async for address in met:
                self.entropy.meet(address, self._clock.monotonic())
                await self._send()

    async def _send(self) -> None:
        outgoing, self.entropy.outgoing = self.entropy.outgoing, []
        for datagram, address in outgoing:
            try:
                await self._link.send(datagram, address)
            except LinkError:
                self.entropy.counters["unsendable"] += 1
