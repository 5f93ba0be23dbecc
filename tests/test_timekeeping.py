from __future__ import annotations

import pytest

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.errors import PeerError
from radics_mesh.identity import Identity
from radics_mesh.membership import GRACE_S, Verifier, found, invite
from radics_mesh.timekeeping import (
    NEVER,
    ROUND_TRIP_MAX_S,
    SAID_MAX_S,
    Quality,
    SureClock,
    Timekeeper,
)
from tests.meshes import NOW, HandClock, identity

DAY_S = 86400.0
NODES = [identity(n).node_id for n in range(2, 9)]


def at(wall: float) -> HandClock:
    return HandClock(Wall(wall))


def later(clock: HandClock, seconds: float) -> None:
    clock.mono = Monotonic(clock.mono + seconds)
    clock.now = Wall(clock.now + seconds)


def test_a_vouched_clock_is_trusted_but_not_if_it_says_1970() -> None:
    clock = at(NOW)
    keeper = Timekeeper(clock, vouched=True)
    assert (keeper.quality(), keeper.judged(NOW)) == (Quality.TRUSTED, NOW)
    clock.now = Wall(5.0)
    assert keeper.quality() is Quality.NONE
    # It goes on from the highest time that was known.
    later(clock, 100.0)
    assert keeper.judged(clock.wall()) == NOW + 100


@pytest.mark.parametrize("lie_s", [-9e7, -DAY_S, DAY_S, 1e9])
@pytest.mark.parametrize("honest", [2, 3, 4, 5])
def test_one_liar_moves_the_time_nowhere(lie_s: float, honest: int) -> None:
    """Whatever it says, the time is one that honest members have said, or lies between two."""
    clock = at(5.0)
    keeper = Timekeeper(clock)
    for place, node in enumerate(NODES[:honest]):
        keeper.hear(node, Wall(NOW + place), clock.mono)
    keeper.hear(NODES[6], Wall(NOW + lie_s), clock.mono)
    assert keeper.quality() is Quality.MESH
    assert NOW <= keeper.judged(clock.wall()) <= NOW + honest - 1


def test_fewer_than_three_say_nothing_and_each_counts_once() -> None:
    clock = at(5.0)
    keeper = Timekeeper(clock)
    for _ in range(5):
        keeper.hear(NODES[0], NOW, clock.mono)
        keeper.hear(NODES[1], NOW, clock.mono)
    assert (keeper.quality(), keeper.judged(clock.wall())) == (Quality.NONE, NEVER)


def test_what_was_said_late_or_long_ago_does_not_count() -> None:
    clock = at(5.0)
    keeper = Timekeeper(clock)
    asked = clock.mono
    later(clock, ROUND_TRIP_MAX_S + 1)
    assert not keeper.hear(NODES[0], NOW, asked)
    assert not keeper.hear(NODES[0], Wall(7.0), clock.mono)
    for node in NODES[:3]:
        # Half of the way back belongs to the time.
        assert keeper.hear(node, NOW, Monotonic(clock.mono - 10))
    assert keeper.judged(clock.wall()) == NOW + 5
    later(clock, SAID_MAX_S - 1)
    assert keeper.quality() is Quality.MESH
    later(clock, 2)
    assert keeper.quality() is Quality.NONE
    assert keeper.judged(clock.wall()) == NOW + 5 + SAID_MAX_S + 1


def test_the_mark_outlives_a_restart_and_never_goes_back() -> None:
    first = Timekeeper(at(NOW), vouched=True)
    clock = at(5.0)
    again = Timekeeper(clock, mark=first.mark)
    later(clock, 10.0)
    assert again.judged(clock.wall()) == NOW + 10
    # A wrong clock that nobody vouches for moves nothing.
    clock.now = Wall(NOW + 100 * DAY_S)
    assert again.judged(clock.wall()) == NOW + 10
    for node in NODES[:3]:
        again.hear(node, Wall(NOW - 50), clock.mono)
    assert again.judged(clock.wall()) == NOW - 50
    assert again.mark == NOW


def test_certificates_are_judged_by_it() -> None:
    first = Identity(bytes(32))
    _, mesh, root = found(first, "first", NOW)
    guest = identity(2)
    chain = invite(first, root, guest.public, "guest", Wall(NOW + DAY_S)).pack()
    after = DAY_S + GRACE_S
    verifier = Verifier(mesh)
    clock = at(5.0)
    keeper = Timekeeper(clock, mark=NOW)
    verifier.judged = keeper.judged
    verifier.member(chain, clock.wall())  # by the mark
    clock.now = Wall(NOW + after + 1)
    verifier.member(chain, clock.wall())  # a clock that nobody knows to be right
    clock.now = Wall(5.0)
    clock.mono = Monotonic(after)
    with pytest.raises(PeerError, match="expired"):  # so much has passed here since the mark
        verifier.member(chain, clock.wall())


@pytest.mark.parametrize("skew_s", [-DAY_S, DAY_S])
def test_a_day_too_early_or_too_late_ends_no_certificate(skew_s: float) -> None:
    first = Identity(bytes(32))
    _, mesh, root = found(first, "first", Wall(NOW + skew_s))
    chain = invite(first, root, identity(2).public, "guest", Wall(NOW + 100)).pack()
    for other_s in (-DAY_S, 0.0, DAY_S):
        Verifier(mesh).member(chain, Wall(NOW + other_s))


def test_ages_over_a_restart_are_counted_by_a_sure_clock_only() -> None:
    clock = at(NOW + DAY_S)
    keeper = Timekeeper(clock)
    sure = SureClock(clock, keeper)
    assert sure.wall() == NEVER
    for node in NODES[:3]:
        keeper.hear(node, NOW, clock.mono)
    assert sure.wall() == NOW
    assert keeper.apart_s() == DAY_S
    keeper.vouched = True
    assert sure.wall() == NOW + DAY_S
