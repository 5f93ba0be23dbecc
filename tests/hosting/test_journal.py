"""The journal: read at once, on the medium soon, and before anything goes on where it matters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.clock import Wall
from radics_mesh.hosting.journal import SOON_S, Journal
from radics_mesh.hosting.table import Table


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    table = Table(tmp_path / "vms.sqlite")
    yield table
    table.close()


def on_medium(table: Table) -> list[str]:
    return [row.text for row in table.journal()]


def read(journal: Journal, after: int = 0) -> list[tuple[int, str]]:
    return [(row.number, row.text) for row in journal.rows(after)]


def test_warnings_are_written_with_what_was_before_them(table: Table) -> None:
    journal = Journal(table, lambda: Wall(1.0))
    journal.note("info", "one")
    assert (on_medium(table), read(journal)) == ([], [(1, "one")])
    journal.note("warning", "two")
    journal.note("info", "three")
    assert on_medium(table) == ["one", "two"]
    assert read(journal) == [(1, "one"), (2, "two"), (3, "three")]
    assert read(journal, after=1) == [(2, "two"), (3, "three")]
    assert read(journal, after=3) == []
    journal.write()
    assert read(journal) == [(1, "one"), (2, "two"), (3, "three")]
    assert on_medium(table) == ["one", "two", "three"]


async def test_what_is_noted_is_written_together_a_moment_later(
    table: Table, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    journal = Journal(table, lambda: Wall(1.0))
    nursery.start_soon(journal.run)
    heard: list[int] = []

    async def follow() -> None:
        while True:
            await journal.grown()
            heard.append(len(journal.rows()))

    nursery.start_soon(follow)
    await trio.testing.wait_all_tasks_blocked()
    for text in "ab":
        journal.note("info", text)
    assert on_medium(table) == []
    await trio.sleep(2 * SOON_S)
    assert on_medium(table) == ["a", "b"]
    assert heard == [2]
