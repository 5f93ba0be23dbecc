"""Transfers that break off: real nodes over sealed sessions, through a relay that is cut."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.config import Address
from radics_mesh.dtn.layers import parts
from radics_mesh.dtn.layers.parts import Keeper, Parts
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.spool import Spool
from radics_mesh.dtn.wire.content import Content
from radics_mesh.errors import CapacityError, MeshError, PeerError
from radics_mesh.ids import NodeId
from tests.dtn.layers.test_contacts import Station, station
from tests.dtn.world import START, Members, TrioClock, until

HOST = "127.0.0.1"
PEER = NodeId(bytes(20))
PAYLOAD = bytes(range(256)) * 20_000  # 5 MB


class RealClock(TrioClock):
    """For what is done in threads, which have no Trio clock."""

    def monotonic(self) -> Monotonic:
        return Monotonic(time.monotonic())

    def wall(self) -> Wall:
        return Wall(START + time.monotonic())


class Relay:
    """Between a caller and a node; held up after so many bytes from the caller, until it is cut."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.carried_bytes = 0
        self.limit_bytes = 1 << 40
        self.at_limit = trio.Event()
        self._cut = trio.Event()
        self._released = trio.Event()

    def release(self) -> None:
        """What is held up goes on."""
        self.limit_bytes = 1 << 40
        self._released.set()

    def move(self, port: int) -> None:
        """The node has come back on another one."""
        self._port = port

    def cut(self) -> None:
        """What there is now. The next connections last."""
        self._cut.set()
        self._cut = trio.Event()
        self.limit_bytes = 1 << 40

    async def serve(self, stream: trio.SocketStream) -> None:
        try:
            onward = await trio.open_tcp_stream(HOST, self._port)
        except OSError:  # the node is down
            return
        async with onward, stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_cut, nursery.cancel_scope)
            nursery.start_soon(self._there, stream, onward, nursery.cancel_scope)
            nursery.start_soon(self._back, onward, stream, nursery.cancel_scope)

    async def _end_when_cut(self, scope: trio.CancelScope) -> None:
        await self._cut.wait()
        scope.cancel()

    async def _there(
        self, one: trio.SocketStream, other: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        while data := await one.receive_some(1 << 16):
            if self.carried_bytes >= self.limit_bytes:
                self.at_limit.set()
                await self._released.wait()
            self.carried_bytes += len(data)
            await other.send_all(data)
        scope.cancel()

    async def _back(
        self, one: trio.SocketStream, other: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        while data := await one.receive_some(1 << 16):
            await other.send_all(data)
        scope.cancel()


@asynccontextmanager
async def relayed(port: int) -> AsyncIterator[tuple[Relay, Address]]:
    relay = Relay(port)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, relay.serve, 0)
        yield relay, Address(HOST, listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


def files(at: Path) -> list[Path]:
    return sorted((at / "parts").glob("*"))


async def half_sent(
    at_a: Station, at_b: Station, relay: Relay, folder: Path, payload: bytes = PAYLOAD
) -> None:
    """Half of the bundle has passed, and is acknowledged."""
    await at_a.sees(at_b.node.id)
    relay.limit_bytes = relay.carried_bytes + len(payload) // 2
    await at_a.node.agent.send(at_b.node.id.service("inbox"), payload)
    await relay.at_limit.wait()

    def is_kept() -> bool:
        lengths = [int(path.name.rpartition("-")[2]) for path in files(folder)]
        return bool(lengths) and max(lengths) > len(payload) // 3

    await until(is_kept)


async def test_the_rest_goes_as_a_fragment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "KEEP_EVERY_S", 0.05)
    members = Members(RealClock())
    a, b = members.me("a"), members.me("b")
    async with (
        station(b, tmp_path / "b") as at_b,
        relayed(at_b.address.port) as (relay, address),
        station(a, tmp_path / "a", address) as at_a,
    ):
        at_b.node.agent.register(b.node_id.service("inbox"), at_b.node.collect)
        await half_sent(at_a, at_b, relay, tmp_path / "b")
        session = at_a.contacts._lines[b.node_id].session
        await until(lambda: session.acked_bytes > len(PAYLOAD) // 3)
        relay.cut()
        (delivery,) = await at_b.node.received(1)
        assert bytes(delivery.payload) == PAYLOAD
        assert delivery.signer == a.node_id
        assert at_b.node.agent.counters["parts"] == 1
        assert at_a.node.agent.counters["cut"] == 1
        assert relay.carried_bytes < 1.4 * len(PAYLOAD)
        await until(lambda: not len(at_a.node.store))
        assert files(tmp_path / "b") == []


async def test_what_only_takes_long_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "KEEP_EVERY_S", 0.05)
    members = Members(RealClock())
    a, b = members.me("a"), members.me("b")
    small = PAYLOAD[:400_000]
    async with (
        station(b, tmp_path / "b") as at_b,
        relayed(at_b.address.port) as (relay, address),
        station(a, tmp_path / "a", address) as at_a,
    ):
        at_b.node.agent.register(b.node_id.service("inbox"), at_b.node.collect)
        await half_sent(at_a, at_b, relay, tmp_path / "b", small)
        relay.release()
        (delivery,) = await at_b.node.received(1)
        assert bytes(delivery.payload) == small
        await until(lambda: not len(at_a.node.store))
        assert files(tmp_path / "b") == list((tmp_path / "b" / "large").iterdir()) == []


def handed_on(at: Station, times: int) -> bool:
    return at.node.agent.counters["forwarded"] == times


async def test_what_is_here_already_is_refused_at_its_beginning(tmp_path: Path) -> None:
    """As completed, which its sender takes for an answer."""
    members = Members(RealClock())
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    async with (
        station(b, tmp_path / "b") as at_b,
        station(a, tmp_path / "a", at_b.address) as at_a,
    ):
        at_b.node.agent.register(inbox, at_b.node.collect)
        for times in (1, 2):
            await at_a.node.agent.send(inbox, PAYLOAD, stamp=(10, 1))
            await until(partial(handed_on, at_a, times))
        assert len(await at_b.node.received(1)) == 1
        assert at_b.node.agent.counters["known_early"] == 1
        assert at_b.node.agent.counters["duplicate"] == 0


class Taker:
    """The agent's side, played."""

    def __init__(self, refusal: MeshError | None = None) -> None:
        self.taken: list[tuple[bytes, Peer]] = []
        self.refusal = refusal
        self.judged: list[int] = []

    async def may_keep(self, raw: Content, peer: Peer) -> bool:
        self.judged.append(len(raw))
        return len(raw) != 7

    async def receive_part(self, raw: Content, peer: Peer) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.taken.append((bytes(raw), peer))


async def spooled(folder: Path, *pieces: bytes) -> Spool:
    spool = Spool(folder)
    for piece in pieces:
        await spool.write(piece)
    return spool


async def test_what_a_crash_has_left_is_given_to_the_agent(tmp_path: Path) -> None:
    """As far as it was acknowledged; behind that may be anything."""
    keeper = Keeper(Parts(tmp_path / "parts"), Taker(), PEER)
    spool = await spooled(tmp_path, b"kept and acknowledged")
    assert await keeper.keep(0, spool) == 21
    await spool.write(b", and this is not")
    for refusal, left, taken in (
        (CapacityError("full"), 1, []),
        (None, 0, [(b"kept and acknowledged", PEER)]),
    ):
        taker = Taker(refusal)
        assert await Parts(tmp_path / "parts").recover(taker) == 1
        assert len(files(tmp_path)) == left
        assert taker.taken == taken


async def test_only_the_last_of_a_bundles_parts_counts(tmp_path: Path) -> None:
    taker = Taker()
    keeper = Keeper(Parts(tmp_path / "parts"), taker, PEER)
    spool = await spooled(tmp_path, b"some")
    assert await keeper.keep(0, spool) == 4
    assert await keeper.keep(0, spool) == 4  # nothing came
    await spool.write(b"bad")
    assert await keeper.keep(0, spool) == 4  # the agent would not take seven
    await spool.write(b"more")
    assert await keeper.keep(0, spool) == 11
    assert taker.judged == [4, 7, 11]
    other = await spooled(tmp_path, b"other")
    await keeper.keep(1, other)
    assert len(files(tmp_path)) == 2
    keeper.settle(1)
    await keeper.hand_over()
    assert taker.taken == [(b"somebadmore", PEER)]
    assert files(tmp_path) == []


async def test_a_part_that_nobody_wants_is_removed(tmp_path: Path) -> None:
    keeper = Keeper(Parts(tmp_path / "parts"), Taker(PeerError("expired")), PEER)
    await keeper.keep(0, await spooled(tmp_path, b"some"))
    await keeper.hand_over()
    assert files(tmp_path) == []
