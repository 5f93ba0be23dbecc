"""The wording that command line and screen share."""

from __future__ import annotations

import pytest

from radics_mesh import cells
from tests import answers


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("barn", "barn"),
        ("Grüße, 日本", "Grüße, 日本"),
        ("a\x1b[2Jb", "a\N{REPLACEMENT CHARACTER}[2Jb"),
        ("a\nb\tc\x7f", "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c\ufffd"),
        # A right-to-left override would turn the rest of the line around.
        ("a\u202eb", "a\N{REPLACEMENT CHARACTER}b"),
    ],
)
def test_what_others_named_cannot_control_a_terminal(text: str, shown: str) -> None:
    assert cells.printable(text) == shown


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9949, "9.9 kB"),
        (9951, "10 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (35_400_000, "35 MB"),
        (5 * 10**15, "5000 TB"),
    ],
)
def test_sizes_have_two_or_three_digits(count: int, text: str) -> None:
    assert cells.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (-1.0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (172_800, "2 d")],
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert cells.duration(seconds) == text


def test_every_row_has_a_cell_a_column() -> None:
    status = answers.status()
    assert len(cells.node_row(status["nodes"][0])) == len(cells.NODE_COLUMNS)
    assert len(cells.vm_row(status["vms"][0])) == len(cells.VM_COLUMNS)
    assert len(cells.source_row(status["sources"][0])) == len(cells.SOURCE_COLUMNS)


def test_a_node_is_seen_linked_stale_or_itself() -> None:
    here, near, far = answers.node("a", here=True), answers.node("b"), answers.node("c")
    far["connected"], far["stale"] = False, True
    assert cells.node_row(here)[2] == "this node"
    assert cells.node_row(near)[2] == "4.2 ms"
    assert (cells.node_row(far)[2], cells.node_row(far)[-1]) == ("no link", "3 s ago (stale)")


def test_a_vm_says_why_it_waits_or_that_it_is_pinned() -> None:
    assert cells.vm_row(answers.vm("x", note="no memory"))[-1] == "no memory"
    assert cells.vm_row(answers.vm("x", pinned=True))[-1] == "pinned"
    assert cells.vm_row(answers.vm("x", state="exited", status=3))[1] == "exited (3)"


def test_plain_columns_are_aligned() -> None:
    lines = cells.plain_table(["A", "LONG"], [["aaa", "b"], ["c", ""]])
    assert lines == ["A    LONG", "aaa  b", "c"]


def test_what_is_counted_of_bundles_is_told_by_its_weight() -> None:
    counters = {"received": 3, "refused_peer": 2, "refused_wire": 1, "expired": 1, "isolated": 0}
    counters |= {"datagram_bytes_in": 2686}
    assert cells.bundle_lines(
        {"stored": 1, "stored_bytes": 10, "quota_bytes": 1000, "counters": counters}
    ) == [
        *("stored 1, 10 B of 1.0 kB", "sent 0, received 3", "forwarded 0, delivered 0"),
        *("refused 3", "  datagram_bytes_in 2.7 kB", "  expired 1"),
        *("  refused_peer 2", "  refused_wire 1"),
    ]
