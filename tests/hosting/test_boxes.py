"""What waits for a VM: filed to its box, numbered as its guest numbers it, whatever happens."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from radics_mesh.hosting.outbox import Outbound
from radics_mesh.hosting.papers import Box, Mailbox, Settings, Subscription, mail_key
from radics_mesh.hosting.table import Ending, Table, VmRow, Wanted
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest
from radics_mesh.ownership import born
from radics_mesh.vmm import abi
from radics_mesh.vmm.frames import StreamState
from radics_mesh.vmm.handoff import Handoff

ME = Identity(b"A" * 32)
CHAIN = born(ME, "counter", Digest.of(b"image"), b"n" * 16)
VM = CHAIN.vm_id
ROW = VmRow(VM, "counter", Wanted.RUNNING, Handoff.born(CHAIN, ME).tenure, Settings(1 << 20))
REPLIES, STDIN = abi.STREAM_REPLIES, abi.STREAM_STDIN


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    table = Table(tmp_path / "vms.sqlite")
    table.receive(ROW, Mailbox())
    yield table
    table.close()


def post(table: Table, service: str, *texts: str) -> None:
    for text in texts:
        table.post(VM, mail_key(service + text), "dtn://from/", service, text.encode())


def held(table: Table, stream: int) -> list[tuple[int, str]]:
    return [(mail.number, mail.payload.decode()) for mail in table.mail(VM, 0, stream=stream)]


def test_each_address_has_its_box(table: Table) -> None:
    table.serve(VM, 1, "echo")
    post(table, "echo", "a", "b")
    post(table, "", "c")
    post(table, "other", "d")
    post(table, "~0123", "e")
    assert held(table, 1) == [(1, "a"), (2, "b")]
    assert held(table, 0) == [(1, "c"), (2, "d")]
    assert held(table, REPLIES) == [(1, "e")]
    assert table.mail_bytes(VM, 1) == 2 * 513
    table.taken(VM, 1, 1)
    assert held(table, 1) == [(2, "b")]


def test_mail_comes_once_and_replies_as_often_as_they_come(table: Table) -> None:
    """A guest tells replies apart by itself; so strangers cannot push mail out of the window."""
    for service, count in (("", 1), ("~0123", 2)):
        post(table, service, "x", "x")
        assert len(table.mail(VM, 0, stream=table.stream_of(VM, service))) == count


def test_a_closed_service_is_mail_again(table: Table) -> None:
    table.serve(VM, 1, "echo")
    post(table, "echo", "a")
    table.close_box(VM, 1)
    assert held(table, 1) == []
    post(table, "echo", "b")
    assert held(table, 0) == [(1, "b")]
    table.serve(VM, 1, "again")
    post(table, "again", "c")
    assert held(table, 1) == [(1, "c")]


def test_all_boxes_travel(table: Table, tmp_path: Path) -> None:
    table.serve(VM, 1, "echo")
    post(table, "echo", "a", "b")
    table.taken(VM, 1, 1)
    table.feed(VM, b"input", end=False)
    table.feed(VM, b"", end=True)
    box = table.mailbox(VM)
    assert Box(1, "echo", 3) in box.boxes
    there = Table(tmp_path / "there.sqlite")
    there.receive(ROW, box)
    assert there.mailbox(VM) == box
    post(there, "echo", "c")
    assert held(there, 1) == [(2, "b"), (3, "c")]
    assert [mail.end for mail in there.mail(VM, 0, stream=STDIN)] == [False, True]
    assert there.has_stdin_ended(VM)
    there.close()


def test_what_the_guest_says_counts(table: Table) -> None:
    """It was set back: it serves what it served then, and takes again what it had not yet."""
    table.serve(VM, 1, "echo")
    table.serve(VM, 2, "late")
    post(table, "echo", "a", "b", "c")
    post(table, "late", "d")
    post(table, "", "e")
    table.taken(VM, 2, 1)
    told = [StreamState(0, 0, 0), StreamState(1, 1, 1, "echo", 1), StreamState(3, 4, 4, "new", 1)]
    table.align(VM, told)
    assert held(table, 1) == [(2, "c")]
    assert held(table, 0) == [(1, "e"), (2, "d")]
    post(table, "new", "f")
    assert held(table, 3) == [(5, "f")]
    table.align(VM, told)
    assert held(table, 1) == [(2, "c")]


def test_a_stream_that_is_another_service_now(table: Table) -> None:
    table.serve(VM, 1, "echo")
    post(table, "echo", "a")
    table.align(VM, [StreamState(0, 0, 0), StreamState(1, 0, 0, "other", 1)])
    assert held(table, 0) == [(1, "a")]
    post(table, "other", "b")
    assert held(table, 1) == [(1, "b")]


def test_a_guest_of_version_1_0_gets_replies_as_mail(table: Table) -> None:
    post(table, "~0123", "a")
    table.align(VM, [StreamState(0, 0, 0)])
    assert held(table, 0) == [(1, "a")]


def test_the_end_of_the_input_is_not_lost_when_a_guest_is_set_back(table: Table) -> None:
    table.feed(VM, b"input", end=False)
    table.feed(VM, b"", end=True)
    table.taken(VM, 2, STDIN)
    table.align(VM, [StreamState(0, 0, 0), StreamState(STDIN, 0, 0, "", 3)])
    [end] = table.mail(VM, 0, stream=STDIN)
    assert (end.number, end.payload, end.end) == (1, b"", True)
    table.align(VM, [StreamState(0, 0, 0), StreamState(STDIN, 1, 1, "", 3)])
    assert table.mail(VM, 0, stream=STDIN) == []


def set_back(table: Table, *boxes: Box, output: int = 0) -> None:
    row = table.row(VM)
    assert row is not None
    table.set_back(row, Mailbox(output=output, boxes=boxes))


def test_who_is_set_back_gets_again_what_it_took(table: Table) -> None:
    table.serve(VM, 1, "echo")
    post(table, "", "a", "b")
    post(table, "echo", "c", "d")
    post(table, "~1", "e")
    table.taken(VM, 1)
    table.cover(VM, table.last_kept(VM), 0)  # here it will be set back to
    table.taken(VM, 2)
    table.taken(VM, 1, 1)
    table.taken(VM, 1, REPLIES)
    post(table, "", "f")
    assert table.kept_bytes(VM) == 3 * 513
    set_back(table, Box(1, "echo"))
    replies = StreamState(REPLIES, 0, 0, "", abi.KIND_REPLIES)
    table.align(VM, [StreamState(0, 1, 1), StreamState(1, 0, 0, "echo", 1), replies])
    assert held(table, 0) == [(2, "b"), (3, "f")]
    assert held(table, 1) == [(1, "c"), (2, "d")]
    assert held(table, REPLIES) == [(1, "e")]
    assert table.kept_bytes(VM) == 0
    assert table.post(VM, mail_key("a"), "dtn://from/", "", b"a") is False


def test_what_came_for_a_service_waits_until_it_is_served_again(table: Table) -> None:
    table.serve(VM, 1, "echo")
    post(table, "echo", "a", "b")
    table.taken(VM, 1, 1)
    table.close_box(VM, 1)
    table.serve(VM, 1, "other")
    post(table, "other", "x")
    set_back(table)
    post(table, "echo", "c")
    post(table, "", "m")
    assert held(table, 0) == [(1, "m")]
    assert table.mail_bytes(VM) == 5 * 513
    table.serve(VM, 2, "echo")
    table.serve(VM, 2, "echo")
    assert held(table, 2) == [(1, "a"), (2, "b"), (3, "c")]
    table.settle(VM)  # it leaves, and never served the other again
    assert held(table, 0) == [(1, "m"), (2, "x")]


def test_a_service_that_was_served_twice(table: Table) -> None:
    """Numbers begin anew each time; set back, the guest gets all in order."""
    for text in "ab":
        table.serve(VM, 1, "echo")
        post(table, "echo", text)
        table.taken(VM, 1, 1)
        if text == "a":
            table.close_box(VM, 1)
    set_back(table, Box(1, "echo"))
    assert held(table, 1) == [(1, "a"), (2, "b")]
    post(table, "echo", "c")
    assert held(table, 1)[-1] == (3, "c")


def test_subscriptions_are_set_back(table: Table) -> None:
    table.subscribe(VM, Subscription("late"))
    then = Mailbox(subscriptions=(Subscription("text", ME.node_id, 9),))
    table.set_back(ROW, then)
    assert table.mailbox(VM).subscriptions == then.subscriptions


def test_what_is_held_back_is_sent_or_never_was(table: Table) -> None:
    messages = [Outbound(7, n, "dtn://vm/", "dtn://x/", b"%d" % n) for n in (1, 2, 3)]
    table.outputs(VM, 3, 0, held=messages)
    table.outputs(VM, 3, 0, held=messages)  # the guest said it again
    assert table.to_send(VM, 9) == []
    table.cover(VM, 0, 1)
    assert table.to_send(VM, 9) == messages[:1]
    assert table.mailbox(VM).outbound == tuple(messages)
    set_back(table, output=2)
    assert table.held_bytes(VM) == 0
    assert table.to_send(VM, 9) == messages[:2]
    table.sent(VM, messages[:1])
    assert table.to_send(VM, 9) == messages[1:2]
    table.outputs(VM, 3, 0, held=messages[2:])
    assert table.held_bytes(VM) > 0
    table.outputs(VM, 4, 0, Ending(0, 0, ""), [Outbound(7, 4, "dtn://vm/", "dtn://x/", b"last")])
    assert [m.number for m in table.to_send(VM, 9)] == [2, 3, 4]


def test_a_table_of_version_0_1_is_taken_over(tmp_path: Path) -> None:
    table = Table(tmp_path / "vms.sqlite")
    table.receive(ROW, Mailbox(next_mail=3))
    table.close()
    with sqlite3.connect(tmp_path / "vms.sqlite") as old:
        old.execute("CREATE TABLE mail(vm_id, number, key, sender, service, payload)")
        row = (bytes(VM), 2, mail_key("x"), "dtn://from/", "service", b"old")
        old.execute("INSERT INTO mail VALUES (?,?,?,?,?,?)", row)
    old.close()
    for _ in range(2):
        again = Table(tmp_path / "vms.sqlite")
        assert held(again, 0) == [(2, "old")]
        again.close()
