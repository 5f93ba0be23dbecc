"""The simulations of bench/, small: real agents on a mock clock, and no bound is beaten."""

from __future__ import annotations

import math
from random import Random

import pytest

from bench import data_mule
from bench.routing import Load, measure, optimum
from bench.routing_mobility import MODELS, Meeting, Scenario
from bench.routing_world import DELAY_S, Sending


def test_an_optimum_by_hand() -> None:
    """0 sends to 2 at 5: with 1 at 10, who meets 2 at 30, but not for long enough before 50."""
    meetings = (Meeting(0, 20, 0, 1), Meeting(30, 30.5, 1, 2), Meeting(50, 60, 1, 2))
    scenario = Scenario("hand", 3, (0, 2), meetings, 100)
    load = Load(payload_bytes=550, bytes_per_s=1000.0)  # a second a bundle
    assert optimum(scenario, load, Sending(5, 0, 2)) == pytest.approx(46 + DELAY_S)
    assert optimum(scenario, load, Sending(5, 2, 0)) == math.inf


@pytest.mark.parametrize("model", MODELS)
def test_meetings_make_sense(model: str) -> None:
    scenario = MODELS[model](Random(1), 8, 300.0)
    for one in scenario.meetings:
        assert 0 <= one.start < one.end <= scenario.duration_s
        assert 0 <= one.one < scenario.nodes
        assert 0 <= one.other < scenario.nodes
    assert scenario == MODELS[model](Random(1), 8, 300.0)


def test_the_plan_is_as_good_as_can_be() -> None:
    load = Load(nodes=8, bundles=10, duration_s=1800.0, lifetime_s=1200)
    found = measure("buses", [1], load, "contact plan")
    best, plan = found["optimum"], found["contact plan"]
    assert best.delivered > 0
    assert plan.delivered >= 0.95 * best.delivered
    assert plan.mean_delay_s <= 1.05 * best.mean_delay_s


@pytest.mark.parametrize("module", ["epidemic", "spray", "static"])
def test_a_mule_carries_letters_and_custody(module: str) -> None:
    (result,) = data_mule.run(module)
    assert result.delivered == data_mule.LETTERS
    assert result.custody_taken == data_mule.LETTERS
    assert result.custody_released == 2 * data_mule.LETTERS
    assert result.still_at_a == 0
