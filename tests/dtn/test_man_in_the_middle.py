"""Somebody sits between two members, on a real TCP connection: relays, alters, cuts, repeats,
reflects. It reads nothing, gets nothing accepted, and once it leaves off all bundles are there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from radics_mesh.config import Address
from radics_mesh.errors import MeshError
from radics_mesh.link import plain
from radics_mesh.me import Me
from radics_mesh.sealed import MAGIC_BYTES, connect
from tests.dtn.layers.test_contacts import Station, station
from tests.dtn.world import Members, TrioClock, until

SECRET = b"the position of the boat"
COUNT = 5
# Dialled from there, so that whoever accepts cannot find a way round the one in the middle.
ELSEWHERE = Address("127.0.0.2", 0)
TO_B, TO_A = 0, 1


@dataclass
class Way:
    """One direction of one connection: what came, and where it goes."""

    direction: int
    out: trio.SocketStream
    back: trio.SocketStream
    seen: bytearray = field(default_factory=bytearray)

    def reaches(self, data: bytes, position: int) -> bool:
        """Whether the byte at `position` of this direction is in `data`, the newest."""
        return len(self.seen) - len(data) <= position < len(self.seen)


Meddle = Callable[[Way, bytes], bytes | None]


class Middle:
    """Relays to `target`. While `patience` lasts, `meddle` decides what goes on instead of each
    piece (None: both connections are closed); it lasts for so many connections."""

    def __init__(self, target: Address, meddle: Meddle, patience: int) -> None:
        self._target = target
        self._meddle = meddle
        self.patience = patience
        self.connections = 0
        self.recorded = bytearray()
        self.first_to_b = bytearray()

    async def serve(self, dialler: trio.SocketStream) -> None:
        self.connections += 1
        meddling = self.connections <= self.patience
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            answerer = await trio.open_tcp_stream(self._target.host, self._target.port)
            async with answerer, dialler, trio.open_nursery() as nursery:
                nursery.start_soon(self._relay, Way(TO_B, answerer, dialler), dialler, meddling)
                await self._relay(Way(TO_A, dialler, answerer), answerer, meddling)
                nursery.cancel_scope.cancel()

    async def _relay(self, way: Way, source: trio.SocketStream, meddling: bool) -> None:
        with suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in source:
                way.seen += data
                self.recorded += data
                if self.connections == 1 and way.direction == TO_B:
                    self.first_to_b += data
                changed = self._meddle(way, bytes(data)) if meddling else bytes(data)
                if changed is None:
                    break
                await way.out.send_all(changed)
        with trio.CancelScope(shield=True):
            await trio.aclose_forcefully(way.out)
            await trio.aclose_forcefully(way.back)


@asynccontextmanager
async def in_the_middle(
    at_b: Station, meddle: Meddle, patience: int = 1
) -> AsyncIterator[tuple[Middle, Address]]:
    middle = Middle(at_b.address, meddle, patience)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, middle.serve, [listener])
        yield middle, Address("127.0.0.1", plain(listener.socket.getsockname())[1])
        nursery.cancel_scope.cancel()


def relay(way: Way, data: bytes) -> bytes | None:
    return data


def altered(direction: int, position: int) -> Meddle:
    def meddle(way: Way, data: bytes) -> bytes | None:
        if way.direction != direction or not way.reaches(data, position):
            return data
        at = position - (len(way.seen) - len(data))
        return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]

    return meddle


def cut(direction: int, position: int) -> Meddle:
    def meddle(way: Way, data: bytes) -> bytes | None:
        reached = way.direction == direction and way.reaches(data, position)
        return None if reached else data

    return meddle


def repeated(direction: int, position: int) -> Meddle:
    def meddle(way: Way, data: bytes) -> bytes | None:
        reached = way.direction == direction and way.reaches(data, position)
        return data * 2 if reached else data

    return meddle


def swallowed(direction: int, position: int) -> Meddle:
    """What comes from there on goes nowhere, as if it had arrived; at the next sign of life from
    either side the line is cut."""
    gone = 0

    def meddle(way: Way, data: bytes) -> bytes | None:
        nonlocal gone
        if way.direction == direction and len(way.seen) > position and gone == 0:
            gone = len(data)
            return b""
        return None if gone else data

    return meddle


async def _deliver(tmp_path: Path, a: Me, b: Me, meddle: Meddle, connections: int = 1) -> Middle:
    """COUNT bundles from a to b through the middle; all arrive once, and there are so many
    connections at least."""
    inbox = b.node_id.service("inbox")
    async with (
        station(b, tmp_path / "b", keepalive_s=1) as at_b,
        in_the_middle(at_b, meddle) as (middle, address),
        station(a, tmp_path / "a", address, listen=ELSEWHERE, keepalive_s=1) as at_a,
    ):
        at_b.node.agent.register(inbox, at_b.node.collect)
        for number in range(COUNT):
            await at_a.node.agent.send(inbox, b"%s %d" % (SECRET, number))
        await at_b.node.received(COUNT)
        await until(lambda: not len(at_a.node.store))
        # What was done to the stream may be found only after its last answer was taken.
        await until(lambda: middle.connections >= connections)
        payloads = sorted(delivery.payload for delivery in at_b.node.delivered)
        assert payloads == [b"%s %d" % (SECRET, number) for number in range(COUNT)]
        assert {delivery.signer for delivery in at_b.node.delivered} == {a.node_id}
    return middle


async def test_who_relays_reads_nothing(tmp_path: Path) -> None:
    """No payload, no names, no chains, not even which protocol runs inside."""
    members = Members(TrioClock())
    a, b = members.me("a"), members.me("b")
    middle = await _deliver(tmp_path, a, b, relay)
    assert middle.connections == 1
    names = [text for me in (a, b) for text in (me.identity.eid.encode(), me.identity.public)]
    for secret in (SECRET, b"dtn!", b"inbox", *names, a.chain[-40:], b.chain[-40:]):
        assert secret not in middle.recorded


# In the hello, in the second message, in a proof, in the first record.
@pytest.mark.parametrize(
    ("attack", "position"),
    [
        (altered, 2),
        (altered, 40),
        (altered, 300),
        (altered, 520),
        (cut, 300),
        (cut, 520),
        (repeated, 40),
        (repeated, 520),
    ],
)
@pytest.mark.parametrize("direction", [TO_B, TO_A], ids=["to_b", "to_a"])
async def test_who_meddles_gains_nothing(
    tmp_path: Path, attack: Callable[[int, int], Meddle], direction: int, position: int
) -> None:
    members = Members(TrioClock())
    a, b = members.me("a"), members.me("b")
    # The session does not outlive it.
    await _deliver(tmp_path, a, b, attack(direction, position), connections=2)


# From after the greetings on: bundles to b, or acknowledgements to a.
@pytest.mark.parametrize(("direction", "position"), [(TO_B, 700), (TO_A, 520)])
async def test_who_swallows_cannot_acknowledge(
    tmp_path: Path, direction: int, position: int
) -> None:
    """TCP takes all of it, but a's store waits for b's word."""
    members = Members(TrioClock())
    meddle = swallowed(direction, position)
    middle = await _deliver(tmp_path, members.me("a"), members.me("b"), meddle)
    assert middle.connections > 1


async def test_a_recorded_session_played_again(tmp_path: Path) -> None:
    """All that a said, to the byte, on a new connection: no session, no bundle, no word from b
    that depends on what comes after the hello."""
    members = Members(TrioClock())
    a, b = members.me("a"), members.me("b")
    inbox = b.node_id.service("inbox")
    async with station(b, tmp_path / "b") as at_b:
        at_b.node.agent.register(inbox, at_b.node.collect)
        async with (
            in_the_middle(at_b, relay) as (middle, address),
            station(a, tmp_path / "a", address, listen=ELSEWHERE) as at_a,
        ):
            await at_a.node.agent.send(inbox, SECRET)
            await at_b.node.received(1)
            await until(lambda: not len(at_a.node.store))
        await at_b.sees()
        sessions = at_b.contacts.counters["sessions"]
        stream = await trio.open_tcp_stream(at_b.address.host, at_b.address.port)
        async with stream:
            with suppress(trio.BrokenResourceError):
                await stream.send_all(middle.first_to_b)
                await until(lambda: at_b.contacts.counters["refused_PeerError"] == 1)
        assert at_b.contacts.counters["sessions"] == sessions
        assert len(at_b.node.delivered) == 1


async def test_each_hears_itself(tmp_path: Path) -> None:
    """b's hello is a's own, and so on: a's own words prove nobody to a."""
    members = Members(TrioClock())
    a, b = members.me("a"), members.me("b")
    echoed = 0

    async def echo(stream: trio.SocketStream) -> None:
        nonlocal echoed
        echoed += 1
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for data in stream:
                # The second message has a length before it, the first a magic.
                answer = data[MAGIC_BYTES:]
                await stream.send_all(len(answer).to_bytes(2, "big") + answer)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, echo, [listener])
        address = Address("127.0.0.1", plain(listener.socket.getsockname())[1])
        async with station(a, tmp_path / "a", address) as at_a:
            await at_a.node.agent.send(b.node_id.service("inbox"), SECRET)
            await until(lambda: echoed > 1)
            assert at_a.contacts.counters["sessions"] == 0
            assert len(at_a.node.store) == 1
        with pytest.raises(MeshError):
            await connect(address, a, expect=b.node_id)
        nursery.cancel_scope.cancel()


async def test_another_member_at_a_known_address(tmp_path: Path) -> None:
    """Mallory, a member, answers where b should: it is noticed before a says who it is."""
    members = Members(TrioClock())
    a, b, mallory = members.me("a"), members.me("b"), members.me("mallory")
    inbox = b.node_id.service("inbox")
    async with (
        station(mallory, tmp_path / "m") as at_mallory,
        station(a, tmp_path / "a", listen=ELSEWHERE) as at_a,
    ):
        at_mallory.node.agent.register(inbox, at_mallory.node.collect)
        await at_a.node.agent.send(inbox, SECRET)
        at_a.contacts.learn(b.node_id, [at_mallory.address])
        await until(lambda: at_a.contacts.counters["refused_PeerError"] >= 2)
        await until(lambda: at_mallory.contacts.counters["refused_LinkError"] >= 2)
        assert at_mallory.contacts.counters["accepted"] == 0
        assert at_a.contacts.peers() == []
        assert len(at_a.node.store) == 1
