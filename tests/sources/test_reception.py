"""When the subscribing side asks, acknowledges and gives up."""

from __future__ import annotations

import pytest

from radics_mesh.errors import UsageError
from radics_mesh.ids import VmId
from radics_mesh.sources.messages import (
    Ack,
    Data,
    Fence,
    Key,
    Refusal,
    Refused,
    Subscribe,
)
from radics_mesh.sources.publication import WINDOW_BYTES
from radics_mesh.sources.reception import (
    ACK_DELAY_S,
    GAP_S,
    SILENCE_FIRST_S,
    SILENCE_MAX_S,
    Batch,
    Reception,
)

KEY = Key("s", VmId(b"v" * 20).eid, Fence(3, 1))


def started(after: int = 0) -> Reception:
    reception = Reception(KEY, after, b"chain", 0.0)
    assert reception.poll(0.0) == Subscribe(KEY, 1, after, after, b"chain")
    return reception


def data(first: int, *messages: bytes, end: bool = False) -> Data:
    return Data(KEY, first, messages, end)


def asks(reception: Reception, until: float) -> list[float]:
    """When it asks, as long as nobody answers."""
    times = []
    while (at := reception.deadline()) <= until:
        if isinstance(reception.poll(at), Subscribe):
            times.append(at)
    return times


def test_silence_is_asked_about_ever_more_rarely() -> None:
    times = asks(started(), 1000.0)
    gaps = [b - a for a, b in zip([0.0, *times], times, strict=False)]
    assert gaps[:4] == [10.0, 20.0, 40.0, 80.0]
    assert set(gaps[4:]) == {SILENCE_MAX_S}


def test_what_comes_resets_the_patience() -> None:
    reception = started()
    asks(reception, 100.0)
    assert reception.data(data(1, b"x"), 100.0)
    assert asks(reception, 111.0) == [100.0 + SILENCE_FIRST_S]


def test_a_gap_is_asked_about_soon_and_once() -> None:
    reception = started()
    assert not reception.data(data(3, b"c"), 1.0)
    assert not reception.data(data(4, b"d"), 1.1)
    assert reception.deadline() == 1.0 + GAP_S
    assert reception.poll(3.0) == Subscribe(KEY, 2, 0, 0, b"chain")
    assert reception.deadline() > 3.0 + GAP_S
    assert reception.data(data(1, b"a", b"b"), 4.0)
    assert reception.take(100) == Batch(1, [b"a", b"b", b"c", b"d"], False)


def test_acknowledgements_are_gathered() -> None:
    reception = started()
    reception.data(data(1, *[b"x" * 10] * 50), 1.0)
    reception.take(1000)
    reception.acknowledge(10, 1.0)
    reception.acknowledge(50, 1.1)
    assert reception.poll(1.1) is None
    assert reception.deadline() == 1.0 + ACK_DELAY_S
    assert reception.poll(1.3) == Ack(KEY, 50)
    assert reception.deadline() > 2.0


def test_a_quarter_of_the_window_is_acknowledged_at_once() -> None:
    reception = started()
    reception.data(data(1, b"x" * (WINDOW_BYTES // 4)), 1.0)
    reception.take(1)
    reception.acknowledge(1, 1.0)
    assert reception.poll(1.0) == Ack(KEY, 1)


def test_what_came_twice_is_acknowledged_again() -> None:
    reception = started(after=5)
    assert not reception.data(data(4, b"d", b"e"), 1.0)
    assert reception.poll(1.0 + ACK_DELAY_S) == Ack(KEY, 5)
    assert reception.bytes_received == 0


def test_the_end_is_handed_out_with_the_last_message_and_nothing_is_asked_after_it() -> None:
    reception = started()
    reception.data(data(1, b"a", b"b", end=True), 1.0)
    assert reception.take(1) == Batch(1, [b"a"], False)
    assert reception.take(1) == Batch(2, [b"b"], True)
    assert reception.take(1) == Batch(3, [], True)
    reception.acknowledge(2, 1.0)
    assert reception.poll(1.0) == Ack(KEY, 2)
    assert asks(reception, 1e6) == []


def test_an_empty_source_is_its_end() -> None:
    reception = started()
    assert reception.take(1) is None
    assert reception.data(data(1, end=True), 1.0)
    assert reception.take(1) == Batch(1, [], True)


def test_what_was_not_handed_out_cannot_be_acknowledged() -> None:
    reception = started()
    reception.data(data(1, b"a"), 1.0)
    with pytest.raises(UsageError, match="never handed out"):
        reception.acknowledge(1, 1.0)


def test_too_much_that_came_too_early_is_dropped() -> None:
    reception = started()
    big = b"x" * 65536
    for number in range(3, 100):
        reception.data(data(number, big), 1.0)
    reception.data(data(1, b"a", b"b"), 2.0)
    assert reception.have == 2 * WINDOW_BYTES // 65536 + 2


def test_another_fence_does_not_concern_it() -> None:
    reception = started()
    other = Key("s", KEY.subscriber, Fence(2, 9))
    assert not reception.data(Data(other, 1, (b"x",), False), 1.0)
    reception.refuse(Refused(other, Refusal.SUPERSEDED, KEY.fence))
    reception.refuse(Refused(KEY, Refusal.UNKNOWN_SOURCE, KEY.fence))
    assert reception.refused is None


def test_it_goes_on_under_a_higher_fence_with_what_it_has() -> None:
    reception = started()
    reception.data(data(1, b"a", b"b"), 1.0)
    reception.refuse(Refused(KEY, Refusal.BEHIND, Fence(3, 7)))
    assert reception.refused is not None
    reception.reattach(Fence(3, 8), 2.0)
    said = reception.poll(2.0)
    assert isinstance(said, Subscribe)
    assert (said.key.fence, said.acknowledged, said.have) == (Fence(3, 8), 0, 2)
    assert reception.leave().acknowledged == 0
