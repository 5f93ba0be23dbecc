"""When the next checkpoint is due."""

from __future__ import annotations

import math

import pytest

from radics_mesh.errors import UsageError
from radics_mesh.hosting.checkpoints import (
    ASKED_EVERY_S,
    PRESSED_EVERY_S,
    REST,
    RETRY_FIRST_S,
    Schedule,
)
from radics_mesh.hosting.commit import COMMIT_EVERY_S, Commit


def test_nobody_wants_one() -> None:
    assert Schedule(Commit(), 5.0).due() == math.inf


def test_by_the_clock() -> None:
    schedule = Schedule(Commit.of(10, output=False), 5.0)
    assert schedule.due() == 15.0
    schedule.begun()
    schedule.written(16.0, 0.1)
    assert schedule.due() == 26.0


def test_what_waits_waits_no_longer_than_it_has_to() -> None:
    schedule = Schedule(Commit.of(0, output=True), 0.0)
    assert schedule.waits(7.0)
    assert not schedule.waits(7.5)
    assert schedule.due() == 7.0 + COMMIT_EVERY_S
    assert schedule.waits(7.6, pressed=True)
    assert schedule.due() == PRESSED_EVERY_S
    schedule.begun()
    schedule.written(8.0, 0.0)
    assert schedule.due() == math.inf


def test_a_program_that_asks_again_and_again_is_answered_now_and_then() -> None:
    schedule = Schedule(Commit(), 0.0)
    schedule.asked = 4
    assert schedule.begun() == 4
    schedule.written(3.0, 0.01)
    schedule.asked = 5
    assert schedule.due() == 3.0 + ASKED_EVERY_S


def test_a_guest_stands_still_a_quarter_of_the_time_at_most() -> None:
    schedule = Schedule(Commit.of(0.1, output=True), 0.0)
    schedule.written(10.0, 2.0)
    schedule.waits(10.0, pressed=True)
    assert schedule.due() == 10.0 + REST * 2.0


def test_after_a_failure_ever_more_rarely() -> None:
    schedule = Schedule(Commit.of(0, output=True), 0.0)
    schedule.waits(1.0)
    for tries in range(3):
        schedule.begun()
        schedule.failed(10.0)
        assert schedule.due() == 10.0 + max(RETRY_FIRST_S * 2**tries, COMMIT_EVERY_S)
    schedule.started(20.0)
    assert schedule.due() == math.inf


@pytest.mark.parametrize("every_s", [0.01, -1, 1e9])
def test_intervals_that_make_no_sense(every_s: float) -> None:
    with pytest.raises(UsageError, match="a checkpoint every"):
        Commit.of(every_s, output=False)
