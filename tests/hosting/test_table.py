"""The table of VMs: what is kept is there after a restart, and counts what it should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from radics_mesh.hosting.papers import WINDOW_KEYS, Mailbox, Settings, Subscription, mail_key
from radics_mesh.hosting.table import JOURNAL_ROWS, Ending, Table, VmRow, Wanted
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest
from radics_mesh.ownership import born
from radics_mesh.vmm.frames import StreamState
from radics_mesh.vmm.handoff import Handoff

ME = Identity(b"A" * 32)
CHAIN = born(ME, "counter", Digest.of(b"image"), b"n" * 16)
VM = CHAIN.vm_id
ROW = VmRow(
    VM, "counter", Wanted.RUNNING, Handoff.born(CHAIN, ME).tenure, Settings(1 << 20, ("text",))
)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    table = Table(tmp_path / "vms.sqlite")
    table.receive(ROW, Mailbox())
    yield table
    table.close()


def post(table: Table, *texts: str) -> list[bool]:
    return [table.post(VM, mail_key(t), "dtn://from/", "service", t.encode()) for t in texts]


def held(table: Table) -> list[tuple[int, bytes]]:
    return [(mail.number, mail.payload) for mail in table.mail(VM, 0)]


def test_all_survives_a_restart(table: Table, tmp_path: Path) -> None:
    row = replace(ROW, note="n", ending=Ending(0, 3, "why"), clean=True, arrived=7.5)
    table.keep(row)
    post(table, "one", "two")
    table.subscribe(VM, Subscription("text", ME.node_id, 9))
    table.close()
    again = Table(tmp_path / "vms.sqlite")
    assert again.rows() == [replace(row, next_mail=3)]
    assert again.mailbox(VM).subscriptions == (Subscription("text", ME.node_id, 9),)
    assert [mail.payload for mail in again.mailbox(VM).mail] == [b"one", b"two"]
    again.close()


def test_what_only_the_guest_moves_on_is_not_set_back(table: Table) -> None:
    table.outputs(VM, 5, 100)
    post(table, "one")
    table.keep(replace(ROW, note="changed"))
    row = table.row(VM)
    assert row is not None
    assert (row.output, row.log_bytes, row.next_mail, row.note) == (5, 100, 2, "changed")
    table.set_back(replace(row, output=2), Mailbox(output=2))
    row = table.row(VM)
    assert row is not None
    assert row.output == 2


def test_a_last_output_says_that_the_program_has_exited(table: Table) -> None:
    table.outputs(VM, 1, 0, Ending(0, 4, ""))
    row = table.row(VM)
    assert row is not None
    assert (row.wanted, row.ending) == (Wanted.EXITED, Ending(0, 4, ""))


def test_mail_is_numbered_once_and_goes_when_it_is_taken(table: Table) -> None:
    assert post(table, "one", "two", "one") == [True, True, False]
    assert held(table) == [(1, b"one"), (2, b"two")]
    table.taken(VM, 1)
    assert held(table) == [(2, b"two")]
    assert post(table, "one") == [False]
    assert table.mail_bytes(VM) > 0


def test_the_window_is_bounded(table: Table) -> None:
    post(table, *(str(n) for n in range(WINDOW_KEYS + 10)))
    window = table.mailbox(VM).window
    assert len(window) == WINDOW_KEYS
    assert window[-1] == mail_key(str(WINDOW_KEYS + 9))


def test_numbers_go_on_where_the_guest_is(table: Table) -> None:
    post(table, *"abcdef")
    table.align(VM, [StreamState(0, have=3, done=2)])
    assert held(table) == [(3, b"c"), (4, b"d"), (5, b"e"), (6, b"f")]
    table.taken(VM, 4)
    table.align(
        VM, [StreamState(0, have=1, done=1)]
    )  # set back to an earlier state: e and f follow on a
    assert held(table) == [(2, b"e"), (3, b"f")]
    post(table, "g")
    assert held(table)[-1] == (4, b"g")


def test_a_mailbox_travels_whole(table: Table, tmp_path: Path) -> None:
    post(table, *"abc")
    table.taken(VM, 1)
    table.outputs(VM, 9, 50)
    table.subscribe(VM, Subscription("text"))
    box = table.mailbox(VM)
    other = Table(tmp_path / "other.sqlite")
    other.receive(replace(ROW, output=box.output, next_mail=box.next_mail), box)
    assert other.mailbox(VM) == box
    assert held(other) == [(2, b"b"), (3, b"c")]
    assert post(other, "a", "d") == [False, True]
    other.close()
    table.give_up(replace(ROW, wanted=Wanted.MOVED), released=True)
    assert table.mailbox(VM).mail == ()
    table.remove(VM)
    assert table.rows() == []


def test_the_journal_keeps_the_latest(table: Table) -> None:
    for n in range(JOURNAL_ROWS + 5):
        assert table.next_note() == n + 1
        table.note([(float(n), "info", f"event {n}")])
    rows = table.journal()
    assert len(rows) == JOURNAL_ROWS
    assert (rows[-1].number, rows[-1].text) == (JOURNAL_ROWS + 5, f"event {JOURNAL_ROWS + 4}")
