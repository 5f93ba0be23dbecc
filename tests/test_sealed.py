import itertools
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
import trio
from trio.testing import MemoryReceiveStream, MemorySendStream, memory_stream_pair

from radics_mesh.clock import Wall
from radics_mesh.config import Address
from radics_mesh.errors import LinkError, PeerError, WireError
from radics_mesh.link import plain
from radics_mesh.membership import GRACE_S
from radics_mesh.sealed import (
    ADMISSION_MAGIC,
    HANDSHAKE_TIMEOUT_S,
    AdmissionRequest,
    SealedStream,
    accept,
    connect,
    initiate,
)
from tests.meshes import World
from tests.patience import PATIENCE_S

WORLD = World()
ALICE, BOB, MALLORY = WORLD.member(2), WORLD.member(3), WORLD.member(4)
REMOTE = ("10.0.0.9", 1234)
Pair = tuple[SealedStream, SealedStream]


Raw = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


async def sealed_pair() -> tuple[Pair, tuple[Raw, Raw]]:
    """Alice's and Bob's ends, and the raw streams below both."""
    below_alice, below_bob = memory_stream_pair()
    ends: dict[str, SealedStream] = {}

    async def bob() -> None:
        accepted = await accept(below_bob, BOB, REMOTE, listen_port=6060)
        assert isinstance(accepted, SealedStream)
        ends["bob"] = accepted

    async with trio.open_nursery() as nursery:
        nursery.start_soon(bob)
        ends["alice"] = await initiate(below_alice, ALICE, REMOTE, BOB.node_id, 5050)
    return (ends["alice"], ends["bob"]), (below_alice, below_bob)


@pytest.fixture
async def pair() -> Pair:
    return (await sealed_pair())[0]


async def read_all(stream: SealedStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive_some()
    return data


async def test_both_know_who_is_there(pair: Pair) -> None:
    alice, bob = pair
    assert (alice.peer, alice.peer_chain) == (BOB.node_id, BOB.chain)
    assert (bob.peer, bob.peer_chain) == (ALICE.node_id, ALICE.chain)
    assert alice.listens == Address("10.0.0.9", 6060)
    assert bob.listens == Address("10.0.0.9", 5050)


@pytest.mark.parametrize("size", [1, 1000, 65_536, 65_537, 300_000])
async def test_bytes_arrive_whole_both_ways(pair: Pair, size: int) -> None:
    content = bytes(i * 7 & 0xFF for i in range(size))
    for sender, receiver in (pair, pair[::-1]):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send_all, content)
            assert await read_all(receiver, size) == content


async def test_an_orderly_end_is_an_end(pair: Pair) -> None:
    alice, bob = pair
    await alice.send_all(b"last words")
    await alice.aclose()
    assert await bob.receive_some() == b"last words"
    assert await bob.receive_some() == b""
    assert await bob.receive_some() == b""


async def test_a_cut_off_stream_is_no_end() -> None:
    (alice, bob), (below_alice, _) = await sealed_pair()
    await alice.send_all(b"words")
    await below_alice.aclose()
    assert await bob.receive_some() == b"words"
    with pytest.raises(trio.BrokenResourceError, match="cut off"):
        await bob.receive_some()


async def test_nothing_readable_is_on_the_wire() -> None:
    (alice, _), (_, below_bob) = await sealed_pair()
    await alice.send_all(b"attack at dawn" * 10)
    shown = await below_bob.receive_some()
    assert len(shown) > 140
    assert b"attack" not in shown


Tamper = Callable[[bytes], list[bytes]]


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda r: [r[:-1] + bytes([r[-1] ^ 1])], id="changed"),
        pytest.param(lambda r: [r, r], id="repeated"),
        pytest.param(lambda r: [b"\0\0\0\1x"], id="too short"),
        pytest.param(lambda r: [b"\xff\xff\xff\xff"], id="too long"),
        pytest.param(lambda r: [b"\0\0\0\x20" + bytes(32)], id="made up"),
    ],
)
async def test_a_tampered_record_breaks_the_stream(tamper: Tamper) -> None:
    (alice, bob), (below_alice, _) = await sealed_pair()
    record = alice._seal(b"words", 0)
    for piece in tamper(record):
        await below_alice.send_all(piece)
    with pytest.raises(trio.BrokenResourceError):
        await read_all(bob, 6)


async def test_a_dropped_record_breaks_the_stream() -> None:
    (alice, bob), (below_alice, _) = await sealed_pair()
    alice._seal(b"dropped", 0)
    await below_alice.send_all(alice._seal(b"second", 0))
    with pytest.raises(trio.BrokenResourceError, match="tampered"):
        await bob.receive_some()


async def test_a_cancelled_send_spoils_the_stream(
    autojump_clock: trio.testing.MockClock,
) -> None:
    (alice, bob), (below_alice, _) = await sealed_pair()

    async def stuck() -> None:
        await trio.sleep_forever()

    assert isinstance(below_alice.send_stream, MemorySendStream)
    below_alice.send_stream.send_all_hook = stuck
    with trio.move_on_after(1):
        await alice.send_all(b"never")
    with pytest.raises(trio.BrokenResourceError):
        await alice.send_all(b"after")
    await alice.aclose()
    await bob.aclose()


async def test_a_silent_caller_is_dropped_in_time(autojump_clock: trio.testing.MockClock) -> None:
    _, below_bob = memory_stream_pair()
    began = trio.current_time()
    with pytest.raises(LinkError, match="in time"):
        await accept(below_bob, BOB, REMOTE)
    assert trio.current_time() - began == HANDSHAKE_TIMEOUT_S


async def test_a_silent_answerer_is_dropped_in_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    below_alice, _ = memory_stream_pair()
    with pytest.raises(LinkError, match="in time"):
        await initiate(below_alice, ALICE, REMOTE)


@pytest.mark.parametrize("sent", [b"dtn!\x03\x00", b"GET / HTTP/1.1\r\n", b"\0\0\0\0"])
async def test_other_protocols_are_refused(sent: bytes) -> None:
    stranger, below_bob = memory_stream_pair()
    await stranger.send_all(sent)
    with pytest.raises(WireError):
        await accept(below_bob, BOB, REMOTE)


async def test_a_message_too_long_is_not_read() -> None:
    member, below_alice = memory_stream_pair()
    await member.send_all(b"\xff\xff")
    with pytest.raises(WireError, match="65535"):
        await initiate(below_alice, ALICE, REMOTE)


async def test_a_stranger_is_told_apart() -> None:
    stranger, below_bob = memory_stream_pair()
    await stranger.send_all(ADMISSION_MAGIC + b"rest")
    request = await accept(below_bob, BOB, REMOTE)
    assert isinstance(request, AdmissionRequest)
    assert request.remote == REMOTE
    assert await request.stream.receive_some(100) == b"rest"


async def test_hanging_up_in_the_handshake() -> None:
    stranger, below_bob = memory_stream_pair()
    await stranger.send_all(b"RD")
    await stranger.send_eof()
    with pytest.raises(LinkError, match="hung up"):
        await accept(below_bob, BOB, REMOTE)


Listener = tuple[Address, list[SealedStream], list[BaseException]]


@pytest.fixture
async def bobs_door(nursery: trio.Nursery) -> AsyncIterator[Listener]:
    """Bob listens on a real socket."""
    accepted: list[SealedStream] = []
    refused: list[BaseException] = []

    async def serve(stream: trio.SocketStream) -> None:
        try:
            sealed = await accept(stream, BOB, plain(stream.socket.getpeername()))
        except (LinkError, PeerError, WireError) as error:
            refused.append(error)
            await stream.aclose()
            return
        assert isinstance(sealed, SealedStream)
        accepted.append(sealed)
        async for data in sealed:
            await sealed.send_all(data.upper())

    opened = await trio.open_tcp_listeners(0, host="127.0.0.1")
    listening: Callable[..., Awaitable[object]] = trio.serve_listeners
    nursery.start_soon(listening, serve, opened)
    address = Address("127.0.0.1", opened[0].socket.getsockname()[1])
    yield address, accepted, refused
    nursery.cancel_scope.cancel()


async def test_over_real_sockets(bobs_door: Listener) -> None:
    address, accepted, _ = bobs_door
    with trio.fail_after(PATIENCE_S):
        sealed = await connect(address, ALICE, expect=BOB.node_id, local_host="127.0.0.1")
        await sealed.send_all(b"over tcp")
        assert await sealed.receive_some() == b"OVER TCP"
        assert accepted[0].peer == ALICE.node_id
        await sealed.aclose()


async def test_connecting_to_the_wrong_member(bobs_door: Listener) -> None:
    address, accepted, refused = bobs_door
    with trio.fail_after(PATIENCE_S):
        with pytest.raises(PeerError, match="answers where"):
            await connect(address, ALICE, expect=MALLORY.node_id)
        while not refused:
            await trio.testing.wait_all_tasks_blocked()
    assert not accepted


async def test_an_expired_caller_never_gets_a_stream(bobs_door: Listener) -> None:
    address, accepted, _ = bobs_door
    expired = WORLD.member(7, expiry=Wall(WORLD.clock.now - GRACE_S))
    with trio.fail_after(PATIENCE_S), pytest.raises(LinkError):
        await connect(address, expired, expect=BOB.node_id)
    assert not accepted


async def test_nobody_there() -> None:
    with trio.fail_after(PATIENCE_S), pytest.raises(LinkError, match="nobody answers at"):
        await connect(Address("127.0.0.1", 1), ALICE, expect=None)


async def test_a_peer_that_ends_while_it_is_dialled(nursery: trio.Nursery) -> None:
    """Killed, its host resets what it has just accepted, at any moment of our dialling."""

    async def hold_up() -> None:
        while True:
            time.sleep(0.0005)  # noqa: ASYNC251 - so that there are moments
            await trio.lowlevel.checkpoint()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_reset_all, args=(listener,), daemon=True)
        thread.start()
        nursery.start_soon(hold_up)
        address = Address("127.0.0.1", listener.getsockname()[1])
        with trio.fail_after(PATIENCE_S):
            for _ in range(40):
                with pytest.raises((LinkError, trio.BrokenResourceError)):
                    await connect(address, ALICE, expect=BOB.node_id)
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        nursery.cancel_scope.cancel()


def _reset_all(listener: socket.socket) -> None:
    with suppress(OSError):
        for number in itertools.count():
            caller, _ = listener.accept()
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            time.sleep(number % 20 * 0.0002)
            caller.close()
