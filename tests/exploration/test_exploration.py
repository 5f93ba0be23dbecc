"""The reduced form of `make explore`: all invariants hold, and each rule is needed."""

from __future__ import annotations

import pytest

from tests.exploration.rules import MUTANTS, Mutant
from tests.exploration.runs import REDUCED
from tests.exploration.walk import Model
from tests.exploration.world import Bounds, Violation


@pytest.mark.parametrize("bounds", REDUCED, ids=str)
def test_every_state_is_visited_and_no_invariant_breaks(bounds: Bounds) -> None:
    assert Model(bounds).explore().states > 500


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_rule_removed_breaks_an_invariant(mutant: Mutant) -> None:
    with pytest.raises(Violation) as broken:
        mutant.model().explore()
    assert broken.value.text.startswith(mutant.breaks)


def test_the_way_to_a_violation_is_told_step_by_step() -> None:
    [mutant] = [m for m in MUTANTS if m.what == "RELEASE not durable"]
    with pytest.raises(Violation) as broken:
        mutant.model().explore()
    assert broken.value.trail[0] == "A: offer"
    assert any("crash" in step for step in broken.value.trail)
    assert broken.value.trail[-1] in str(broken.value)
