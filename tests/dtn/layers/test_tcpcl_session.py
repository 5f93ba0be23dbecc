from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
from trio.testing import MemorySendStream, MockClock, memory_stream_pair, wait_all_tasks_blocked

from radics_mesh.dtn.layers import tcpcl_wire as wire
from radics_mesh.dtn.layers.tcpcl_session import TcpclSession
from radics_mesh.dtn.layers.tcpcl_taking import CONCURRENT
from radics_mesh.dtn.layers.tcpcl_wire import Features, Hello
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.trust.chains import ChainUnknown
from radics_mesh.errors import CapacityError, LinkError, MeshError, PeerError, WireError
from radics_mesh.ids import Eid
from radics_mesh.sealed import ByteStream
from tests.meshes import identity
from tests.patience import PATIENCE_S

ALICE, BOB = identity(2).node_id, identity(3).node_id


@dataclass
class Inbox:
    """A receiver that keeps what comes; `answer` is called before, and may wait or refuse."""

    answer: Callable[[bytes], Awaitable[None]] | None = None
    bundles: list[bytes] = field(default_factory=list)
    peers: set[Peer] = field(default_factory=set)

    async def receive(self, raw: bytes, peer: Peer) -> None:
        self.bundles.append(raw)
        self.peers.add(peer)
        if self.answer is not None:
            await self.answer(raw)
        await trio.lowlevel.checkpoint()


def member(expected: Peer) -> Callable[[Eid], Peer]:
    def identify(eid: Eid) -> Peer:
        if eid.node_id != expected:
            raise PeerError("not who it should be")
        return expected

    return identify


def session_of_bob(
    stream: ByteStream, inbox: Inbox, limit: int = 1 << 24, **more: Any
) -> TcpclSession:
    return TcpclSession(
        stream,
        own=BOB.eid,
        identify=member(ALICE),
        receiver=inbox,
        keepalive_s=10,
        bundle_max_bytes=limit,
        **more,
    )


Ends = tuple[TcpclSession, TcpclSession]


@asynccontextmanager
async def sessions(
    at_bob: Inbox, *, limit: int = 1 << 24, keepalive_s: int = 10
) -> AsyncIterator[Ends]:
    stream_a, stream_b = memory_stream_pair()
    alice = TcpclSession(
        stream_a,
        own=ALICE.eid,
        identify=member(BOB),
        receiver=Inbox(),
        keepalive_s=keepalive_s,
    )
    bob = session_of_bob(stream_b, at_bob, limit)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bob.run)
        assert await nursery.start(alice.run) == BOB
        yield alice, bob
        nursery.cancel_scope.cancel()


async def test_a_bundle_is_taken_then_acknowledged() -> None:
    durable = trio.Event()

    async def slowly(_: bytes) -> None:
        await durable.wait()

    inbox, bundle = Inbox(slowly), b"bundle"
    done = trio.Event()
    async with sessions(inbox) as (alice, _):

        async def send() -> None:
            await alice.transmit(bundle)
            done.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await wait_all_tasks_blocked()
            assert inbox.bundles == [bundle]
            assert not done.is_set()
            assert alice.sent_of(bundle) == len(bundle)
            durable.set()
    assert done.is_set()
    assert alice.sent_of(bundle) is None
    assert inbox.peers == {ALICE}


async def test_many_at_once_arrive_in_order_and_are_taken_together() -> None:
    gate = trio.Event()

    async def wait(_: bytes) -> None:
        await gate.wait()

    inbox = Inbox(wait)
    bundles = [n.to_bytes(4, "big") * 50 for n in range(2 * CONCURRENT)]
    async with sessions(inbox) as (alice, _), trio.open_nursery() as nursery:
        for bundle in bundles:
            await start_in_order(nursery, alice, bundle)
        await wait_all_tasks_blocked()
        # So many are in the receiver's hands; the rest waits in the stream.
        assert inbox.bundles == bundles[:CONCURRENT]
        gate.set()
    assert inbox.bundles == bundles


async def start_in_order(nursery: trio.Nursery, session: TcpclSession, bundle: bytes) -> None:
    nursery.start_soon(session.transmit, bundle)
    await trio.lowlevel.checkpoint()


async def test_a_bundle_of_many_segments() -> None:
    inbox = Inbox()
    bundle = bytes(range(256)) * 8000
    async with sessions(inbox) as (alice, _):
        with trio.fail_after(PATIENCE_S):
            await alice.transmit(bundle)
    assert inbox.bundles == [bundle]


@pytest.mark.parametrize(
    ("refusal", "seen"),
    [
        (CapacityError("full"), CapacityError),
        (PeerError("unsigned"), PeerError),
        (WireError("garbage"), PeerError),
        (ChainUnknown("send it whole"), ChainUnknown),
    ],
)
async def test_refusals(refusal: MeshError, seen: type[MeshError]) -> None:
    async def answer(raw: bytes) -> None:
        if raw == b"bad":
            raise refusal

    async with sessions(Inbox(answer)) as (alice, _):
        with pytest.raises(seen):
            await alice.transmit(b"bad")
        await alice.transmit(b"good")


async def test_a_bundle_above_the_limit_is_refused() -> None:
    inbox = Inbox()
    async with sessions(inbox, limit=1000) as (alice, _):
        with pytest.raises(CapacityError):
            await alice.transmit(bytes(1 << 20))
        await alice.transmit(bytes(1000))
    assert inbox.bundles == [bytes(1000)]


async def test_a_broken_session_fails_whoever_waits() -> None:
    async def forever(_: bytes) -> None:
        await trio.sleep_forever()

    errors: list[BaseException] = []

    async def send(alice: TcpclSession) -> None:
        with pytest.raises(LinkError) as caught:
            await alice.transmit(b"bundle")
        errors.append(caught.value)

    async with sessions(Inbox(forever)) as (alice, bob), trio.open_nursery() as nursery:
        nursery.start_soon(send, alice)
        nursery.start_soon(send, alice)
        await wait_all_tasks_blocked()
        bob.stop()
    assert len(errors) == 2
    with pytest.raises(LinkError):
        await alice.transmit(b"after the end")


class Raw:
    """The other side, played by hand."""

    def __init__(self) -> None:
        self.stream, self.below = memory_stream_pair()
        self.inbox = Inbox()
        self.session = session_of_bob(self.below, self.inbox)

    async def greet(self, eid: Eid = ALICE.eid, features: Features = Features.NONE) -> None:
        await self.stream.send_all(Hello(eid, features, 10).encode())


async def test_a_peer_with_another_eid_gets_no_session() -> None:
    raw = Raw()
    await raw.greet(BOB.eid)
    with pytest.raises(PeerError, match="not who it should be"):
        await raw.session.run()
    assert raw.session.peer is None


async def test_a_breach_ends_the_session_with_a_goodbye() -> None:
    raw = Raw()
    await raw.greet()
    await raw.stream.send_all(b"\x00")
    with pytest.raises(WireError, match="unknown type"):
        await raw.session.run()
    shown = await raw.stream.receive_some()
    assert shown.endswith(wire.shutdown(0, 1))
    assert await raw.stream.receive_some() == b""


async def test_an_orderly_end_is_no_error() -> None:
    raw = Raw()
    await raw.greet()
    await raw.stream.send_all(wire.segment_head(True, True, 2) + b"ok" + b"\x50")
    await raw.session.run()
    assert raw.inbox.bundles == [b"ok"]


@pytest.mark.parametrize("goodbye", [b"\x50", b""])
async def test_what_came_before_the_end_is_still_taken(goodbye: bytes) -> None:
    """A peer without acknowledgements (pyD3TN) sends and leaves; its bundle is not lost."""
    raw = Raw()
    durable = trio.Event()
    taken: list[bytes] = []

    async def slowly(bundle: bytes) -> None:
        await durable.wait()
        taken.append(bundle)

    raw.inbox.answer = slowly
    await raw.greet()
    await raw.stream.send_all(wire.segment_head(True, True, 2) + b"ok" + goodbye)
    await raw.stream.aclose()

    async def run() -> None:
        try:
            await raw.session.run()
        except LinkError:
            assert not goodbye

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await wait_all_tasks_blocked()
        durable.set()
    assert taken == [b"ok"]


async def test_hanging_up_is_one() -> None:
    raw = Raw()
    await raw.greet()
    await raw.stream.send_eof()
    with pytest.raises(LinkError, match="hung up"):
        await raw.session.run()


async def test_silence_ends_a_session(autojump_clock: MockClock) -> None:
    raw = Raw()
    await raw.greet()
    began = trio.current_time()
    with pytest.raises(LinkError, match="nothing heard"):
        await raw.session.run()
    assert trio.current_time() - began == 30


async def test_a_slow_store_is_not_a_silent_peer(autojump_clock: MockClock) -> None:
    gate = trio.Event()

    async def wait(_: bytes) -> None:
        await gate.wait()

    async with sessions(Inbox(wait)) as (alice, _), trio.open_nursery() as nursery:
        for n in range(CONCURRENT + 8):
            nursery.start_soon(alice.transmit, b"%d" % n)
        await trio.sleep(300)
        gate.set()


async def test_no_greeting_ends_it_sooner(autojump_clock: MockClock) -> None:
    with pytest.raises(LinkError, match="contact header"):
        await Raw().session.run()
    assert trio.current_time() < 11


@pytest.mark.parametrize("keepalive_s", [1, 10])  # less and more than a greeting may take
async def test_two_quiet_peers_keep_each_other_alive(
    autojump_clock: MockClock, keepalive_s: int
) -> None:
    inbox = Inbox()
    async with sessions(inbox, keepalive_s=keepalive_s) as (alice, _):
        await trio.sleep(3600)
        await alice.transmit(b"still here")
    assert inbox.bundles == [b"still here"]


async def test_a_cancelled_transmit_leaves_the_session_whole() -> None:
    inbox = Inbox()
    async with sessions(inbox) as (alice, _):
        with trio.CancelScope() as scope:
            scope.cancel()
            await alice.transmit(b"never mind")
        await alice.transmit(b"bundle")
    assert inbox.bundles[-1] == b"bundle"


async def test_a_stuck_peer_does_not_hold_up_the_end(autojump_clock: MockClock) -> None:
    raw = Raw()
    await raw.greet()
    assert isinstance(raw.below.send_stream, MemorySendStream)
    raw.below.send_stream.send_all_hook = trio.sleep_forever
    with trio.move_on_after(1):
        await raw.session.run()
    assert trio.current_time() < 3
