"""A meter tells a steady rate soon, and forgets."""

from __future__ import annotations

import pytest

from radics_mesh.sources.meter import Meter


@pytest.mark.parametrize("seconds", [2, 5, 60])
def test_a_steady_stream_is_measured_from_the_start(seconds: int) -> None:
    meter = Meter(100.0)
    for tick in range(seconds * 10):
        meter.add(50, 100.0 + (tick + 1) / 10)
    assert meter.rate(100.0 + seconds) == pytest.approx(500, rel=0.05)


def test_silence_is_forgotten() -> None:
    meter = Meter(0.0)
    meter.add(10_000, 1.0)
    assert meter.rate(2.0) > 1000
    assert meter.rate(60.0) < 1


def test_a_first_batch_is_no_flood() -> None:
    meter = Meter(0.0)
    meter.add(1000, 0.0)
    assert meter.rate(0.001) <= 1200


def test_time_that_goes_back_changes_nothing() -> None:
    meter = Meter(0.0)
    meter.add(1000, 10.0)
    before = meter.rate(10.0)
    assert meter.rate(5.0) == before
