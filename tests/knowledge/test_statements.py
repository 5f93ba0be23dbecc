from __future__ import annotations

from pathlib import Path

import pytest

from radics_mesh.clock import Monotonic, SystemClock
from radics_mesh.knowledge.sequence import SequenceNumbers
from radics_mesh.knowledge.statements import Statements
from radics_mesh.records import Kind
from tests.members import member


@pytest.fixture
def statements(tmp_path: Path) -> Statements:
    return Statements(*member(1), SequenceNumbers(tmp_path / "sequence", SystemClock()))


def _at(seconds: float) -> Monotonic:
    return Monotonic(seconds)


def test_it_is_stated_again_three_times_in_a_life(statements: Statements) -> None:
    first = statements.state(Kind.SOURCE, "door", {"rate": 1}, ttl_s=60, now=_at(0))
    assert statements.due(_at(19)) == []
    [again] = statements.due(_at(20))
    assert again.sequence > first.sequence
    assert again.body == first.body
    assert statements.due(_at(39)) == []
    assert len(statements.due(_at(40))) == 1


def test_a_new_statement_replaces_the_old(statements: Statements) -> None:
    statements.state(Kind.SOURCE, "door", {"rate": 1}, ttl_s=60, now=_at(0))
    statements.state(Kind.SOURCE, "door", {"rate": 2}, ttl_s=60, now=_at(10))
    assert statements.due(_at(29)) == []
    [record] = statements.due(_at(30))
    assert record.body == {"rate": 2}


def test_a_withdrawal_is_repeated_until_the_copies_have_expired(statements: Statements) -> None:
    statements.state(Kind.SOURCE, "door", {"rate": 1}, ttl_s=60, now=_at(0))
    assert (Kind.SOURCE, "door") in statements
    assert statements.withdraw(Kind.SOURCE, "door", ttl_s=99, now=_at(10)).withdrawn
    repeats = [record for now in range(10, 400, 10) for record in statements.due(_at(now))]
    assert len(repeats) == 5
    assert all(record.withdrawn and record.ttl_s == 60 for record in repeats)
    assert (Kind.SOURCE, "door") not in statements
