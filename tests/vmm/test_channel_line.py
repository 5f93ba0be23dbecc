"""Host and guest over a line that loses and cuts anywhere: no bytes break the host, and all comes
once and in order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from radics_mesh.clock import Monotonic
from radics_mesh.errors import GuestError
from radics_mesh.vmm import abi
from radics_mesh.vmm.events import ChannelEvent as Event
from radics_mesh.vmm.frames import Hello, Message
from radics_mesh.vmm.outputs import Output
from tests.vmm import guest_twin as twin
from tests.vmm.test_channel import NOW, WALL, connected, exchange, new_channel


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
