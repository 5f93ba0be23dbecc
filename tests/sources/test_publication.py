"""Pace, back-pressure, fences and credit of the publishing side."""

from __future__ import annotations

import pytest

from radics_mesh.errors import PeerError
from radics_mesh.ids import NodeId, VmId
from radics_mesh.sources.messages import BATCH_MAX_BYTES, Fence
from radics_mesh.sources.publication import (
    LAG_BYTES,
    LEASE_S,
    WINDOW_BYTES,
    Publication,
    Subscription,
)

A, B = VmId(b"a" * 20).eid, VmId(b"b" * 20).eid
HERE, THERE = NodeId(b"h" * 20), NodeId(b"t" * 20)
SIZE = 1024
FIRST = Fence(1, 1)


def publication(length: int = 10_000, rate: float | None = 100.0) -> Publication:
    return Publication("s", length, rate, lambda number: number * SIZE, now=0.0)


def join(
    source: Publication, now: float, fence: Fence = FIRST, have: int = 0, serial: int = 1
) -> Subscription:
    return source.subscribe(A, HERE, fence, serial=serial, acknowledged=have, have=have, now=now)


def test_production_waits_for_the_first_subscriber_and_then_keeps_its_pace() -> None:
    source = publication()
    assert source.produce(0.0) is None
    assert source.produce(50.0) is None
    assert source.head == 0
    join(source, 50.0)
    source.produce(50.0)
    for tick in range(1, 11):
        next_at = source.produce(50.0 + tick / 10)
        assert next_at is not None
        assert next_at > 50.0 + tick / 10
    assert source.head == 100


def test_a_slow_pace_asks_to_be_called_when_the_next_message_is_due() -> None:
    source = publication(rate=0.1)
    join(source, 0.0)
    assert source.produce(0.0) == pytest.approx(10.0)
    source.produce(10.0)
    assert source.head == 1


def test_without_a_pace_all_is_produced_at_once_and_credit_holds_it() -> None:
    source = publication(rate=None)
    one = join(source, 0.0)
    source.produce(0.0)
    assert source.head == source.length
    sent_bytes = 0
    while (due := source.due(one)) is not None:
        first, _, max_bytes = due
        assert max_bytes <= BATCH_MAX_BYTES
        count = max(1, max_bytes // SIZE)
        one.note_sent(first + count - 1, count * SIZE, 0.0)
        sent_bytes += count * SIZE
    assert sent_bytes == WINDOW_BYTES
    source.acknowledge(A, FIRST, 48, 1.0)
    assert source.due(one) is not None


def test_the_producer_waits_for_the_slowest_and_does_not_hurry_afterwards() -> None:
    source = publication(rate=1000.0)
    join(source, 0.0)
    now = 0.0
    while source.head < LAG_BYTES // SIZE:
        source.produce(now)
        now += 0.05
    held = source.head
    assert held == LAG_BYTES // SIZE
    source.produce(now + 100)
    assert source.head == held
    source.acknowledge(A, FIRST, held, now + 100)
    source.produce(now + 100)
    source.produce(now + 100.01)
    assert source.head <= held + 10


def test_who_left_or_was_silent_for_a_lease_holds_up_nobody() -> None:
    source = publication()
    join(source, 0.0)
    source.subscribe(B, THERE, FIRST, serial=1, acknowledged=0, have=0, now=LEASE_S)
    source.produce(LEASE_S)
    for number in range(1, 100):
        now = LEASE_S + number
        source.produce(now)
        source.acknowledge(B, FIRST, source.head, now)
    assert source.head > LAG_BYTES // SIZE + 500
    assert source.subscriptions[A].acknowledged == 0
    source.unsubscribe(B, FIRST, 2, source.head, LEASE_S + 100)
    head = source.head
    assert source.produce(LEASE_S + 101) is None
    assert source.head == head


def test_a_stall_is_not_made_up_for() -> None:
    source = publication()
    join(source, 0.0)
    source.produce(0.0)
    source.produce(1000.0)
    assert source.head <= 100


def test_a_higher_fence_supersedes_and_a_lower_one_is_refused() -> None:
    source = publication(rate=None)
    join(source, 0.0, Fence(1, 5), have=0)
    source.produce(0.0)
    source.acknowledge(A, Fence(1, 5), 40, 1.0)
    source.subscribe(A, THERE, Fence(2, 1), serial=1, acknowledged=30, have=30, now=2.0)
    subscription = source.subscriptions[A]
    assert (subscription.node, subscription.acknowledged) == (THERE, 30)
    for late in (Fence(1, 5), Fence(1, 99)):
        with pytest.raises(PeerError):
            join(source, 3.0, late, have=100, serial=9)
        with pytest.raises(PeerError):
            source.acknowledge(A, late, 100, 3.0)
        with pytest.raises(PeerError):
            source.unsubscribe(A, late, 9, 100, 3.0)
    assert subscription.acknowledged == 30
    assert subscription.active


def test_within_a_fence_the_cursor_never_goes_back_and_an_overtaken_request_is_ignored() -> None:
    source = publication(rate=None)
    one = join(source, 0.0, serial=1)
    source.produce(0.0)
    source.acknowledge(A, FIRST, 40, 1.0)
    source.acknowledge(A, FIRST, 10, 1.0)
    assert one.acknowledged == 40
    source.unsubscribe(A, FIRST, 3, 40, 2.0)
    join(source, 3.0, have=5, serial=2)
    assert not one.active
    assert one.acknowledged == 40


def test_a_request_goes_back_only_over_what_cannot_be_under_way_any_more() -> None:
    source = publication(rate=None)
    one = join(source, 0.0)
    source.produce(0.0)
    one.note_sent(48, 48 * SIZE, 10.0)
    join(source, 10.5, serial=2)
    assert one.sent == 48
    assert source.due(one) is not None
    join(source, 30.0, serial=3)
    assert one.sent == 0
    assert source.due(one) == (1, source.length, BATCH_MAX_BYTES)


def test_a_request_is_answered_even_when_there_is_nothing_to_send() -> None:
    source = publication()
    one = join(source, 0.0)
    assert source.due(one) == (1, 0, 0)
    one.note_sent(0, 0, 0.0)
    assert source.due(one) is None


def test_nobody_has_or_acknowledges_what_there_is_not() -> None:
    source = publication(length=10)
    with pytest.raises(PeerError):
        join(source, 0.0, have=11)
    join(source, 0.0)
    with pytest.raises(PeerError):
        source.acknowledge(A, FIRST, 11, 0.0)


def test_an_open_local_feed_needs_no_reminders() -> None:
    source = publication(rate=0.001)
    one = join(source, 0.0)
    one.attached = True
    assert source.due(one) is None
    assert source.produce(0.0) is not None
    assert source.produce(10 * LEASE_S) is not None
    assert source.head == 1


def test_a_fast_pace_does_not_step_over_the_limit_in_one_stride() -> None:
    source = publication(rate=1e6)
    join(source, 0.0)
    source.produce(0.0)
    source.produce(1.0)
    assert source.head == LAG_BYTES // SIZE


def test_messages_longer_than_the_limit_come_one_by_one() -> None:
    source = Publication("s", 10, 100.0, lambda number: number * 2 * LAG_BYTES, now=0.0)
    join(source, 0.0)
    source.produce(0.0)
    for number in range(1, 11):
        source.produce(float(number))
        assert source.head == number
        source.acknowledge(A, FIRST, number, float(number))


def test_the_lease_of_a_silent_subscriber_ends_without_a_word() -> None:
    source = publication(rate=1000.0)
    join(source, 0.0)
    other = source.subscribe(B, THERE, FIRST, serial=1, acknowledged=0, have=0, now=0.0)
    now, waits = 0.0, 0
    other.attached = True
    while now < 2 * LEASE_S and source.head <= LAG_BYTES // SIZE:
        next_at = source.produce(now)
        assert next_at is not None
        waits += next_at - now > 1
        now = next_at
        source.acknowledge(B, FIRST, source.head, now)
    assert LEASE_S <= now <= 1.2 * LEASE_S
    assert waits > 5
