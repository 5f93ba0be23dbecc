"""The channel's host side against a guest, and a guest that lies."""

from __future__ import annotations

import struct
from random import Random

import pytest

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.errors import GuestError, UsageError
from radics_mesh.vmm import abi, outputs
from radics_mesh.vmm.channel import Channel
from radics_mesh.vmm.events import ChannelEvent as Event
from radics_mesh.vmm.events import Panicked, Ready
from radics_mesh.vmm.frames import Hello, Message, StreamState
from radics_mesh.vmm.outputs import Exit, Log, Output, Send, Subscribe
from tests.vmm import guest_twin as twin

HELLO = Hello("vm", "dtn://vm.x/", "here", "dtn://h/", argv=("a", "b"), sources=("s",))
NOW = Monotonic(100.0)
WALL = Wall(1_800_000_000.0)


def new_channel(hello: Hello = HELLO) -> Channel:
    return Channel(hello, Random(1).randbytes)


def exchange(host: Channel, guest: twin.Guest, now: Monotonic = NOW) -> list[Event]:
    """Carry bytes both ways until there are none."""
    events: list[Event] = []
    while True:
        down, up = host.outgoing(), bytes(guest.send)
        guest.send.clear()
        if not down and not up:
            return events
        guest.receive(down)
        events += host.received(up, now, WALL)


def connected(hello: Hello = HELLO, guest: twin.Guest | None = None) -> tuple[Channel, twin.Guest]:
    host, guest = new_channel(hello), guest or twin.Guest()
    host.connected(NOW, WALL)
    assert any(isinstance(event, Ready) for event in exchange(host, guest))
    return host, guest


def test_hello_tells_who_the_vm_is() -> None:
    host, guest = connected(
        Hello(
            *("n", "e", "h", "he"),
            epoch=7,
            out_acked=0,
            argv=("x",),
            environment=("K=V",),
            branch=3,
            checkpoint=9,
            checkpoint_error=28,
            has_stdin=True,
        )
    )
    body = guest.hellos[0]
    major, minor, _, epoch, wall_ns, acked = struct.unpack_from("<HHQQQQ", body)
    assert (major, minor, epoch, wall_ns, acked) == (1, 2, 7, 1_800_000_000 * 10**9, 0)
    assert body[68:] == b"".join(map(twin.text, ("n", "e", "h", "he"))) + struct.pack(
        "<H3sH5sHIQIB", 1, twin.text("x"), 1, twin.text("K=V"), 0, 3, 9, 28, 1
    )
    assert host.ready


def test_hello_is_repeated_until_answered_with_back_off() -> None:
    host = new_channel()
    host.connected(NOW, WALL)
    guest, sent, now = twin.Guest(), [], NOW
    for _ in range(7):
        guest.receive(host.outgoing())
        due = host.deadline
        assert due is not None
        sent.append(due - now)
        now = due
        host.poll(now, WALL)
    assert sent == [0.5, 1, 2, 4, 8, 8, 8]
    assert len(guest.hellos) == 7
    events = exchange(host, guest, now)
    assert [type(event) for event in events] == [Ready]
    assert host.deadline is None


def test_every_kind_of_output() -> None:
    host, guest = connected()
    guest.output(twin.log_body(b"\xff\n", 1))
    guest.output(twin.send_body("dtn://a/b", b"\0payload", 60))
    guest.subscribe(3, "camera/door")
    guest.output(twin.exit_body(4, 0, "done"))
    assert exchange(host, guest) == [
        Output(1, Log(1, b"\xff\n")),
        Output(2, Send("dtn://a/b", 60, b"\0payload")),
        Output(3, Subscribe(3, "camera/door")),
        Output(4, Exit(0, 4, "done")),
    ]
    host.acknowledge(3)
    exchange(host, guest)
    assert set(guest.out) == {4}
    with pytest.raises(UsageError):
        host.acknowledge(5)


@pytest.mark.parametrize(
    "body",
    [
        bytes((99,)) + b"later",
        bytes((abi.OUT_SEND,)),
        bytes((abi.OUT_SEND,)) + twin.text("x" * 256) + bytes(4) + twin.blob(b""),
        twin.send_body("a", bytes(abi.MESSAGE_MAX + 1)),
        twin.subscribe_body(abi.STREAMS_MAX, "s"),
        twin.subscribe_body(0, "s"),
        twin.subscribe_body(1, ""),
        bytes((abi.OUT_EXIT, 0)) + bytes(4) + struct.pack("<H", 2) + b"\xff\xff",
    ],
)
def test_an_output_that_makes_no_sense_still_has_its_number(body: bytes) -> None:
    host, guest = connected()
    guest.output(body)
    (event,) = exchange(host, guest)
    assert isinstance(event, Output)
    assert isinstance(event.body, outputs.Unreadable)
    host.acknowledge(1)


def test_after_a_reconnection_outputs_come_once() -> None:
    host, guest = connected()
    for number in range(5):
        guest.output(twin.log_body(b"%d" % number))
    assert len(exchange(host, guest)) == 5
    host.acknowledge(2)
    host.disconnected()
    guest.reconnect()
    guest.output(twin.log_body(b"lost on the wire"))
    guest.reconnect()
    host.connected(NOW, WALL)
    events = exchange(host, guest)
    assert [event.number for event in events if isinstance(event, Output)] == [6]
    assert host.faults.counters == {"duplicates": 3}
    assert min(guest.out) == 3


def test_another_host_goes_on_where_the_first_was_durable() -> None:
    first, guest = connected()
    for number in range(4):
        guest.output(twin.log_body(b"%d" % number))
    exchange(first, guest)
    first.acknowledge(2)
    second, _ = connected_with_events(Hello("n", "e", "h", "e", out_acked=2), guest)
    assert [event.number for event in second if isinstance(event, Output)] == [3, 4]


def connected_with_events(hello: Hello, guest: twin.Guest) -> tuple[list[Event], Channel]:
    host = new_channel(hello)
    guest.reconnect()
    host.connected(NOW, WALL)
    return exchange(host, guest), host


def test_a_gap_is_refused_and_the_guest_goes_back() -> None:
    host, guest = connected()
    guest.output(twin.log_body(b"1"))
    guest.send.clear()  # lost
    guest.output(twin.log_body(b"2"))
    numbers = [event.number for event in exchange(host, guest) if isinstance(event, Output)]
    assert numbers == [1, 2]
    assert host.faults.counters["output: gap"] == 1


def test_a_damaged_frame_is_counted_and_repeated() -> None:
    host, guest = connected()
    guest.output(twin.log_body(b"hello"))
    guest.send[5] ^= 1
    assert exchange(host, guest) == [Output(1, Log(0, b"hello"))]
    assert sum(host.faults.counters.values()) >= 1


def test_outputs_that_nobody_has_any_more_end_the_guest() -> None:
    host, guest = connected()
    for _ in range(3):
        guest.output(twin.log_body(b""))
    exchange(host, guest)
    host.acknowledge(3)
    exchange(host, guest)
    with pytest.raises(GuestError, match="outputs 1 to 3 are lost"):
        connected_with_events(HELLO, guest)


def test_another_major_version_ends_the_guest() -> None:
    host = new_channel()
    host.connected(NOW, WALL)
    with pytest.raises(GuestError, match="version 2"):
        host.received(twin.frame(abi.F_HELLO_ACK, struct.pack("<HHQ", 2, 0, 1)), NOW, WALL)


def test_messages_arrive_in_order_within_the_window() -> None:
    host, guest = connected()
    messages = [Message(bytes([n]) * 5000, "dtn://a/", "svc") for n in range(60)]
    assert host.window(0) == abi.STREAM_WINDOW
    taken = host.deliver(0, 1, messages, NOW)
    assert taken == abi.STREAM_WINDOW // 5064
    exchange(host, guest)
    stream = guest.streams[0]
    assert stream.waiting[0] == (1, 0, "dtn://a/", "svc", bytes(5000))
    while taken < len(messages):
        stream.take()
        guest.report(0)
        assert exchange(host, guest) == [StreamState(0, stream.have, stream.done)]
        taken += host.deliver(0, taken + 1, messages[taken:], NOW)
        exchange(host, guest)
    while stream.waiting:
        stream.take()
    assert stream.taken == [message.payload for message in messages]
    assert stream.peak_bytes <= abi.STREAM_WINDOW
    assert guest.dropped == 0


def test_the_largest_message_fits_and_a_larger_one_is_refused() -> None:
    host, guest = connected()
    largest = Message(b"\xaa" * abi.MESSAGE_MAX, "f" * 255, "t" * 255)
    assert host.deliver(0, 1, [largest, Message(b"", end=True)], NOW) == 2
    exchange(host, guest)
    assert [(item[1], item[4]) for item in guest.streams[0].waiting] == [
        (0, largest.payload),
        (abi.M_END, b""),
    ]
    with pytest.raises(UsageError, match="65536"):
        Message(bytes(abi.MESSAGE_MAX + 1))
    with pytest.raises(UsageError, match="255"):
        Message(b"", "\u00e9" * 128)


def test_delivering_again_is_harmless_and_a_gap_is_our_own_mistake() -> None:
    host, guest = connected()
    messages = [Message(b"1"), Message(b"2"), Message(b"3")]
    assert host.deliver(0, 1, messages[:2], NOW) == 2
    assert host.deliver(0, 1, messages, NOW) == 3
    with pytest.raises(UsageError, match="message 5 after 3"):
        host.deliver(0, 5, messages, NOW)
    assert host.deliver(9, 1, messages, NOW) == 0
    exchange(host, guest)
    assert [item[4] for item in guest.streams[0].waiting] == [b"1", b"2", b"3"]


def test_lost_messages_are_sent_again_after_a_while() -> None:
    host, guest = connected()
    host.deliver(0, 1, [Message(b"1"), Message(b"2")], NOW)
    host.outgoing()  # lost
    due = host.deadline
    assert due is not None
    host.poll(due, WALL)
    exchange(host, guest, due)
    assert [item[4] for item in guest.streams[0].waiting] == [b"1", b"2"]


def test_a_new_host_keeps_the_window_shut_until_it_knows_what_it_holds() -> None:
    first, guest = connected()
    first.deliver(0, 1, [Message(bytes(60000)), Message(bytes(60000))], NOW)
    exchange(first, guest)
    guest.streams[0].take()
    events, host = connected_with_events(HELLO, guest)
    assert isinstance(events[0], Ready)
    assert events[0].streams == (StreamState(0, 2, 1),)
    assert host.window(0) == 0
    guest.streams[0].take()
    guest.report(0)
    exchange(host, guest)
    assert host.window(0) == abi.STREAM_WINDOW
    assert host.deliver(0, 3, [Message(b"on")], NOW) == 1


def test_a_panic_is_heard_before_the_hello() -> None:
    host = new_channel()
    host.connected(NOW, WALL)
    panic = twin.frame(abi.F_PANIC, struct.pack("<H", 3) + b"a\xffb")
    assert host.received(b"\0" + panic, NOW, WALL) == [Panicked("a\ufffdb")]


@pytest.mark.parametrize("report", [(0, 1, 0), (0, 0, 1), (5, 0, 0), (70, 0, 0), (0, 2**64 - 1, 0)])
def test_impossible_reports_are_counted(report: tuple[int, int, int]) -> None:
    host, _ = connected()
    assert host.received(twin.frame(abi.F_STREAM, struct.pack("<HQQ", *report)), NOW, WALL) == []
    assert sum(host.faults.counters.values()) == 1
    assert host.window(0) == abi.STREAM_WINDOW


def test_an_endless_frame_is_cut_off() -> None:
    host, guest = connected()
    for _ in range(40):
        assert host.received(b"x" * 65536, NOW, WALL) == []
    assert len(host._input) <= 2 * abi.FRAME_MAX
    guest.output(twin.log_body(b"after"))
    guest.send[:0] = b"\0"
    assert exchange(host, guest) == [Output(1, Log(0, b"after"))]
