"""Contact plans: what a file says, and what is wrong with it, by line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.dtn.routes.contact_plan import Contact, ContactPlan
from radics_mesh.errors import UsageError
from tests.dtn.routes.bundles import A, B, C

START = 1_795_507_200.0  # 2026-11-24T08:00:00Z
PLAN = f"""
# Two buses.
node  bus  {B.text}
start 2026-11-24T08:00:00Z
contact +0 +60 {A.text} bus 125k             # at the depot
contact +100 +160.5 bus village 1.5M delay 0.25 every 3600 times 2 oneway
contact 2026-11-24T07:00:00Z 1795507200 bus village 10
"""


def test_what_a_file_says(tmp_path: Path) -> None:
    path = tmp_path / "plan"
    path.write_text(PLAN)
    plan = ContactPlan.read(path)
    late = Contact(START + 100, START + 160.5, "bus", "village", 1.5e6, 0.25)  # type: ignore[arg-type]
    assert plan.contacts[:2] == (
        Contact(START - 3600, START, "bus", "village", 10.0),  # type: ignore[arg-type]
        Contact(START - 3600, START, "village", "bus", 10.0),  # type: ignore[arg-type]
    )
    assert plan.contacts[4] == late
    assert [one.start - START for one in plan.contacts] == [-3600, -3600, 0, 0, 100, 3700]
    assert plan.contacts[2].volume_bytes == 7_500_000
    assert plan.node_of("bus", lambda name: None) == B
    assert plan.node_of(A.text, lambda name: None) == A
    assert plan.node_of("village", {"village": C}.get) == C


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("contakt +0 +1 a b 1", "contakt: not node, start or contact"),
        ("node bus", "a node line is"),
        ("node bus nonsense", "not the? ?base32"),
        (f"node bus {A.text}", "bus is two nodes"),
        ("start", "not all of a start line"),
        ("start yesterdayT", "not a time"),
        ("contact +0 +1 a b", "not all of a contact line"),
        ("contact +1 +1 a b 1", "ends after it begins"),
        ("contact +0 +1 a a 1", "between two nodes"),
        ("contact +0 +1 a b fast", "fast: not a number of bytes a second"),
        ("contact +0 +1 a b 0", "not a number of bytes a second"),
        ("contact +0 x a b 1", "x: not a number of seconds"),
        ("contact +nan +1 a b 1", "nan: not a number of seconds"),
        ("contact +0 +1 a b 1 delay", "nothing: not a number of seconds"),
        ("contact +0 +1 a b 1 every 5", "times N"),
        ("contact +0 +9 a b 1 every 5 times 2", "begins again before"),
        ("contact +0 +1 a b 1 every 5 times 9999999", "times N"),
        ("contact +0 +1 a b 1 sometimes", "sometimes: not delay, every or oneway"),
    ],
)
def test_what_is_wrong_with_it(line: str, said: str) -> None:
    text = f"node bus {B.text}\nstart 2026-11-24T08:00:00Z\n\n{line}\n"
    with pytest.raises(UsageError, match=f"plan.txt, line 4: .*{said}"):
        ContactPlan.parse(text, "plan.txt")


def test_relative_times_need_a_start() -> None:
    with pytest.raises(UsageError, match=r"line 1: .* start line"):
        ContactPlan.parse("contact +0 +1 a b 1")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="missing"):
        ContactPlan.read(tmp_path / "missing")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="binary"):
        ContactPlan.read(tmp_path / "binary")


words = st.sampled_from(
    ["node", "start", "contact", "+0", "+5", "1e9", "a", "b", "1k", "delay", "every", "times", "3"]
)


@given(st.lists(st.lists(words | st.text(max_size=6), max_size=10), max_size=6))
def test_any_text_is_a_plan_or_an_error(lines: list[list[str]]) -> None:
    try:
        plan = ContactPlan.parse("\n".join(" ".join(line) for line in lines))
    except UsageError:
        return
    assert all(one.start < one.end and one.rate > 0 for one in plan.contacts)
