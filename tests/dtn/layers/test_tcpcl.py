import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.layers import tcpcl_wire as wire
from radics_mesh.dtn.layers.tcpcl import Session
from radics_mesh.dtn.layers.tcpcl_events import (
    Acknowledged,
    Announced,
    Arrived,
    Ended,
    Event,
    Greeted,
    Part,
    Refused,
)
from radics_mesh.dtn.layers.tcpcl_sending import SEGMENT_BYTES
from radics_mesh.dtn.layers.tcpcl_wire import Features, Hello
from radics_mesh.errors import LinkError, UsageError, WireError
from radics_mesh.ids import Eid

T0 = Monotonic(100.0)
ALICE, BOB = Eid("dtn://alice/"), Eid("dtn://bob/")
ALL = Features.ACKNOWLEDGE | Features.REFUSE | Features.LENGTH
LIMIT = 1 << 20


def session(own: Eid, *, offered: Features = ALL, keepalive_s: int = 10, **more: Any) -> Session:
    return Session(
        own, keepalive_s=keepalive_s, bundle_max_bytes=LIMIT, now=T0, offered=offered, **more
    )


def out(core: Session) -> bytes:
    return core.take(1 << 30, T0)[0]


def pair(features: Features = ALL) -> tuple[Session, Session]:
    alice, bob = session(ALICE), session(BOB, offered=features)
    from_alice, from_bob = out(alice), out(bob)
    assert bob.receive(from_alice, T0) == [Greeted(ALICE, features & ALL, 10)]
    alice.receive(from_bob, T0)
    return alice, bob


def hello(features: Features = ALL, keepalive_s: int = 10) -> bytes:
    return Hello(ALICE, features, keepalive_s).encode()


def greeted(features: Features = ALL) -> Session:
    core = session(BOB)
    core.receive(hello(features), T0)
    out(core)
    return core


def test_contact_header_bytes() -> None:
    assert out(session(ALICE, keepalive_s=258)) == b"dtn!\x03\x0d\x01\x02\x0cdtn://alice/"


def test_features_are_what_both_offer_and_keepalive_the_minimum() -> None:
    core = session(BOB, offered=Features.ACKNOWLEDGE | Features.LENGTH, keepalive_s=30)
    every = Features(15)
    (event,) = core.receive(Hello(ALICE, every, 20).encode(), T0)
    assert event == Greeted(ALICE, Features.ACKNOWLEDGE | Features.LENGTH, 20)


def test_no_refusal_without_acknowledgements() -> None:
    (event,) = session(BOB).receive(hello(Features.REFUSE), T0)
    assert event == Greeted(ALICE, Features.NONE, 10)


def test_a_bundle_is_acknowledged_on_command_only() -> None:
    alice, bob = pair()
    transmission = alice.send(b"bundle")
    sent = out(alice)
    assert sent == b"\x13\x06bundle"
    assert bob.receive(sent, T0) == [Arrived(0, b"bundle")]
    assert out(bob) == b""
    bob.accept(0)
    assert alice.receive(out(bob), T0) == [Acknowledged(transmission)]


def test_a_long_bundle_goes_in_segments_with_its_length_first() -> None:
    alice, bob = pair()
    bundle = bytes(range(256)) * 1000
    transmission = alice.send(bundle)
    sent = out(alice)
    assert sent.startswith(wire.length(len(bundle)) + wire.segment_head(True, False, SEGMENT_BYTES))
    assert bob.receive(sent, T0) == [Announced(0, len(bundle)), Arrived(0, bundle)]
    bob.accept(0)
    answers = out(bob)
    # One acknowledgement a segment: IBR-DTN counts them.
    ends = [SEGMENT_BYTES, 2 * SEGMENT_BYTES, 3 * SEGMENT_BYTES, len(bundle)]
    assert answers == b"".join(wire.ack(end) for end in ends)
    assert alice.receive(answers, T0) == [Acknowledged(transmission)]


def test_writing_is_cut_between_segments() -> None:
    alice, _ = pair()
    alice.send(bytes(3 * SEGMENT_BYTES))
    pieces = list(itertools.takewhile(len, (alice.take(1, T0)[0] for _ in range(9))))
    assert len(pieces) == 3


def test_many_in_flight_are_answered_in_order() -> None:
    alice, bob = pair()
    sent = [alice.send(bytes([n]) * 3) for n in range(4)]
    arrived = bob.receive(out(alice), T0)
    assert arrived == [Arrived(n, bytes([n]) * 3) for n in range(4)]
    bob.accept(3)
    bob.refuse(1, wire.NO_RESOURCES)
    assert out(bob) == b""
    bob.accept(0)
    bob.accept(2)
    assert alice.receive(out(bob), T0) == [
        Acknowledged(sent[0]),
        Refused(sent[1], wire.NO_RESOURCES),
        Acknowledged(sent[2]),
        Acknowledged(sent[3]),
    ]


def test_a_refused_bundle_breaks_off_and_the_next_one_follows() -> None:
    alice, bob = pair()
    first, second = alice.send(bytes(LIMIT + 1)), alice.send(b"second")
    assert bob.receive(alice.take(1, T0)[0], T0) == []
    assert alice.receive(out(bob), T0) == [Refused(first, wire.NO_RESOURCES)]
    (arrived,) = bob.receive(out(alice), T0)
    assert arrived == Arrived(1, b"second")
    bob.accept(1)
    assert alice.receive(out(bob), T0) == [Acknowledged(second)]


def test_a_refused_bundle_that_still_comes_whole_is_passed_over() -> None:
    bob = greeted(Features.ACKNOWLEDGE | Features.REFUSE)
    too_long = wire.segment_head(True, True, LIMIT + 1) + bytes(LIMIT + 1)
    (arrived,) = bob.receive(too_long + wire.segment_head(True, True, 2) + b"ok", T0)
    assert arrived == Arrived(1, b"ok")
    assert out(bob) == wire.refuse(wire.NO_RESOURCES)


def test_where_refusal_is_not_agreed_on_the_session_ends() -> None:
    bob = greeted(Features.ACKNOWLEDGE)
    bob.receive(wire.segment_head(True, True, 2) + b"no", T0)
    with pytest.raises(LinkError, match="no refusal"):
        bob.refuse(0, wire.UNKNOWN)


def test_without_acknowledgements_written_is_done() -> None:
    alice, bob = pair(Features.NONE)
    transmission = alice.send(b"bundle")
    sent, done = alice.take(1 << 20, T0)
    assert done == [Acknowledged(transmission)]
    assert bob.receive(sent, T0) == [Arrived(0, b"bundle")]
    bob.accept(0)
    assert out(bob) == b""


def test_a_withdrawn_bundle_is_not_sent() -> None:
    alice, _ = pair()
    first, second = alice.send(b"first"), alice.send(b"second")
    alice.withdraw(first)
    assert out(alice) == b"\x13\x06second"
    alice.withdraw(second)  # too late, without effect
    assert alice.receive(wire.ack(6), T0) == [Acknowledged(second)]


def test_keepalives_and_silence() -> None:
    alice, bob = pair()
    assert alice.deadline == T0 + 10
    alice.tick(Monotonic(T0 + 9))
    assert out(alice) == b""
    alice.tick(Monotonic(T0 + 10))
    assert alice.take(9, Monotonic(T0 + 10))[0] == wire.KEEPALIVE
    assert bob.receive(wire.KEEPALIVE, Monotonic(T0 + 10)) == []
    bob.tick(Monotonic(T0 + 39))
    with pytest.raises(LinkError, match="nothing heard"):
        bob.tick(Monotonic(T0 + 40))


def test_keepalive_zero_is_off() -> None:
    core = session(BOB)
    core.receive(hello(keepalive_s=0), T0)
    core.tick(Monotonic(T0 + 1e6))
    assert core.deadline == float("inf")


def test_a_greeting_must_come() -> None:
    core = session(BOB)
    core.tick(Monotonic(T0 + 9))
    with pytest.raises(LinkError, match="in time"):
        core.tick(core.deadline)


def test_shutdown_has_both_fields() -> None:
    """IBR-DTN reads reason and delay whatever the flags say."""
    alice, bob = pair()
    alice.send(b"not any more")
    alice.shut_down(wire.BUSY)
    goodbye = out(alice)
    assert goodbye == b"\x53\x02\x00\x01"  # not 0, which is for ever
    assert bob.receive(goodbye, T0) == [Ended(wire.BUSY, None)]


@pytest.mark.parametrize(
    ("sent", "ended"),
    [
        (b"\x50", Ended(None, None)),
        (b"\x50\x00\x00", Ended(None, None)),  # IBR-DTN, fields that no flag announces
        (b"\x52\x01", Ended(1, None)),
        (b"\x51\x05", Ended(None, 5)),
        (b"\x53\x00\x00", Ended(0, None)),  # IBR-DTN's every goodbye
    ],
)
def test_shutdown_forms_that_others_send(sent: bytes, ended: Ended) -> None:
    assert greeted().receive(sent + b"\xff whatever follows", T0) == [ended]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x00", id="type 0"),
        pytest.param(b"\xf0", id="type 15"),
        pytest.param(b"\x11\x01x", id="segment outside a bundle"),
        pytest.param(b"\x12\x01x\x12\x01x", id="bundle inside a bundle"),
        pytest.param(b"\x12\x00", id="empty segment"),
        pytest.param(b"\x13\x00", id="empty bundle"),
        pytest.param(b"\x20\x01", id="ack of nothing"),
        pytest.param(b"\x30", id="refusal of nothing"),
        pytest.param(b"\x13" + b"\xff" * 10, id="length without end"),
    ],
)
def test_breaches_of_the_protocol(sent: bytes) -> None:
    with pytest.raises(WireError):
        greeted().receive(sent, T0)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\n",
        b"dtn!\x04\x00\x00\x00\x00",
        b"dtn!\x03\x00\x00\x00\x82\x00" + bytes(256),
        b"dtn!\x03\x00\x00\x00\x03\xff\xff\xff",
        b"dtn!\x03\x00\x00\x00\x03x y",
    ],
)
def test_bad_contact_headers(sent: bytes) -> None:
    with pytest.raises(WireError):
        session(BOB).receive(sent, T0)


def test_an_acknowledgement_of_what_was_not_sent() -> None:
    alice, _ = pair()
    alice.send(b"bundle")
    out(alice)
    with pytest.raises(WireError, match="more than was sent"):
        alice.receive(wire.ack(7), T0)


# --- LENGTH and refusal before the data ---


def test_what_is_too_long_is_refused_before_its_data_comes() -> None:
    bob = greeted()
    assert bob.receive(wire.length(LIMIT + 1), T0) == []
    assert out(bob) == wire.refuse(wire.NO_RESOURCES)


def test_an_announced_bundle_may_be_refused_by_the_caller() -> None:
    bob = greeted()
    assert bob.receive(wire.length(100), T0) == [Announced(0, 100)]
    bob.refuse(0, wire.COMPLETED)
    assert out(bob) == wire.refuse(wire.COMPLETED)
    # What was on its way is passed over, and the next one taken.
    begun = wire.segment_head(True, False, 60) + bytes(60)
    assert bob.receive(begun + b"\x13\x02ok", T0) == [Arrived(1, b"ok")]
    bob.accept(1)
    assert out(bob) == wire.ack(2)


@pytest.mark.parametrize("follows", [b"\x13\x02ok", b"\x60\x02\x13\x02ok"])
def test_a_peer_that_was_told_in_time_leaves_the_bundle_out(follows: bytes) -> None:
    bob = greeted()
    bob.receive(wire.length(100), T0)
    bob.refuse(0, wire.NO_RESOURCES)
    assert bob.receive(follows, T0)[-1] == Arrived(1, b"ok")
    bob.accept(1)
    assert out(bob) == wire.refuse(wire.NO_RESOURCES) + wire.ack(2)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\x60\x05\x60\x05", id="LENGTH twice"),
        pytest.param(b"\x60\x05\x13\x04abcd", id="shorter"),
        pytest.param(b"\x60\x05\x12\x06abcdef", id="longer"),
        pytest.param(b"\x60\x05\x11\x05abcde", id="not its beginning"),
        pytest.param(b"\x12\x01a\x60\x05", id="inside another bundle"),
        pytest.param(wire.segment_head(True, True, 1 << 63), id="2^63 in a segment"),
    ],
)
def test_lengths_that_cannot_be(sent: bytes) -> None:
    with pytest.raises(WireError):
        greeted().receive(sent, T0)


def test_an_endless_length_is_only_refused() -> None:
    bob = greeted()
    bob.receive(wire.length((1 << 63) - 1) + wire.segment_head(True, False, LIMIT), T0)
    assert out(bob) == wire.refuse(wire.NO_RESOURCES)


def test_segments_without_number_are_a_breach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("radics_mesh.dtn.layers.tcpcl_receiving.SEGMENTS_MAX", 1000)
    bob = greeted()
    bob.receive(b"\x12\x01x" + b"\x10\x01x" * 999, T0)
    with pytest.raises(WireError, match="segments"):
        bob.receive(b"\x10\x01x", T0)


# --- large bundles, and those that break off ---


def test_a_large_bundle_comes_in_parts() -> None:
    bob = session(BOB, collect_max_bytes=10)
    bob.receive(hello(), T0)
    out(bob)
    bundle = bytes(range(35))
    events = feed(bob, [bytes((byte,)) for byte in encoded(bundle, 16, announced=False)])
    *parts, arrived = events
    assert all(isinstance(part, Part) and len(part.content) == 11 for part in parts)
    assert arrived == Arrived(0, bundle[33:])
    assert b"".join(part.content for part in parts if isinstance(part, Part)) == bundle[:33]
    bob.accept(0)
    assert out(bob) == wire.ack(16) + wire.ack(32) + wire.ack(35)


def reactive() -> tuple[Session, Session]:
    every = Features(ALL | Features.REACTIVE_FRAGMENTATION)
    alice = session(ALICE, offered=every, segment_bytes=10)
    bob = session(BOB, offered=every, collect_max_bytes=10)
    bob.receive(out(alice), T0)
    alice.receive(out(bob), T0)
    assert alice.is_reactive
    assert bob.is_reactive
    return alice, bob


def test_what_is_durable_is_acknowledged_before_the_rest_has_come() -> None:
    alice, bob = reactive()
    sent = alice.send(bytes(range(100)))
    came = alice.take(50, T0)[0]
    first, *parts = bob.receive(came[:-5], T0)
    assert first == Announced(0, 100)
    durable = sum(len(part.content) for part in parts if isinstance(part, Part))
    bob.keep(0, durable)
    alice.receive(out(bob), T0)
    # Whole segments only: the rest of what came is not promised.
    assert sent.acked_bytes == durable // 10 * 10 > 0
    assert bob.receiving == 0
    rest = bob.flush()
    assert durable + (len(rest.content) if rest else 0) == sent.sent_bytes - 5
    assert bob.flush() is None


def test_the_end_is_acknowledged_once_for_each_segment() -> None:
    alice, bob = reactive()
    sent = alice.send(bytes(25))
    bob.receive(out(alice), T0)
    bob.keep(0, 11)
    assert out(bob) == wire.ack(10)
    bob.accept(0)
    answers = out(bob)
    assert answers == wire.ack(20) + wire.ack(25)
    assert alice.receive(answers, T0) == [Acknowledged(sent)]
    assert bob.receiving is None


def test_reactive_fragmentation_needs_acknowledgements() -> None:
    (event,) = session(BOB).receive(hello(Features.REACTIVE_FRAGMENTATION), T0)
    assert event == Greeted(ALICE, Features.NONE, 10)


# --- idleness ---


def test_a_session_without_bundles_is_idle_after_a_while() -> None:
    bob = session(BOB, idle_s=100.0)
    bob.receive(hello(), T0)
    bob.receive(b"\x13\x02ok", Monotonic(T0 + 50))
    out(bob)
    for now in (T0 + 60, T0 + 120, T0 + 140):
        bob.receive(wire.KEEPALIVE, Monotonic(now))
    assert not bob.is_idle(Monotonic(T0 + 149))  # it waits for its answer
    bob.accept(0)
    assert not bob.is_idle(Monotonic(T0 + 248))
    assert bob.is_idle(Monotonic(T0 + 249))


def test_a_writer_that_is_stuck_gets_one_keepalive() -> None:
    bob = greeted()
    for now in range(110, 190, 10):
        bob.receive(wire.KEEPALIVE, Monotonic(float(now)))
        bob.tick(Monotonic(float(now)))
    assert bob.backlog_bytes == 1


def test_length_must_be_agreed_on() -> None:
    with pytest.raises(WireError, match="LENGTH"):
        greeted(Features.ACKNOWLEDGE).receive(wire.length(5), T0)


def test_callers_mistakes() -> None:
    with pytest.raises(UsageError):
        session(BOB).send(b"too early")
    with pytest.raises(UsageError):
        greeted().send(b"")
    with pytest.raises(UsageError):
        greeted().accept(0)


def encoded(bundle: bytes, segment_bytes: int, announced: bool) -> bytes:
    cuts = range(0, len(bundle), segment_bytes)
    segments = [bundle[at : at + segment_bytes] for at in cuts]
    head = wire.length(len(bundle)) if announced else b""
    return head + b"".join(
        wire.segment_head(n == 0, n == len(segments) - 1, len(segment)) + segment
        for n, segment in enumerate(segments)
    )


MESSAGES = st.lists(
    st.one_of(
        st.builds(encoded, st.binary(min_size=1, max_size=60), st.integers(1, 20), st.booleans()),
        st.just(wire.KEEPALIVE),
    ),
    max_size=8,
)


def feed(core: Session, chunks: Sequence[bytes]) -> list[Event | str]:
    """All events, and the protocol breach that ended them."""
    events: list[Event | str] = []
    for chunk in chunks:
        try:
            events += core.receive(chunk, T0)
        except WireError as error:
            return [*events, str(error)]
    return events


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[low:high] for low, high in itertools.pairwise(edges)]


CUTS = st.lists(st.integers(0, 1 << 16), max_size=12)


@given(MESSAGES, CUTS)
def test_chunking_never_changes_events(messages: list[bytes], cuts: list[int]) -> None:
    data = hello() + b"".join(messages) + wire.shutdown(0)
    whole = feed(session(BOB), [data])
    assert isinstance(whole[-1], Ended)
    assert feed(session(BOB), chunked(data, cuts)) == whole


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_a_wire_error(data: bytes) -> None:
    for core in (session(BOB), greeted()):
        try:
            core.receive(data, T0)
        except WireError:
            continue


@given(st.binary(max_size=100), CUTS)
def test_chunking_never_changes_what_garbage_means(junk: bytes, cuts: list[int]) -> None:
    """A breach found late may follow events that one big chunk loses; never other events."""
    whole = feed(greeted(), [junk])
    pieces = feed(greeted(), chunked(junk, cuts))
    if whole and isinstance(whole[-1], str):
        assert pieces[-1] == whole[-1]
    else:
        assert pieces == whole


@given(st.lists(st.integers(1, 3 * SEGMENT_BYTES), max_size=6))
def test_what_one_side_sends_the_other_gets(sizes: list[int]) -> None:
    alice, bob = pair()
    sent = [alice.send(bytes([n]) * size) for n, size in enumerate(sizes)]
    came = bob.receive(out(alice), T0)
    arrived = [event for event in came if not isinstance(event, Announced)]
    assert arrived == [Arrived(n, bytes(t.bundle[:])) for n, t in enumerate(sent)]
    for n in range(len(sent)):
        bob.accept(n)
    assert alice.receive(out(bob), T0) == [Acknowledged(t) for t in sent]
