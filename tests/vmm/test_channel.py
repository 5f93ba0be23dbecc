"""The channel's host side against a guest, a line that loses, and a guest that lies."""

from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.errors import GuestError, UsageError
from radics_mesh.vmm import abi, events, outputs
from radics_mesh.vmm.changed import Changed
from radics_mesh.vmm.channel import Channel
from radics_mesh.vmm.events import ChannelEvent as Event
from radics_mesh.vmm.events import Panicked, Parked, Ready
from radics_mesh.vmm.frames import Hello, Message, StreamState
from radics_mesh.vmm.outputs import Exit, Log, Output, Send, Subscribe
from radics_mesh.vmm.threads import ThreadReport, ThreadTold
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


def test_park_is_answered_and_asked_again_after_a_reconnection() -> None:
    host, guest = connected()
    host.park()
    host.outgoing()
    host.disconnected()
    guest.reconnect()
    host.connected(NOW, WALL)
    (parked,) = (event for event in exchange(host, guest) if isinstance(event, Parked))
    assert parked.memory_bytes == 8 << 20
    assert parked.changed is not None
    assert parked.changed.since == 0


def test_an_old_guest_parks_without_saying_what_changed() -> None:
    guest = twin.Guest()
    guest.minor = 0
    host, guest = connected(guest=guest)
    assert not host.can_stage
    with pytest.raises(UsageError, match="which of its pages"):
        host.stage(0, NOW)
    host.park(5)
    assert exchange(host, guest) == [Parked(8 << 20)]


def test_a_stage_is_answered() -> None:
    host, guest = connected()
    host.stage(0, NOW)
    (first,) = exchange(host, guest)
    assert isinstance(first, Changed)
    assert (first.since, first.pages, first.bits) == (0, 64, b"\1" * 8)
    host.stage(first.stage, NOW)
    (second,) = exchange(host, guest)
    assert isinstance(second, Changed)
    assert second.since == first.stage
    assert guest.stages == [(first.stage, 0), (second.stage, first.stage)]
    assert host.deadline is None


def test_a_lost_answer_is_asked_for_again_under_another_number() -> None:
    host, guest = connected()
    guest.deaf_to_stages = True
    host.stage(9, NOW)
    assert exchange(host, guest) == []
    guest.deaf_to_stages = False
    assert host.deadline is not None
    later = host.deadline
    host.poll(later, WALL)
    (answer,) = exchange(host, guest, later)
    assert [known for _, known in guest.stages] == [9, 9]
    assert isinstance(answer, Changed)
    assert answer.stage == guest.stages[1][0] != guest.stages[0][0]
    late = guest.changed(*guest.stages[0])
    assert host.received(late, later, WALL) == []


def test_a_stage_is_asked_again_after_a_reconnection() -> None:
    host, guest = connected()
    host.stage(3, NOW)
    host.outgoing()
    host.disconnected()
    guest.reconnect()
    host.connected(NOW, WALL)
    assert any(isinstance(event, Changed) for event in exchange(host, guest))


def test_changes_that_nobody_asked_for_are_dropped() -> None:
    host, guest = connected()
    assert host.received(guest.changed(1, 0), NOW, WALL) == []


def test_parked_without_asking_is_dropped() -> None:
    host, _ = connected()
    assert host.received(twin.frame(abi.F_PARKED, bytes(16)), NOW, WALL) == []


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


def guest_frames() -> st.SearchStrategy[bytes]:
    kinds = st.sampled_from((0x81, 0x82, 0x83, 0x84, 0x85, 0x87, 0x01, 0x7F))
    return st.builds(twin.frame, kinds, st.binary(max_size=60))


@given(st.lists(st.one_of(guest_frames(), st.binary(max_size=80)), max_size=20))
def test_no_bytes_break_the_host(pieces: list[bytes]) -> None:
    host, _ = connected()
    for piece in pieces:
        try:
            host.received(piece, NOW, WALL)
            host.deliver(0, 1, [Message(b"x")], NOW)
            host.outgoing()
        except GuestError:
            return


@given(st.lists(st.integers(1, 400), max_size=30))
def test_chunking_never_changes_events(sizes: list[int]) -> None:
    guest = twin.Guest()
    _, guest = connected(guest=guest)
    for number in range(20):
        guest.output(twin.log_body(b"text %d" % number * number))
    data = bytes(guest.send)
    whole, pieces = connected()[0], connected()[0]
    expected = whole.received(data, NOW, WALL)
    events: list[Event] = []
    for size in (*sizes, len(data)):
        events += pieces.received(data[:size], NOW, WALL)
        data = data[size:]
    assert events == expected


@settings(max_examples=60, stateful_step_count=40, deadline=None)
class Line(RuleBasedStateMachine):
    """A guest, a host that restarts, and a line that breaks, loses and damages."""

    def __init__(self) -> None:
        super().__init__()
        self.guest = twin.Guest()
        self.host = new_channel()
        self.now = NOW
        self.seen: list[int] = []
        self.durable = 0
        self.supplied = 0
        self.host.connected(self.now, WALL)

    def happened(self, events: list[Event]) -> None:
        self.seen += [event.number for event in events if isinstance(event, Output)]

    @rule()
    def carry_down(self) -> None:
        self.guest.receive(self.host.outgoing())

    @rule(keep=st.integers(0, 400))
    def carry_up(self, keep: int) -> None:
        data = bytes(self.guest.send[:keep])
        del self.guest.send[:keep]
        self.happened(self.host.received(data, self.now, WALL))

    @rule()
    def lose_down(self) -> None:
        self.host.outgoing()

    @rule(at=st.integers(0, 10_000), bit=st.integers(0, 7))
    def damage_up(self, at: int, bit: int) -> None:
        if self.guest.send:
            self.guest.send[at % len(self.guest.send)] ^= 1 << bit

    @rule(seconds=st.floats(0, 5))
    def time_passes(self, seconds: float) -> None:
        self.now = Monotonic(self.now + seconds)
        self.host.poll(self.now, WALL)

    @rule(size=st.integers(0, 60))
    def guest_outputs(self, size: int) -> None:
        self.guest.output(twin.log_body(bytes(size)))

    @precondition(lambda self: self.guest.streams[0].waiting)
    @rule(report=st.booleans())
    def guest_takes(self, report: bool) -> None:
        self.guest.streams[0].take()
        if report:
            self.guest.report(0)

    @rule(size=st.sampled_from((1, 300, 40_000)))
    def host_delivers(self, size: int) -> None:
        states = {state.stream: state for state in self.host.streams()}
        if self.host.ready:
            first = self.supplied + 1
            payload = first.to_bytes(4, "little") * (size // 4 + 1)
            if states[0].have <= self.supplied:
                self.supplied += self.host.deliver(0, first, [Message(payload)], self.now)

    @precondition(lambda self: self.seen and self.seen[-1] > self.durable)
    @rule()
    def host_acknowledges(self) -> None:
        self.durable = self.seen[-1]
        self.host.acknowledge(self.durable)

    @rule()
    def line_breaks(self) -> None:
        self.host.disconnected()
        self.guest.reconnect()
        self.host.connected(self.now, WALL)

    @rule()
    def host_restarts(self) -> None:
        """It keeps only what was durable; what it had handed down it gets from the source again."""
        self.guest.reconnect()
        self.host = new_channel(Hello("n", "e", "h", "e", out_acked=self.durable))
        self.seen = list(range(1, self.durable + 1))
        self.supplied = self.guest.streams[0].have
        self.host.connected(self.now, WALL)

    @invariant()
    def outputs_in_order_once(self) -> None:
        assert self.seen == list(range(1, len(self.seen) + 1))

    @invariant()
    def window_is_kept(self) -> None:
        assert self.guest.streams[0].peak_bytes <= abi.STREAM_WINDOW

    @invariant()
    def messages_in_order_once(self) -> None:
        stream = self.guest.streams[0]
        held = [*stream.taken, *(item[4] for item in stream.waiting)]
        assert [int.from_bytes(payload[:4], "little") for payload in held] == list(
            range(1, len(held) + 1)
        )

    def teardown(self) -> None:
        """A line that holds from now on brings everything across."""
        self.line_breaks()
        for _ in range(12):
            self.happened(exchange(self.host, self.guest, self.now))
            self.now = Monotonic(self.now + 40)
            self.host.poll(self.now, WALL)
        assert len(self.seen) == self.guest.out_number
        assert self.guest.streams[0].have == self.supplied


TestLine = Line.TestCase


def test_states_have_names() -> None:
    assert (events.FRESH, events.RUNNING, events.WARM) == (0, 1, 2)


def test_threads_are_told_under_the_number_of_their_question() -> None:
    host, guest = connected()
    nonce = host.ask_threads()
    first, second = exchange(host, guest)
    assert isinstance(first, ThreadTold)
    assert isinstance(second, ThreadTold)
    assert (first.nonce, first.threads, first.index, second.index) == (nonce, 2, 0, 1)
    assert first.report == ThreadReport(
        base=0x1000,
        tid=5,
        name="some",
        waits=False,
        call=202,
        arguments=(0, 1, 2, 3, 4, 5),
        left_ns=77,
        registers=(8, 9),
        stack_at=0x7000,
        stack=b"abc",
    )
    assert second.report.waits
    assert host.ask_threads() != nonce
    guest.stacks_lost = 1
    (second,) = exchange(host, guest)
    assert isinstance(second, ThreadTold)
    assert second.index == 1


def test_an_old_guest_is_not_asked_for_its_threads() -> None:
    guest = twin.Guest()
    guest.minor = 0
    host, guest = connected(guest=guest)
    with pytest.raises(UsageError, match="what its threads do"):
        host.ask_threads()
