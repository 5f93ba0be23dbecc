"""Peers that mean harm, or are broken: a session takes no more than its share, goes on or ends."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MemorySendStream, MockClock, wait_all_tasks_blocked

from radics_mesh.dtn.layers import tcpcl_wire as wire
from radics_mesh.dtn.layers.tcpcl_session import STALLED_S
from radics_mesh.dtn.layers.tcpcl_wire import Features, Hello
from radics_mesh.errors import CapacityError, LinkError, WireError
from tests.dtn.layers.test_tcpcl_session import ALICE, Raw, session_of_bob

ANSWERED = Features.ACKNOWLEDGE | Features.REFUSE | Features.LENGTH


def bundle_on_wire(content: bytes) -> bytes:
    return wire.segment_head(True, True, len(content)) + content


async def test_single_bytes_and_many_messages_at_once() -> None:
    raw = Raw()
    hello = Hello(ALICE.eid, ANSWERED, 10).encode()
    one_by_one = hello + bundle_on_wire(b"slow") + wire.KEEPALIVE + wire.length(9)
    at_once = bundle_on_wire(b"announced") + bundle_on_wire(b"next") * 3 + wire.shutdown(0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raw.session.run)
        for byte in one_by_one:
            await raw.stream.send_all(bytes((byte,)))
            await trio.lowlevel.checkpoint()
        await raw.stream.send_all(at_once)
    assert raw.inbox.bundles == [b"slow", b"announced", b"next", b"next", b"next"]
    shown = bytes(await raw.stream.receive_some())
    answers = b"".join(map(wire.ack, (4, 9, 4, 4, 4)))
    assert answers in shown


async def test_who_leaves_answers_unread_is_read_no_more(autojump_clock: MockClock) -> None:
    raw = Raw()
    await raw.greet(features=ANSWERED)
    assert isinstance(raw.below.send_stream, MemorySendStream)
    raw.below.send_stream.send_all_hook = trio.sleep_forever
    # Each segment is owed two bytes.
    bundle = b"\x12\x01x" + b"\x10\x01x" * 98 + b"\x11\x01x"
    await raw.stream.send_all(bundle * 2000)
    began = trio.current_time()

    async def run() -> None:
        with pytest.raises(LinkError, match="reads nothing"):
            await raw.session.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.sleep(STALLED_S - 1)
        assert len(raw.inbox.bundles) < 1000
        assert raw.session.backlog_bytes < 1 << 17
    assert STALLED_S <= trio.current_time() - began < STALLED_S + 5


async def test_another_version_is_told_so() -> None:
    raw = Raw()
    await raw.stream.send_all(b"dtn!\x04\x00")
    with pytest.raises(WireError, match="version 4"):
        await raw.session.run()
    assert bytes(await raw.stream.receive_some()).endswith(wire.shutdown(wire.VERSION_MISMATCH, 1))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(wire.segment_head(True, True, (1 << 63)), id="segment of 2^63"),
        pytest.param(wire.segment_head(True, False, (1 << 64) - 1), id="segment of 2^64 - 1"),
        pytest.param(b"\x11\x80" * 10, id="number without end"),
        pytest.param(wire.ack(1 << 63), id="acknowledgement of 2^63"),
    ],
)
async def test_numbers_out_of_this_world_end_the_session(sent: bytes) -> None:
    raw = Raw()
    await raw.greet(features=ANSWERED)
    await raw.stream.send_all(sent)
    with pytest.raises(WireError):
        await raw.session.run()


async def test_a_length_of_2_to_the_63_is_refused_and_the_session_goes_on() -> None:
    raw = Raw()
    await raw.greet(features=ANSWERED)
    await raw.stream.send_all(wire.length(1 << 63) + bundle_on_wire(b"small") + wire.shutdown(0))
    await raw.session.run()
    assert raw.inbox.bundles == [b"small"]
    shown = bytes(await raw.stream.receive_some())
    assert wire.refuse(wire.NO_RESOURCES) + wire.ack(5) in shown


async def test_no_room_is_said_before_the_data(autojump_clock: MockClock) -> None:
    raw = Raw()
    asked: list[int] = []

    def has_room(size_bytes: int) -> bool:
        asked.append(size_bytes)
        return size_bytes < 100

    raw.session = session_of_bob(raw.below, raw.inbox, has_room=has_room)
    await raw.greet(features=ANSWERED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raw.session.run)
        await raw.stream.send_all(wire.length(100))
        await wait_all_tasks_blocked()
        shown = bytes(await raw.stream.receive_some())
        assert shown.endswith(wire.refuse(wire.NO_RESOURCES))
        await raw.stream.send_all(wire.length(99) + bundle_on_wire(bytes(99)) + wire.shutdown(0))
    assert asked == [100, 99]
    assert raw.inbox.bundles == [bytes(99)]


async def test_a_bundle_that_is_wanted_again_is_sent_again() -> None:
    """And not for ever."""
    raw = Raw()
    await raw.greet(features=ANSWERED)
    outcomes: list[str] = []

    async def send(bundle: bytes) -> None:
        try:
            await raw.session.transmit(bundle)
            outcomes.append("taken")
        except CapacityError:
            outcomes.append("given up")

    async with trio.open_nursery() as nursery:
        await nursery.start(raw.session.run)
        nursery.start_soon(send, b"one")
        for answers in ([wire.RETRANSMIT, None], [wire.RETRANSMIT] * 3):
            for answer in answers:
                await wait_all_tasks_blocked()
                assert bytes(await raw.stream.receive_some()).endswith(bundle_on_wire(b"one"))
                say = wire.ack(3) if answer is None else wire.refuse(answer)
                await raw.stream.send_all(say)
            await wait_all_tasks_blocked()
            if len(outcomes) == 1:
                nursery.start_soon(send, b"one")
        await raw.stream.send_all(wire.shutdown(0))
    assert outcomes == ["taken", "given up"]


async def test_a_bundle_that_the_peer_has_already_counts_as_taken() -> None:
    raw = Raw()
    await raw.greet(features=ANSWERED)
    async with trio.open_nursery() as nursery:
        await nursery.start(raw.session.run)
        nursery.start_soon(raw.session.transmit, b"known")
        await wait_all_tasks_blocked()
        await raw.stream.send_all(wire.refuse(wire.COMPLETED) + wire.shutdown(0))


async def test_an_idle_session_is_shut_down(autojump_clock: MockClock) -> None:
    raw = Raw()
    raw.session = session_of_bob(raw.below, raw.inbox, idle_s=60.0)
    await raw.greet(features=ANSWERED)

    async def keep_alive() -> None:
        while True:
            await trio.sleep(5)
            await raw.stream.send_all(wire.KEEPALIVE)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_alive)
        await raw.session.run()
        nursery.cancel_scope.cancel()
    assert trio.current_time() == pytest.approx(60.0, abs=10.0)
    assert bytes(await raw.stream.receive_some()).endswith(wire.shutdown(wire.IDLE_TIMEOUT))


async def test_the_peer_says_how_long_to_stay_away() -> None:
    raw = Raw()
    await raw.greet()
    await raw.stream.send_all(b"\x53\x02\x82\x2c")
    await raw.session.run()
    assert raw.session.delay_s == 300.0
