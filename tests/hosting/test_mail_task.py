"""Mail that meets a full disk just when the VM leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from radics_mesh.dtn.agent import Delivery
from radics_mesh.dtn.handling.endpoints import Elsewhere
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.errors import GuestError
from radics_mesh.hosting.logs import VmLog
from radics_mesh.hosting.papers import Mailbox
from radics_mesh.hosting.table import Table
from radics_mesh.hosting.vm_mail import MailTask
from radics_mesh.ids import Eid
from tests.hosting.test_boxes import CHAIN, ROW, VM

BUNDLE = Delivery(
    bundle_id=BundleId(Eid("dtn://from/"), 1, 1),
    source=Eid("dtn://from/"),
    destination=VM.eid,
    content=bytes(20_000),
    signer=None,
    vm_chain=b"",
)


class SmallTable(Table):
    """On a disk that is full, for which SQLite has a word."""

    def fill(self, pages: int | None) -> None:
        limit = pages if pages is not None else 1 << 30
        self._db.execute(f"PRAGMA max_page_count={limit}")


@pytest.fixture
def table(tmp_path: Path) -> Iterator[SmallTable]:
    table = SmallTable(tmp_path / "vms.sqlite")
    table.receive(ROW, Mailbox())
    yield table
    table.close()


@pytest.fixture
def task(table: SmallTable, tmp_path: Path) -> MailTask:
    """No guest and no agent is asked before there is mail."""
    nobody: Any = SimpleNamespace(table=table, agent=None, copy_of=lambda: 0)
    return MailTask(nobody, CHAIN, VmLog(tmp_path), nobody)


@pytest.mark.parametrize(
    ("bring", "refusal"),
    [
        (lambda task: task.receive(BUNDLE), Elsewhere),
        (lambda task: task.feed(bytes(20_000)), GuestError),
    ],
    ids=["a bundle", "standard input"],
)
async def test_what_finds_the_disk_full_goes_after_the_vm_if_that_has_left(
    table: SmallTable,
    task: MailTask,
    autojump_clock: trio.testing.MockClock,
    bring: Callable[[MailTask], Awaitable[None]],
    refusal: type[Exception],
) -> None:
    """The state that leaves was written meanwhile: what came to this mailbox then would be lost."""

    async def leave() -> None:
        await trio.testing.wait_all_tasks_blocked()
        task.close_mailbox()
        table.fill(None)

    table.fill(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave)
        with pytest.raises(refusal):
            await bring(task)
    assert table.all_mail(VM) == []


async def test_a_bundle_is_taken_once_the_disk_has_room(
    table: SmallTable, task: MailTask, autojump_clock: trio.testing.MockClock
) -> None:
    table.fill(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task.receive, BUNDLE)
        await trio.testing.wait_all_tasks_blocked()
        assert table.all_mail(VM) == []
        table.fill(None)
    assert [mail.payload for mail in table.all_mail(VM)] == [BUNDLE.payload]
