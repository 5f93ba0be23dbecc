from __future__ import annotations

import hashlib

import pytest

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.dht import store
from radics_mesh.dht.store import Slot, ValueStore
from radics_mesh.errors import CapacityError, PeerError
from tests.dht.world import TTL_S, Facts, fact, fact_key, node_id


class HandClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> Monotonic:
        return Monotonic(self.now)

    def wall(self) -> Wall:
        return Wall(self.now)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def values(clock: HandClock) -> ValueStore:
    values = ValueStore(node_id(0), clock)
    values.contents = Facts()
    return values


def _key(number: int) -> bytes:
    return hashlib.sha1(b"%d" % number).digest()


def test_publishers_of_one_key_stand_side_by_side(values: ValueStore) -> None:
    first, second = fact(node_id(1), 1, "cats: purr"), fact(node_id(2), 1, "cats: hiss")
    values[fact_key("cats")] = first
    values[fact_key("cats")] = second
    assert sorted(values[fact_key("cats")]) == sorted([first, second])


def test_the_higher_sequence_wins_in_either_order(values: ValueStore) -> None:
    old, new = fact(node_id(1), 1, "cats: purr"), fact(node_id(1), 2, "cats: hiss")
    values[fact_key("cats")] = new
    with pytest.raises(PeerError, match="older"):
        values[fact_key("cats")] = old
    assert values[fact_key("cats")] == [new]


def test_nothing_is_taken_before_somebody_judges(clock: HandClock) -> None:
    values = ValueStore(node_id(0), clock)
    with pytest.raises(CapacityError):
        values[fact_key("cats")] = fact(node_id(1), 1, "cats: purr")


def test_what_expired_is_told_where_nothing_else_is_left(
    values: ValueStore, clock: HandClock
) -> None:
    old, new = fact(node_id(1), 1, "cats: purr"), fact(node_id(2), 1, "cats: hiss")
    values[fact_key("cats")] = old
    clock.now += TTL_S + 1
    assert values[fact_key("cats")] == [old]
    values[fact_key("cats")] = new
    assert values[fact_key("cats")] == [new]
    assert [value for _, _, value in values.fresh_items()] == [new]


def test_what_expired_long_ago_is_forgotten(values: ValueStore, clock: HandClock) -> None:
    values[fact_key("cats")] = fact(node_id(1), 1, "cats: purr")
    clock.now += TTL_S + store.KEEP_S - 1
    values.purge()
    assert len(values) == 1
    clock.now += 2
    values.purge()
    assert len(values) == 0
    assert values.get(fact_key("cats")) is None


def test_the_same_value_again_lives_as_long_as_its_judge_says(
    values: ValueStore, clock: HandClock
) -> None:
    value, key = fact(node_id(1), 1, "cats: purr"), fact_key("cats")
    values.place(key, value, Slot(node_id(1), 1, 10))
    clock.now += 8
    values.place(key, value, Slot(node_id(1), 1, 2))
    clock.now += 1
    assert len(values.fresh_items()) == 1
    clock.now += 2
    assert values.fresh_items() == []


def test_a_key_holds_so_many_and_expired_ones_give_way(
    values: ValueStore, clock: HandClock
) -> None:
    for number in range(store.KEY_MAX):
        values.place(_key(0), b"", Slot(_key(number), 1, 10))
    with pytest.raises(CapacityError):
        values.place(_key(0), b"", Slot(_key(999), 1, 10))
    clock.now += 11
    values.place(_key(0), b"new", Slot(_key(999), 1, 10))
    assert len(values) == store.KEY_MAX


def test_one_publisher_cannot_fill_the_store(values: ValueStore) -> None:
    for number in range(store.OWNER_MAX):
        values.place(_key(number), b"", Slot(node_id(1), 1, 10))
    with pytest.raises(CapacityError, match="publisher"):
        values.place(_key(9999), b"", Slot(node_id(1), 1, 10))
    values.place(_key(9999), b"", Slot(node_id(2), 1, 10))


def test_a_full_store_keeps_what_is_close_and_its_own(
    values: ValueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "TOTAL_MAX", 20)
    own = int.from_bytes(node_id(0), "big")
    keys = sorted((_key(n) for n in range(60)), key=lambda key: own ^ int.from_bytes(key, "big"))
    values.place(keys[59], b"own", Slot(node_id(0), 1, 10))
    for number, key in enumerate(keys[10:29]):
        values.place(key, b"", Slot(_key(number), 1, 10))
    with pytest.raises(CapacityError, match="closer"):
        values.place(keys[40], b"", Slot(_key(99), 1, 10))
    values.place(keys[0], b"near", Slot(_key(99), 1, 10))
    assert values.get(keys[0]) == [b"near"]
    assert values.get(keys[28]) is None
    assert values.get(keys[59]) == [b"own"]
    assert len(values) == 20


def test_who_has_the_most_gives_way_first(
    values: ValueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Although its values lie as close as any."""
    monkeypatch.setattr(store, "TOTAL_MAX", 20)
    for number in range(18):
        values.place(_key(number), b"greedy", Slot(node_id(1), 1, 60))
    for number in range(100, 110):
        values.place(_key(number), b"modest", Slot(node_id(number), 1, 60))
    assert len(values) == 20
    assert all(values.get(_key(number)) == [b"modest"] for number in range(100, 110))
    with pytest.raises(CapacityError):
        values.place(_key(50), b"greedy", Slot(node_id(1), 1, 60))


def test_what_nobody_signs_takes_its_share_and_no_more(
    values: ValueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "UNSIGNED_MAX", 10)
    values.place(_key(999), b"signed", Slot(node_id(1), 1, 60))
    taken = 0
    for number in range(200):
        try:
            values.place(_key(number), b"part", Slot(b"", 0, 60))
            taken += 1
        except CapacityError:
            continue
    assert len(values) == 11
    assert 10 < taken < 200
    assert values[_key(999)] == [b"signed"]


def test_a_million_values_of_one_publisher_leave_its_share(values: ValueStore) -> None:
    """Reduced: 20,000, of which all but OWNER_MAX are refused."""
    refused = 0
    for number in range(20_000):
        try:
            values.place(_key(number), b"x", Slot(node_id(1), 1, 60))
        except CapacityError:
            refused += 1
    assert (len(values), refused) == (store.OWNER_MAX, 20_000 - store.OWNER_MAX)
