"""Version 1.1 of the channel with the twin of a guest: streams that come and go, error frames, and
what a guest that means harm costs."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Monotonic
from radics_mesh.errors import GuestError, WireError
from radics_mesh.vmm import abi, frames
from radics_mesh.vmm.events import Ready
from radics_mesh.vmm.frames import Message, StreamState
from radics_mesh.vmm.outputs import (
    Checkpoint,
    Close,
    Hint,
    Output,
    Request,
    Serve,
    Subscribe,
    Unreadable,
)
from tests.vmm import guest_twin as twin
from tests.vmm.test_channel import NOW, WALL, connected, exchange, new_channel

REQUEST = struct.pack("<BQ", abi.OUT_REQUEST, 0xAB) + twin.send_body("dtn://x/", b"ask", 7)[1:]


def serve_body(stream: int, service: str) -> bytes:
    return struct.pack("<BH", abi.OUT_SERVE, stream) + twin.text(service)


@pytest.mark.parametrize(
    ("body", "meaning"),
    [
        (REQUEST, Request(0xAB, "dtn://x/", 7, b"ask")),
        (serve_body(1, "echo"), Serve(1, "echo")),
        (serve_body(1, "~echo"), Unreadable(abi.OUT_SERVE, "serve: not a service's name")),
        (
            serve_body(62, "echo"),
            Unreadable(abi.OUT_SERVE, "output: not a stream of the program's"),
        ),
        (struct.pack("<BH", abi.OUT_CLOSE, 5), Close(5)),
        (bytes((abi.OUT_CHECKPOINT,)), Checkpoint()),
        (bytes((abi.OUT_HINT, 1)) + twin.text("text"), Hint(1, "text")),
        (
            bytes((abi.OUT_HINT, 9)) + twin.text(""),
            Unreadable(abi.OUT_HINT, "hint: of a later version"),
        ),
        (twin.subscribe_body(3, "text"), Subscribe(3, "text", 0)),
        (twin.subscribe_body(3, "text") + struct.pack("<Q", 41), Subscribe(3, "text", 41)),
    ],
)
def test_outputs_of_the_new_version(body: bytes, meaning: object) -> None:
    host, guest = connected()
    guest.output(body)
    assert exchange(host, guest) == [Output(1, meaning)]  # type: ignore[arg-type]


def test_a_reply_goes_to_the_token() -> None:
    assert Request(0xAB, "dtn://x/", 0, b"").reply_service == "~00000000000000ab"


def test_reserved_streams_and_services_are_told_by_the_guest() -> None:
    host, guest = new_channel(), twin.Guest()
    guest.others = {2: (1, "echo", 5, 4), 62: (2, "", 9, 9), 7: (99, "later", 1, 1)}
    guest.streams[2] = twin.TwinStream("echo", 5, 4)  # where the twin keeps what comes
    guest.checkpoint = 17
    host.connected(NOW, WALL)
    (ready,) = (event for event in exchange(host, guest) if isinstance(event, Ready))
    assert ready.checkpoint == 17
    assert StreamState(2, 5, 4, "echo", 1) in ready.streams
    assert StreamState(62, 9, 9, "", 2) in ready.streams


def test_a_guest_of_version_1_0_is_served_as_before() -> None:
    guest = twin.Guest()
    guest.minor = 0
    host, guest = connected(guest=guest)
    assert host.window(abi.STREAM_REPLIES) == 0
    host.deliver(0, 1, [Message(b"mail", "dtn://a/", "~1")], NOW)
    exchange(host, guest)
    assert guest.streams[0].waiting[0][3:] == ("~1", b"mail")
    host.received(twin.frame(0x77, b"?"), NOW, WALL)
    exchange(host, guest)
    assert guest.errors == []
    assert host.faults.counters["frame: unknown type"] == 1


def test_a_closed_stream_can_be_another_one() -> None:
    host, guest = connected()
    guest.subscribe(1, "text")
    exchange(host, guest)
    host.deliver(1, 1, [Message(b"one")], NOW)
    guest.output(struct.pack("<BH", abi.OUT_CLOSE, 1))
    exchange(host, guest)
    assert host.window(1) == 0
    assert host.deliver(1, 2, [Message(b"two")], NOW) == 0
    guest.subscribe(1, "other")
    exchange(host, guest)
    assert host.deliver(1, 1, [Message(b"first")], NOW) == 1
    exchange(host, guest)
    assert guest.streams[1].waiting[-1][4] == b"first"


def test_a_subscription_goes_on_behind_a_number() -> None:
    host, guest = connected()
    guest.streams[4] = twin.TwinStream("text", 41, 41)
    guest.output(twin.subscribe_body(4, "text") + struct.pack("<Q", 41))
    exchange(host, guest)
    assert host.deliver(4, 42, [Message(b"forty-two")], NOW) == 1
    exchange(host, guest)
    assert guest.streams[4].waiting[0][0] == 42


def test_what_has_changed_is_told_in_a_new_hello() -> None:
    host, guest = connected()
    host.tell(frames.Hello("n", "e", "h", "he", checkpoint=3, checkpoint_error=28), NOW, WALL)
    assert exchange(host, guest) == []
    assert guest.hellos[-1].endswith(struct.pack("<IQIB", 0, 3, 28, 0))


# --- error frames ---


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (twin.frame(0x77, b"?"), (abi.E_TYPE, 0x77, 1)),
        (twin.frame(abi.F_STREAM, b"\1"), (abi.E_BODY, abi.F_STREAM, 1)),
        (b"\5\1\0", (abi.E_FRAME, 0, 2)),
        (
            twin.frame(abi.F_OUT, struct.pack("<QB", 9, 1) + bytes(5)),
            (abi.E_SEQUENCE, abi.F_OUT, 1),
        ),
        (twin.frame(abi.F_STREAM, struct.pack("<HQQ", 9, 1, 1)), (abi.E_STREAM, abi.F_STREAM, 9)),
    ],
)
def test_a_bad_frame_is_answered(sent: bytes, error: tuple[int, int, int]) -> None:
    host, guest = connected()
    host.received(sent, NOW, WALL)
    exchange(host, guest)
    assert [struct.unpack_from("<BBQ", told) for told in guest.errors] == [error]
    assert b"1 so far" in guest.errors[0]
    assert host.faults.bad_frames == 1


def test_a_guest_is_told_of_a_few_errors_only() -> None:
    host, guest = connected()
    bad = twin.frame(0x77, b"?")
    host.received(bad * 1000, NOW, WALL)
    exchange(host, guest)
    assert len(guest.errors) == abi.ERRORS_BURST
    later = Monotonic(NOW + 3.0)
    host.received(bad * 1000, later, WALL)
    exchange(host, guest)
    assert len(guest.errors) == abi.ERRORS_BURST + 3
    assert host.faults.bad_frames == 2000


def test_what_a_guest_complains_of_is_counted_and_not_answered() -> None:
    host, guest = connected()
    told = struct.pack("<BBQ", abi.E_SEQUENCE, abi.F_DATA, 4) + twin.text("7 so far")
    host.received(twin.frame(abi.F_ERROR_BACK, told), NOW, WALL)
    host.received(twin.frame(abi.F_ERROR_BACK, b"\xee" + told[1:]), NOW, WALL)
    assert host.faults.counters["guest complains: sequence"] == 1
    assert host.faults.counters["guest complains: otherwise"] == 1
    assert host.faults.bad_frames == 0
    assert guest.errors == []


# --- guests that mean harm ---


def test_more_output_than_the_window_ends_the_guest() -> None:
    host, guest = connected()
    for _ in range(5):
        guest.output(twin.log_body(bytes(60_000)))
    exchange(host, guest)
    guest.output(twin.log_body(bytes(60_000)))
    with pytest.raises(GuestError, match="output at once"):
        exchange(host, guest)


def test_a_full_window_of_the_smallest_outputs_is_fine() -> None:
    host, guest = connected()
    for _ in range(abi.OUT_WINDOW // 10):
        guest.output(twin.log_body(b"abcd"))
    exchange(host, guest)
    host.acknowledge(abi.OUT_WINDOW // 10)
    guest.output(twin.log_body(bytes(60_000)))
    exchange(host, guest)


def test_garbage_is_counted_in_bytes_however_it_comes() -> None:
    host, _ = connected()
    host.received(b"\7" * 500_000, NOW, WALL)
    assert 400_000 < host.faults.garbage_bytes < 600_000
    before = host.faults.garbage_bytes
    host.received(b"\0" + b"\1\2\3\0" * 100, NOW, WALL)
    assert host.faults.garbage_bytes > before + 100 * 256


def test_a_guest_that_reads_nothing_costs_little_memory() -> None:
    host, _ = connected()
    bad = twin.frame(0x77, b"?")
    for second in range(5000):
        host.received(bad * 20, Monotonic(NOW + second), WALL)
    assert len(host.outgoing()) < 200_000


# --- anything ---


@given(st.sampled_from(range(5, 10)), st.binary(max_size=80))
def test_any_body_of_a_new_output_has_its_number(kind: int, body: bytes) -> None:
    encoded = twin.frame(abi.F_OUT, struct.pack("<QB", 5, kind) + body).rstrip(b"\0")
    frame = frames.decode(encoded)
    assert isinstance(frame, Output)
    assert frame.number == 5


@given(st.sampled_from((0x81, 0x87)), st.binary(max_size=120))
def test_any_body_is_a_frame_or_a_wire_error(kind: int, body: bytes) -> None:
    try:
        frames.decode(twin.frame(kind, body).rstrip(b"\0"))
    except WireError:
        return
