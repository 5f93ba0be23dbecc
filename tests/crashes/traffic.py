"""Traffic through a node that dies, and the accounts of it.

Even numbers go to the node's application, odd ones through it to a receiver that is not killed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from radics_mesh.clock import SystemClock, Wall
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.layers.tcpcl_session import TcpclSession
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.rules.processing import Peer, depart, originate
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.errors import LinkError, UsageError
from radics_mesh.identity import Identity
from radics_mesh.me import Me
from radics_mesh.membership import found, invite
from tests.crashes.node import identify, me_from, nowhere
from tests.patience import PATIENCE_S
from tests.power_loss.disk import Disk, read_recording

ROOT = Path(__file__).parents[2]
SIZES = (100, 100, 1000, 1000, 20_000, 1_200_000)
IN_FLIGHT = 12


@dataclass
class Accounts:
    """Numbers of bundles. `again`: handed to the node's application once more, which may be for
    as long as it was not told that they are delivered for good."""

    kills: int = 0
    acknowledged: set[int] = field(default_factory=set)
    begun: Counter[int] = field(default_factory=Counter)
    delivered: set[int] = field(default_factory=set)
    received: Counter[int] = field(default_factory=Counter)
    after_delivery: set[int] = field(default_factory=set)

    def hear(self, line: str) -> None:
        kind, number = line.split()
        if kind == "begun":
            self.begun[int(number)] += 1
            if int(number) in self.delivered:
                self.after_delivery.add(int(number))
        else:
            self.delivered.add(int(number))

    @property
    def lost(self) -> set[int]:
        return self.acknowledged - self.begun.keys() - self.received.keys()

    @property
    def twice(self) -> set[int]:
        return self.after_delivery | {n for n, times in self.received.items() if times > 1}

    @property
    def again(self) -> int:
        return sum(times - 1 for times in self.begun.values())

    @property
    def is_settled(self) -> bool:
        return not self.lost

    def row(self) -> str:
        there = len(self.begun) + len(self.received)
        return (
            f"{self.kills:6} {len(self.acknowledged):13} {there:10} {len(self.lost):5}"
            f" {len(self.twice):6} {self.again:11}"
        )


HEAD = " kills  acknowledged  delivered  lost  twice  handed over again"


class Nobody:
    async def receive(self, raw: bytes, peer: Peer) -> None:
        raise UsageError("the sender takes no bundles")


class Campaign:
    """`recorder` None: the disk stays as it was; else what was not synced is lost at each kill."""

    def __init__(self, directory: Path, seed: int, recorder: Path | None) -> None:
        self._directory = directory
        self._random = random.Random(seed)
        self._recorder = recorder
        self._store = directory / "node"
        self._store.mkdir()
        self._task = _members()
        self._me = me_from(self._task, "node")
        self._sender = me_from(self._task, "sender")
        self._receiver = me_from(self._task, "receiver")
        self._next = 0
        self._unsent: deque[int] = deque()
        self._raws: dict[int, bytes] = {}
        self.accounts = Accounts()

    async def run(self, kills: int) -> Accounts:
        store = BundleStore.open(
            self._directory / "receiver", quota_bytes=1 << 30, clock=self._receiver.clock
        )
        agent = Agent(
            me=self._receiver,
            store=store,
            router=StaticRoutes(),
            locate=nowhere,
            lifetime_s=3600,
        )
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(agent.run)
                agent.register(self._receiver.node_id.service("sink"), self._receive)
                for _ in range(kills):
                    await self._live(agent, acknowledged=self._random.randint(1, 60))
                    self.accounts.kills += 1
                await self._live(agent, acknowledged=None)
                nursery.cancel_scope.cancel()
        finally:
            store.close()
        return self.accounts

    async def _receive(self, delivery: Delivery) -> None:
        self.accounts.received[delivery.bundle_id.sequence] += 1

    # --- one life ---

    async def _live(self, receiver: Agent, acknowledged: int | None) -> None:
        """Until so many are acknowledged and a moment more; None: until nothing is owed."""
        aim = None if acknowledged is None else len(self.accounts.acknowledged) + acknowledged
        before = self._files()
        async with self._node() as (process, lines), trio.open_nursery() as nursery:
            port = int((await anext(lines)).split()[1])
            silent = trio.Event()
            nursery.start_soon(self._listen, lines, silent)
            sender = await self._session(nursery, port, self._sender, Nobody())
            await self._session(nursery, port, self._receiver, receiver)
            if aim is not None:
                for _ in range(IN_FLIGHT):
                    nursery.start_soon(self._send, sender)
            with trio.fail_after(PATIENCE_S):
                await _until(lambda: self._has_lived(aim))
            await trio.sleep(self._random.random() * 0.05)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            with trio.fail_after(PATIENCE_S):  # what it said before is still in the pipe
                await silent.wait()
            sender.stop()
            nursery.cancel_scope.cancel()
        self._lose_unsynced(before)

    def _has_lived(self, aim: int | None) -> bool:
        if aim is None:
            return self.accounts.is_settled
        return len(self.accounts.acknowledged) >= aim

    async def _listen(self, lines: AsyncIterator[str], silent: trio.Event) -> None:
        async for line in lines:
            self.accounts.hear(line)
        silent.set()

    async def _session(
        self, nursery: trio.Nursery, port: int, me: Me, receiver: Any
    ) -> TcpclSession:
        session = TcpclSession(
            await trio.open_tcp_stream("127.0.0.1", port),
            own=me.identity.eid,
            identify=identify,
            receiver=receiver,
            keepalive_s=0,
        )
        nursery.start_soon(_until_broken, session)
        with trio.fail_after(PATIENCE_S):
            await _until(lambda: session.peer is not None)
        return session

    async def _send(self, session: TcpclSession) -> None:
        while True:
            if self._unsent:
                number = self._unsent.popleft()
            else:
                number, self._next = self._next, self._next + 1
            try:
                await session.transmit(self._raw(number))
            except LinkError:
                self._unsent.append(number)
                return
            self.accounts.acknowledged.add(number)
            self._raws.pop(number)

    def _raw(self, number: int) -> bytes:
        if number not in self._raws:
            inbox, sink = self._me.node_id.service("inbox"), self._receiver.node_id.service("sink")
            bundle = originate(
                self._sender,
                inbox if number % 2 == 0 else sink,
                self._random.randbytes(self._random.choice(SIZES)),
                source=self._sender.identity.eid,
                stamp=(1, number),
                lifetime_s=36_000,
                ownership=b"",
                priority=self._random.randrange(3),
            )
            self._raws[number] = depart(bundle, self._sender.identity.eid, 0).encode()
        return self._raws[number]

    # --- its process and its disk ---

    @asynccontextmanager
    async def _node(self) -> AsyncIterator[tuple[trio.Process, AsyncIterator[str]]]:
        environment = dict(os.environ)
        if self._recorder is not None:
            self._recording.write_bytes(b"")
            environment |= {
                "LD_PRELOAD": str(self._recorder),
                "RECORD_ROOT": str(self._store),
                "RECORD_LOG": str(self._recording),
            }
        command = [sys.executable, "-m", "tests.crashes.node", json.dumps(self._task)]
        process = await trio.lowlevel.open_process(
            [*command, str(self._store)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment,
        )
        assert process.stdout is not None
        try:
            yield process, _lines(process.stdout)
        finally:
            process.kill()
            await process.wait()
            await process.stdout.aclose()

    @property
    def _recording(self) -> Path:
        return self._directory / "recording"

    def _files(self) -> dict[str, bytes]:
        if self._recorder is None:
            return {}
        return {str(p): p.read_bytes() for p in self._store.rglob("*") if p.is_file()}

    def _lose_unsynced(self, before: dict[str, bytes]) -> None:
        """The next life begins on a disk that lost what was not synced, or a part of that.
        `before`: what was there when this life began."""
        if self._recorder is None:
            return
        disk = Disk()
        for path, content in before.items():
            disk.hold(path, content)
        for record in read_recording(self._recording.read_bytes()):
            disk.apply(record)
        with tempfile.TemporaryDirectory(dir=self._directory) as image:
            disk.image(Path(image), self._random if self._random.random() < 0.5 else None)
            left = Path(image) / str(self._store).lstrip("/")
            left.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(self._store)
            left.rename(self._store)


async def _until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - of what another process does
        await trio.sleep(0.002)


async def _until_broken(session: TcpclSession) -> None:
    try:
        await session.run()
    except LinkError:
        return


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    rest = b""
    async for some in stream:
        *whole, rest = (rest + some).split(b"\n")
        for line in whole:
            yield line.decode()


def _members() -> dict[str, Any]:
    clock = SystemClock()
    first = Identity.generate()
    _, mesh, chain = found(first, "sender", clock.wall())
    task: dict[str, Any] = {"genesis": mesh.genesis.hex(), "key": mesh.key.hex()}
    task["sender"] = {"seed": first.seed.hex(), "chain": chain.pack().hex()}
    for name in ("node", "receiver"):
        one = Identity.generate()
        expiry = Wall(clock.wall() + 86_400)
        joined = invite(first, chain, one.public, name, expiry)
        task[name] = {"seed": one.seed.hex(), "chain": joined.pack().hex()}
    return task
