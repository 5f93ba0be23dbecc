"""Reports of changed pages: what is put together is what was said, whatever comes in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import WireError
from radics_mesh.vmm import abi
from radics_mesh.vmm.changed import PAGES_MAX, Assembly, Changed, ChangedFrame

FRAME_PAGES = 8 * abi.CHANGED_MAX


def frames_of(nonce: int, since: int, pages: int, numbers: set[int]) -> list[ChangedFrame]:
    bits = bytearray(-(-pages // 64) * 8)
    for number in numbers:
        bits[number // 8] |= 1 << number % 8
    return [
        ChangedFrame(nonce, since, pages, 8 * at, bytes(bits[at : at + abi.CHANGED_MAX]))
        for at in range(0, len(bits), abi.CHANGED_MAX)
    ]


@given(st.data(), st.sampled_from([1, 63, 64, 4096, FRAME_PAGES, FRAME_PAGES + 1, 1_200_000]))
def test_what_is_put_together_is_what_was_said(data: st.DataObject, pages: int) -> None:
    numbers = data.draw(st.sets(st.integers(0, pages - 1), max_size=20))
    *first, last = frames_of(7, 3, pages, numbers)
    assembly = Assembly()
    assert [assembly.add(frame) for frame in first] == [None] * len(first)
    report = assembly.add(last)
    assert report is not None
    assert (report.stage, report.since, report.pages) == (7, 3, pages)
    assert list(report.numbers()) == sorted(numbers)
    start = data.draw(st.integers(0, pages))
    assert list(report.numbers(start)) == sorted(n for n in numbers if n >= start)


def test_a_report_without_one_of_its_frames_is_none() -> None:
    pages = 3 * FRAME_PAGES
    for lost in range(3):
        assembly = Assembly()
        frames = frames_of(1, 0, pages, {5, pages - 1})
        del frames[lost]
        assert [assembly.add(frame) for frame in frames] == [None, None]
        heard = [assembly.add(frame) for frame in frames_of(2, 0, pages, {6})]
        assert heard[:2] == [None, None]
        assert list(heard[2].numbers() if heard[2] else ()) == [6]


def test_parts_of_two_reports_are_none() -> None:
    assembly = Assembly()
    old, new = (frames_of(nonce, 0, 2 * FRAME_PAGES, {nonce}) for nonce in (1, 2))
    assert [assembly.add(frame) for frame in (old[0], new[1])] == [None, None]


@pytest.mark.parametrize(
    ("pages", "first", "length"),
    [
        (0, 0, 0),
        (64, 0, 0),
        (64, 0, 7),
        (64, 0, 16),
        (64, 64, 8),
        (4096, 64, 8),
        (FRAME_PAGES + 64, 0, 65544),
        (PAGES_MAX + 64, 0, abi.CHANGED_MAX),
        (2**32 - 1, FRAME_PAGES, abi.CHANGED_MAX),
    ],
)
def test_what_cannot_be_a_piece_is_refused(pages: int, first: int, length: int) -> None:
    with pytest.raises(WireError, match="changed: "):
        ChangedFrame(1, 0, pages, first, bytes(length))


def test_a_map_has_no_pages_beyond_the_memory() -> None:
    assert list(Changed(1, 0, 60, b"\xff" * 8).numbers()) == list(range(60))
