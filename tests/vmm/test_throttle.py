"""A share of a processor, as arithmetic; with a real guest it is in tests/hosting/test_life.py."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.vmm.throttle import LOOK_S, SAVED_S, Budget

shares = st.floats(0.05, 4.0)


@given(shares, st.floats(0.0, 1.0), st.integers(50, 300))
def test_whatever_it_wants_it_gets_no_more_than_its_share(
    share: float, wants: float, looks: int
) -> None:
    """`wants`: of one processor, whenever it is let. What it gets is that, or its share."""
    budget, now, used = Budget(share, 0.0, 0.0), 0.0, 0.0
    for _ in range(looks):
        now, used = now + LOOK_S, used + LOOK_S * wants
        now += budget.stop_s(used, now)
    assert used <= share * (now + SAVED_S) + LOOK_S


@given(shares)
def test_who_takes_less_is_never_stopped(share: float) -> None:
    budget, now, used = Budget(share, 0.0, 0.0), 0.0, 0.0
    for _ in range(200):
        now, used = now + LOOK_S, used + LOOK_S * share * 0.9
        assert budget.stop_s(used, now) == 0.0


def test_what_was_not_used_is_not_saved_up_for_long() -> None:
    budget = Budget(0.5, 0.0, 0.0)
    assert budget.stop_s(0.0, 1000.0) == 0.0
    assert budget.stop_s(1.0, 1001.0) > 0.8
