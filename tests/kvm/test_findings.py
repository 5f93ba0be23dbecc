from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kvm import findings
from tests.kvm.findings import Finding

GOOD = [Finding(what, True, "yes") for what in findings.ALL]


@given(st.text(), st.booleans(), st.text())
def test_a_line_brings_a_finding_over(what: str, good: bool, detail: str) -> None:
    finding = Finding(what, good, detail)
    assert findings.parse(finding.line()) == finding
    assert findings.parse("[    1.5] printk " + finding.line() + "\r") == finding


@pytest.mark.parametrize(
    "line", ["", "finding", "finding ", "finding 1", "finding {", 'finding ["a", 1, "b"]']
)
def test_what_else_is_on_the_line_is_no_finding(line: str) -> None:
    assert findings.parse(line) is None


def test_all_of_it_has_to_be_found_good() -> None:
    assert findings.is_good(GOOD)
    assert not findings.is_good(GOOD[1:])
    assert not findings.is_good([*GOOD, Finding(findings.PARK_KVM, False, "no")])
    assert not findings.is_good([*GOOD, Finding(findings.TROUBLE, False, "")])


def test_the_table_says_what_is_bad_and_what_is_missing() -> None:
    again = Finding(findings.RUN, False, "went wrong")
    trouble = Finding(findings.TROUBLE, False, "it ended with status 1")
    lines = findings.table({"one": [*GOOD, again], "two": [*GOOD[1:], trouble]}).splitlines()
    cells = {line[:24].strip(): line[24:].split("  ") for line in lines}
    assert [cell.strip() for cell in cells[findings.RUN] if cell] == ["BAD: went wrong", "yes"]
    assert [c.strip() for c in cells[findings.PROBE_TCG] if c][-1] == "BAD: not found"
    assert lines[-1] == "two: trouble: it ended with status 1"
