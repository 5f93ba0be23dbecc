"""A survey that looks at changed pages only is one that looks at all of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radics_mesh.vmm import snapshot
from radics_mesh.vmm.changed import Changed
from radics_mesh.vmm.pagepack import page_hash
from radics_mesh.vmm.ram import PAGE_BYTES
from radics_mesh.vmm.survey import Survey, look
from tests.vmm.test_snapshot import (
    END,
    FIRST,
    MEMORY_BYTES,
    SIGNER,
    SUBJECT,
    TEMPLATE,
    page,
    ram_file,
    take,
)

LAIN = {number: page_hash(content) for number, content in TEMPLATE.items()}


def report(stage: int, since: int, numbers: set[int]) -> Changed:
    bits = bytearray(END // 8)
    for number in numbers:
        bits[number // 8] |= 1 << number % 8
    return Changed(stage, since, END, bytes(bits))


def write(ram: Path, rng: Random) -> set[int]:
    """Changes the memory here and there; which pages it may have changed."""
    numbers = {rng.choice((rng.randrange(FIRST, END), 300, 301)) for _ in range(rng.randrange(9))}
    with ram.open("r+b") as file:
        for number in numbers:
            file.seek(number * PAGE_BYTES)
            kinds = (bytes(PAGE_BYTES), TEMPLATE.get(number, page(1)), page(rng.randrange(5)))
            file.write(rng.choice(kinds))
    return numbers


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1 << 32))
def test_changed_pages_are_enough(seed: int) -> None:
    rng = Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        ram = ram_file(Path(folder) / "ram", TEMPLATE)
        survey = Survey.at_start(None)
        for stage in range(1, 6):
            numbers = write(ram, rng) | {0, 255, rng.randrange(END)}
            changed = report(stage, survey.stage, numbers)
            survey = look(ram, MEMORY_BYTES, LAIN, before=survey, changed=changed)
            assert survey == look(ram, MEMORY_BYTES, LAIN, changed=report(stage, 0, set()))
        full = snapshot.take(ram, MEMORY_BYTES, TEMPLATE, SUBJECT, SIGNER)
        held = survey.held(ram)
        assert snapshot.take(ram, MEMORY_BYTES, TEMPLATE, SUBJECT, SIGNER, held) == full
        assert Survey.at_start(full.manifest).pages == survey.pages


def test_only_the_named_pages_are_read(tmp_path: Path) -> None:
    ram = ram_file(tmp_path / "ram", TEMPLATE | {400: page(1), 500: page(2)})
    before = look(ram, MEMORY_BYTES, LAIN, changed=report(1, 0, set()))
    ram_file(ram, TEMPLATE | {400: page(3), 500: page(4)})
    after = look(ram, MEMORY_BYTES, LAIN, before=before, changed=report(2, 1, {400}))
    assert after.pages[400] != before.pages[400]
    assert after.pages[500] == before.pages[500]


@pytest.mark.parametrize("changed", [None, report(9, 7, set()), Changed(9, 1, 64, bytes(8))])
def test_what_does_not_follow_means_everything(tmp_path: Path, changed: Changed | None) -> None:
    """No report, one since another stage, one of another amount of memory."""
    ram = ram_file(tmp_path / "ram", TEMPLATE | {400: page(1)})
    before = Survey(1, {})
    after = look(ram, MEMORY_BYTES, LAIN, before=before, changed=changed)
    assert sorted(after.pages) == [400]
    assert after.stage == (0 if changed is None else 9)


def test_a_warm_started_guest_begins_with_its_snapshot(tmp_path: Path) -> None:
    state = take(tmp_path / "ram", TEMPLATE | {400: page(1), 301: page(2)})
    survey = Survey.at_start(state.manifest)
    assert survey.pages == look(tmp_path / "ram", MEMORY_BYTES, LAIN).pages


def test_pages_are_given_away_once_and_not_when_they_change_again(tmp_path: Path) -> None:
    ram = ram_file(tmp_path / "ram", TEMPLATE | {FIRST + 5: page(1), FIRST + 6: page(2)})
    given_away: list[tuple[bytes, bytes]] = []

    def seen(before: Survey, stage: int) -> Survey:
        changed = report(stage, before.stage, {FIRST + 5, FIRST + 6, FIRST + 7})
        given_away.clear()
        return look(ram, MEMORY_BYTES, LAIN, before=before, changed=changed, put=given_away.extend)

    first = seen(Survey.at_start(None), 1)
    assert given_away == [(page_hash(page(n)), page(n)) for n in (1, 2)]
    with ram.open("r+b") as file:
        file.seek((FIRST + 6) * PAGE_BYTES)
        file.write(page(3) + page(4))
    second = seen(first, 2)
    assert given_away == [(page_hash(page(4)), page(4))]
    assert second.pages[FIRST + 6] == page_hash(page(3))
    assert look(ram, MEMORY_BYTES, LAIN).pages == second.pages
    put_nothing = look(ram, MEMORY_BYTES, LAIN, put=lambda pages: next(iter(pages)))
    assert put_nothing.pages == second.pages
