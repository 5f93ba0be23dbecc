"""PRoPHET's predictabilities against RFC 6693's equations, worked out by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.routes.prophet import Parameters, Predictabilities, Prophet
from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import NodeId
from tests.dtn.routes.bundles import NODES, NOW, A, B, C, D, held

# One unit of aging is a minute, an interval of 30 minutes is typical.
GIVEN = Parameters()


def at(minutes: float) -> Monotonic:
    return Monotonic(NOW + minutes * 60)


def test_equations_by_hand() -> None:
    """A meets B three times, and hears of C.

    minute 0    first meeting            P(B) = P_first                         = 0.5
    minute 15   aging, K = 15            0.5 * 0.999^15 = 0.5 * 0.985104546     = 0.492552273
                P_enc = 0.7 * 15/30 = 0.35
                P += (1 - 0.01 - P) * 0.35
                  = 0.492552273 + 0.497447727 * 0.35                            = 0.666658978
    minute 75   aging, K = 60            0.666658978 * 0.999^60 (0.941736262)   = 0.627816934
                P_enc = 0.7 (60 minutes are more than the typical 30)
                  = 0.627816934 + 0.362183066 * 0.7                             = 0.881345080
                B tells P(C) = 0.6:      0.881345080 * 0.6 * 0.9                = 0.475926343
    minute 85   aging, K = 10            0.475926343 * 0.999^10 (0.990044880)   = 0.471188440
    """
    p = Predictabilities(A, GIVEN)
    p.meet(B, at(0))
    assert p[B] == 0.5
    p.meet(B, at(15))
    assert p[B] == pytest.approx(0.666658978, abs=1e-8)
    p.meet(B, at(75))
    assert p[B] == pytest.approx(0.881345080, abs=1e-8)
    p.hear(B, {C: 0.6})
    assert p[C] == pytest.approx(0.475926343, abs=1e-8)
    p.age(at(85))
    assert p[C] == pytest.approx(0.471188440, abs=1e-8)


def test_transitivity_never_lowers() -> None:
    """P(B) = 0.5 after a first meeting: B's 0.1 of C would be 0.5 * 0.1 * 0.9 = 0.045."""
    p = Predictabilities(A, GIVEN)
    p.meet(C, at(0))
    p.meet(B, at(0))
    p.hear(B, {C: 0.1, A: 1.0, B: 1.0})
    assert p[C] == p[B] == 0.5
    assert p[A] == 1.0


def test_who_was_nearly_forgotten_is_met_as_for_the_first_time() -> None:
    """0.5 * 0.999^1700 = 0.0912... is under the threshold of 0.1: P_first again."""
    p = Predictabilities(A, GIVEN)
    p.meet(B, at(0))
    p.age(at(1700))
    assert p[B] == pytest.approx(0.5 * 0.999**1700)
    assert p[B] < GIVEN.threshold
    p.meet(B, at(1700))
    assert p[B] == 0.5


@given(st.lists(st.tuples(st.sampled_from(NODES[1:]), st.floats(0, 500), st.floats(0, 1))))
def test_a_predictability_stays_one(steps: list[tuple[NodeId, float, float]]) -> None:
    p = Predictabilities(A, GIVEN)
    minute = 0.0
    for node, wait, told in steps:
        minute += wait
        p.meet(node, at(minute))
        p.hear(node, dict.fromkeys(NODES, told))
        assert all(0.0 <= p[one] <= 1.0 for one in NODES)
        assert p[node] <= max(1 - GIVEN.delta, GIVEN.p_first)


def met(*pairs: tuple[NodeId, dict[NodeId, float]]) -> Prophet:
    neighbours = Neighbours()
    module = Prophet(A, neighbours)
    for peer, theirs in pairs:
        neighbours.contact_up(peer)
        neighbours.holds(peer, [])
        module.contact_up(peer, NOW)
        words = [word for node, p in theirs.items() for word in (bytes(node), int(p * 65_535))]
        module.heard(peer, words, NOW)
    return module


def test_copies_go_to_whoever_is_more_likely_to_deliver() -> None:
    """Of D, A hears 0.9 by B: 0.5 * 0.9 * 0.9 = 0.405; C has 0.2 only."""
    module = met((B, {D: 0.9}), (C, {D: 0.2}))
    assert module.own_p[D] == pytest.approx(0.405, abs=1e-4)
    one = held(D.eid)
    assert list(module.choose(one, D, [B, C], NOW)) == [B]
    assert list(module.choose(one, D, [C], NOW)) == []
    assert list(module.choose(one, D, [B, C, D], NOW)) == [D]
    assert list(module.choose(one, None, [B, C], NOW)) == []


def test_what_is_told_is_what_is_heard() -> None:
    one, other = met((B, {C: 0.8})), met()
    other.heard(A, one.tell(B, NOW), NOW)
    got = other._theirs[A]
    assert got[C] == pytest.approx(one.own_p[C], abs=1e-4)
    assert set(got) == {B, C}


@pytest.mark.parametrize(
    "told", [None, 5, [b"x"], [bytes(20)], [bytes(20), 70_000], [bytes(20), -1]]
)
def test_nonsense_is_an_error(told: object) -> None:
    with pytest.raises(WireError):
        met().heard(B, told, NOW)


@pytest.mark.parametrize("wrong", [{"p_max": 1.1}, {"gamma": -0.1}, {"unit_s": 0.0}])
def test_impossible_parameters(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="PRoPHET"):
        Parameters(**wrong)
