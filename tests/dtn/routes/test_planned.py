"""Earliest arrival over scheduled contacts: by hand, and against every path there is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.dtn.routes.contact_plan import Contact, ContactPlan
from radics_mesh.dtn.routes.planned import Planned, Timetable
from radics_mesh.ids import NodeId
from tests.dtn.routes.bundles import NODES, A, B, C, D, held

# Wall time is monotonic time here.
T = 1_800_000_000.0
SIZE = 800  # 1000 bytes with what hops add


def now(seconds: float) -> Monotonic:
    return Monotonic(T + seconds)


def contact(
    start: float, end: float, one: NodeId, other: NodeId, rate: float = 1000.0, delay: float = 0.0
) -> Contact:
    return Contact(Wall(T + start), Wall(T + end), one.text, other.text, rate, delay)


def planned(*contacts: Contact, own: NodeId = A) -> Planned:
    return Planned(own, ContactPlan(contacts), lambda name: None, lambda moment: Wall(moment))


def arrival(module: Planned, target: NodeId, at: float = 0.0) -> float:
    return module.way(held(target.eid, size_bytes=SIZE), target, now(at)).arrival - T


def test_the_earlier_arrival_not_the_earlier_departure() -> None:
    """By B: leaves at 0, arrives at 101. By C: leaves at 10, at C at 11, at D at 21."""
    module = planned(
        contact(0, 5, A, B),
        contact(100, 105, B, D),
        contact(10, 15, A, C),
        contact(20, 25, C, D),
    )
    one = held(D.eid, size_bytes=SIZE)
    assert module.way(one, D, now(0)).arrival == T + 21
    assert list(module.choose(one, D, [B, C], now(0))) == [C]
    assert list(module.choose(one, D, [B], now(0))) == []
    assert list(module.choose(one, D, [B, D], now(0))) == [D]


def test_delay_and_rate_count() -> None:
    """1000 bytes at 100 bytes/s: 10 s, and 3 s on the way."""
    assert arrival(planned(contact(0, 50, A, D, 100, 3)), D) == 13


def test_a_contact_takes_what_it_has_room_for() -> None:
    """3 s at 1000 bytes/s are three bundles; the fourth takes the next contact."""
    module = planned(contact(0, 3, A, D), contact(50, 60, A, D))
    assert [arrival(module, D) for _ in range(4)] == [1, 2, 3, 51]


def test_too_short_a_contact_is_none() -> None:
    assert arrival(planned(contact(0, 0.5, A, D)), D) == math.inf


def test_what_was_missed_is_planned_anew() -> None:
    module = planned(contact(0, 3, A, B), contact(5, 9, B, D), contact(50, 60, A, D))
    one = held(D.eid, size_bytes=SIZE)
    assert list(module.choose(one, D, [B], now(0))) == [B]
    assert module.way(one, D, now(3)).arrival == T + 51
    assert list(module.choose(one, D, [B], now(3))) == []


def test_room_comes_free_when_a_bundle_goes_another_way() -> None:
    module = planned(contact(0, 1, A, D), contact(50, 60, A, D))
    one = held(D.eid, size_bytes=SIZE)
    assert module.way(one, D, now(0)).arrival == T + 1
    module.gone(one)
    assert arrival(module, D) == 1


def test_names_are_found_when_they_become_known() -> None:
    names: dict[str, NodeId] = {}
    plan = ContactPlan.parse(f"contact {T} {T + 100} {A.text} village 1000")
    module = Planned(A, plan, names.get, lambda moment: Wall(moment))
    one = held(D.eid, size_bytes=SIZE)
    assert not module.choose(one, D, [B], now(0))
    names["village"] = D
    assert module.way(one, D, now(61)).first == D


instants = st.integers(0, 20)
contacts = st.builds(
    lambda start, length, one, other, rate: contact(start, start + length, one, other, rate),
    instants,
    st.integers(1, 8),
    st.sampled_from(NODES[:4]),
    st.sampled_from(NODES[:4]),
    st.sampled_from([250.0, 500.0, 1000.0]),
).filter(lambda one: one.sender != one.receiver)


@given(st.lists(contacts, max_size=8), instants)
def test_no_path_arrives_earlier(plan: list[Contact], at: int) -> None:
    table = Timetable(ContactPlan(tuple(plan)), lambda name: None)
    found = table.earliest(A, D, 1000, Wall(T + at))
    best = _earliest_of_all(plan, A.text, T + at, ())
    assert (found.arrival if found else math.inf) == best


def _earliest_of_all(
    plan: Sequence[Contact], here: str, moment: float, taken: tuple[int, ...]
) -> float:
    if here == D.text:
        return moment
    best = math.inf
    for number, one in enumerate(plan):
        if one.sender == here and number not in taken:
            sent = max(one.start, moment) + 1000 / one.rate
            if sent <= one.end:
                best = min(best, _earliest_of_all(plan, one.receiver, sent, (*taken, number)))
    return best
