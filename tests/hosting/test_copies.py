"""Copies of mail for VMs whose checkpoints other nodes keep: what a row is for, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from radics_mesh.hosting import copies
from radics_mesh.hosting.copies import Copy, branched_at
from radics_mesh.hosting.papers import Mailbox, mail_key
from radics_mesh.hosting.policy import Policy
from radics_mesh.hosting.table import Table
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import born
from tests.hosting.test_branches import (
    KEPT_AFTER_S,
    RESTARTABLE,
    kept_at,
    lose,
    post,
    run_kept,
    taken,
)
from tests.hosting.test_table import ROW, VM
from tests.hosting.world import World, until

A, K = Identity(b"A" * 32), Identity(b"K" * 32)
ALL = range(0, 1 << 60)


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    table = Table(tmp_path / "vms.sqlite")
    table.receive(ROW, Mailbox())
    yield table
    table.close()


def file(table: Table, text: str, epoch: int) -> bool:
    return table.post(VM, mail_key(text), "dtn://from/", "", text.encode(), epoch)


def texts(table: Table, epochs: range = ALL) -> list[str]:
    return [copy.payload.decode() for _, copy in table.copies(VM, epochs)]


def test_what_is_filed_is_copied_once_and_only_where_it_is_to_be(table: Table) -> None:
    assert [file(table, "a", 0), file(table, "b", 3), file(table, "b", 3)] == [True, True, False]
    assert texts(table) == ["b"]
    [(number, copy)] = table.copies(VM, range(3, 4))
    assert copy == Copy(3, number, mail_key("b"), "dtn://from/", "", b"b")
    assert table.copied_vms() == [VM]


def test_a_checkpoint_covers_what_was_filed_before_it(table: Table) -> None:
    for text in "abc":
        file(table, text, 3)
    then = table.mailbox(VM).filed
    file(table, "d", 3)
    table.copies_covered(VM, range(3, 4), then)
    assert texts(table) == ["d"]
    table.copies_covered(VM, range(3, 4), then)
    table.copies_covered(VM, range(3, 5))  # it went on elsewhere with all that it had
    assert texts(table) == []
    file(table, "e", 5)
    assert table.mailbox(VM).filed > then  # numbers never come again


def test_a_branch_that_counts_no_more_keeps_its_copies_and_a_move_does_not(table: Table) -> None:
    file(table, "a", 3)
    table.give_up(ROW, released=False)
    assert texts(table) == ["a"]
    table.receive(ROW, Mailbox())
    assert texts(table) == ["a"]
    table.give_up(ROW, released=True)
    assert texts(table) == []


def test_what_comes_from_another_node_is_kept_once(table: Table) -> None:
    letters = [Copy(3, place, b"", "dtn://from/", "", b"%d" % place) for place in (8, 9)]
    assert table.keep_copies(VM, letters)
    assert table.keep_copies(VM, letters)
    assert texts(table) == ["8", "9"]
    table.drop_copies(VM, [(3, 8)])
    assert table.copy(VM, (3, 8)) is None
    assert table.copy(VM, (3, 9)) == letters[1]


def test_they_are_bounded(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "COPIES_MAX_BYTES", 4096)
    monkeypatch.setattr(copies, "_COUNTED_EVERY", 1)
    for number in range(20):
        file(table, str(number), 3)
    assert texts(table)[-1] == "19"
    assert len(texts(table)) == 7
    assert table.keep_copies(VM, [Copy(3, 99, b"", "dtn://from/", "", bytes(1024))])
    assert not table.keep_copies(VM, [Copy(3, 100, b"", "dtn://from/", "", b"")])


def test_where_a_chain_branched() -> None:
    chain = born(A, "counter", Digest.of(b"image"), b"n" * 16)
    assert branched_at(chain) == 0
    moved = chain.released(A, A.public, Digest.of(b"1"))
    assert branched_at(moved) == 0
    forced = moved.recovered(K, Digest.of(b"2"))
    assert branched_at(forced) == forced.epoch
    assert branched_at(forced.released(K, A.public, Digest.of(b"3"))) == forced.epoch
    assert NodeId.of_key(K.public) in forced.holders


async def test_mail_that_only_a_lost_host_has_comes_when_it_is_back(
    world: World, counter: Path, real_time_jumps: MockClock
) -> None:
    """Its keeper was out of reach when it took it, and goes on without it at first."""
    one, two = await world.start(0), await world.start(1)
    world.connect(0, 1)
    vm = await run_kept(one, counter, one, Policy(RESTARTABLE, KEPT_AFTER_S, (two.id,)))
    await kept_at(one, vm, two)
    world.cut(0, 1)
    await post(one, vm, "while its keeper is away")
    await until(lambda: "mail 1 while its keeper is away" in one.reports)
    await lose(world, 0)
    real_time_jumps.jump(KEPT_AFTER_S)
    await until(lambda: two.has())
    assert two.hosting._table.copied_vms() == []
    one = await world.start(0)
    world.connect(0, 1)
    await until(lambda: taken(one, 1) == {"while its keeper is away"})
    await until(lambda: one.hosting._table.copied_vms() == [])
    assert two.has()
