"""The sources' ledger on a disk that is full for a while, and when its node ends."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio
import trio.testing

from radics_mesh.errors import CapacityError
from radics_mesh.ids import Digest, NodeId
from radics_mesh.sources import scribe as scribes
from radics_mesh.sources.ledger import Cursor, Ledger, Published
from radics_mesh.sources.log import Content
from radics_mesh.sources.messages import Fence
from radics_mesh.sources.scribe import Scribe
from tests.patience import PATIENCE_S

CONTENT = Content(10, Digest(bytes(32)), 3)


def cursor(number: int) -> Cursor:
    subscriber = NodeId(number.to_bytes(20)).service("x" * 100)
    return Cursor(subscriber, NodeId(bytes(20)), Fence(1, 1), 1, number, active=True)


async def test_a_full_disk_delays_a_source_and_is_told_to_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scribes, "FULL_WAIT_S", 0.01)
    ledger = Ledger(tmp_path / "ledger")
    scribe = Scribe(ledger)
    await scribe.keep_publication(Published("text", tmp_path / "text", None, CONTENT))
    database = ledger._database  # a disk cannot be filled for one file alone
    [(pages,)] = database.execute("PRAGMA page_count").fetchall()
    database.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(CapacityError, match="full"):
        await scribe.keep_publication(Published("x" * 20_000, tmp_path, None, CONTENT))
    cursors = [cursor(n) for n in range(200)]
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scribe.keep, "text", 3, cursors)
            while not scribe.is_waiting:  # noqa: ASYNC110 - another thread finds it out
                await trio.sleep(0.005)
            database.execute("PRAGMA max_page_count=1000000")
    assert len(ledger.cursors("text")) == 200
    ledger.close()


async def test_the_ledger_is_not_closed_under_a_thread_that_writes(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    scribe = Scribe(Ledger(path))
    await scribe.keep_publication(Published("text", tmp_path / "text", None, CONTENT))
    with closing(sqlite3.connect(path, isolation_level=None)) as other, trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            other.execute("BEGIN IMMEDIATE")  # the writer's thread waits for this
            nursery.start_soon(scribe.keep, "text", 3, [cursor(1)])
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(scribe.close)
            nursery.start_soon(scribe.keep, "text", 4, [cursor(2)])
            await trio.testing.wait_all_tasks_blocked()
            other.execute("ROLLBACK")
            await _until_closed(scribe)
            nursery.cancel_scope.cancel()  # the second, which came too late
        kept = other.execute("SELECT head, acknowledged FROM publication, subscriber").fetchall()
    assert kept == [(3, 1)]


async def _until_closed(scribe: Scribe) -> None:
    while True:
        try:
            scribe.ledger.publications()
        except sqlite3.ProgrammingError:
            return
        await trio.sleep(0.005)
