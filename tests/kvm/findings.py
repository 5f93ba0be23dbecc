"""What an emulated machine reports: one line of JSON a finding, on its serial line; and the table.

A line that is not a finding is somebody else's, and may be anything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MARK = "finding "

# What has to be found on each machine, once at least, for the KVM path to be called good; in the
# table's order.
PROBE_TCG = "probe under TCG"
PROBE_KVM = "probe under KVM"
CHOICE = "the product takes"
PROGRAMS = "test programs under KVM"
RUN = "run under KVM"
PARK_KVM = "parked under KVM"
WARM_TCG = "warm start under TCG"
PARK_TCG = "parked under TCG"
WARM_KVM = "warm start under KVM"
CHECKED = "the program's own checks"
MESSAGES = "messages"
GROUPS = "control groups"
TROUBLE = "trouble"
ALL = (
    *(PROBE_TCG, PROBE_KVM, CHOICE, PROGRAMS, RUN, PARK_KVM, WARM_TCG, PARK_TCG, WARM_KVM),
    *(CHECKED, MESSAGES, GROUPS),
)


@dataclass(frozen=True)
class Finding:
    """`what`: one of ALL, or TROUBLE; `detail`: for people."""

    what: str
    good: bool
    detail: str

    def line(self) -> str:
        return _MARK + json.dumps([self.what, self.good, self.detail])


def parse(line: str) -> Finding | None:
    """The finding in a serial line, None when there is none."""
    _, mark, text = line.partition(_MARK)
    try:
        what, good, detail = json.loads(text) if mark else (None, None, None)
    except (ValueError, TypeError):
        return None
    if not isinstance(what, str) or not isinstance(good, bool) or not isinstance(detail, str):
        return None
    return Finding(what, good, detail)


def is_good(findings: Sequence[Finding]) -> bool:
    """Whether all that has to be found was found, and nothing bad."""
    return {finding.what for finding in findings} >= set(ALL) and all(f.good for f in findings)


def table(machines: Mapping[str, Sequence[Finding]]) -> str:
    """A row a finding, a column a machine; what went wrong below."""
    rows = [["", *machines]]
    for what in ALL:
        rows.append([what, *(_cell(what, findings) for findings in machines.values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    for name, findings in machines.items():
        lines += [f"{name}: {f.what}: {f.detail}" for f in findings if f.what not in ALL]
    return "\n".join(lines)


def _cell(what: str, findings: Sequence[Finding]) -> str:
    ours = [finding for finding in findings if finding.what == what]
    if not ours:
        return "BAD: not found"
    for finding in ours:
        if not finding.good:
            return f"BAD: {finding.detail}"
    times = f"{len(ours)} times; the last: " if len(ours) > 1 else ""
    return times + ours[-1].detail


def report(what: str, good: bool, detail: str) -> None:
    """From inside a machine, whose output is its serial line."""
    print(Finding(what, good, detail).line(), flush=True)
