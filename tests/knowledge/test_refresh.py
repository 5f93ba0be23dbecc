from __future__ import annotations

import math

from radics_mesh.knowledge.refresh import INTEREST_S, Refresh
from radics_mesh.records import Kind

DOOR = (Kind.SOURCE, "camera/door")


def _unknown(fact: tuple[Kind, str]) -> float:
    return math.inf


def test_fresh_nodes_are_left_alone_and_old_ones_come_first() -> None:
    refresh = Refresh(10, 60)
    ages = {"young": 35.0, "old": 40.0, "older": 50.0}
    due = refresh.due(ages, lambda fact: ages[fact[1]], 0.0)
    assert due == [(Kind.NODE, "older"), (Kind.NODE, "old")]


def test_who_is_not_found_is_tried_ever_more_rarely_and_always() -> None:
    refresh = Refresh(10, 60)
    tried = [now for now in range(0, 2000, 5) if refresh.due(["gone"], _unknown, float(now))]
    assert tried[:5] == [0, 5, 15, 35, 75]
    assert len(tried) >= 15
    refresh.again()
    assert refresh.due(["gone"], _unknown, 2000.0)


def test_a_found_one_is_tried_again_when_it_is_old() -> None:
    refresh = Refresh(10, 60)
    assert refresh.due(["a"], _unknown, 0.0)
    refresh.found((Kind.NODE, "a"))
    assert refresh.due(["a"], lambda fact: 1.0, 1.0) == []
    assert refresh.due(["a"], lambda fact: 37.0, 2.0)


def test_a_large_mesh_is_gone_through_within_a_records_life() -> None:
    refresh = Refresh(10, 60)
    nodes = [f"n{number}" for number in range(100)]
    seen: set[str] = set()
    for now in range(0, 60, 5):
        due = refresh.due(nodes, _unknown, float(now))
        assert len(due) <= 25
        seen.update(subject for _, subject in due)
    assert seen == set(nodes)


def test_what_was_asked_for_is_kept_fresh_for_a_while() -> None:
    refresh = Refresh(10, 60)
    refresh.asked(DOOR, 0.0)
    assert refresh.due([], lambda fact: 29.0, 1.0) == []
    assert refresh.due([], lambda fact: 31.0, 2.0) == [DOOR]
    assert refresh.due([], _unknown, INTEREST_S + 1) == []


def test_out_of_turn_but_not_too_often() -> None:
    refresh = Refresh(10, 60)
    assert refresh.try_now(DOOR, 0.0)
    assert not refresh.try_now(DOOR, 4.0)
    assert refresh.try_now(DOOR, 5.0)
