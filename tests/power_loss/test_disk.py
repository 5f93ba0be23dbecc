"""The model of a medium: what is on it after which calls."""

from __future__ import annotations

import random

from tests.power_loss.disk import Disk, Record


def after(*records: Record, torn: int | None = None) -> dict[str, bytes]:
    disk = Disk()
    disk.hold("/d/old", b"old")
    for record in records:
        disk.apply(record)
    chance = None if torn is None else random.Random(torn)
    return {name: content for name, (content, _) in disk.after_power_loss(chance).items()}


def made(name: str, content: bytes) -> tuple[Record, Record]:
    return Record("c", name, 0, b""), Record("w", name, 0, content)


SYNC_NEW, SYNC_DIRECTORY = Record("s", "/d/new", 0, b""), Record("s", "/d", 0, b"")
RENAME = Record("r", "/d/new", 0, b"/d/old")


def test_what_was_not_synced_is_lost() -> None:
    assert after(*made("/d/new", b"1")) == {"/d/old": b"old"}


def test_a_synced_file_has_its_name() -> None:
    assert after(*made("/d/new", b"1"), SYNC_NEW)["/d/new"] == b"1"


def test_a_rename_counts_once_the_directory_is_synced() -> None:
    aside = (*made("/d/new", b"1"), SYNC_NEW, RENAME)
    assert after(*aside) == {"/d/old": b"old", "/d/new": b"1"}
    assert after(*aside, SYNC_DIRECTORY) == {"/d/old": b"1"}


def test_a_rename_without_a_sync_of_the_file_loses_both() -> None:
    assert after(*made("/d/new", b"1"), RENAME, SYNC_DIRECTORY) == {"/d/old": b""}


def test_removals_wait_for_their_own_directory() -> None:
    removed = Record("u", "/d/old", 0, b"")
    assert after(removed, Record("s", "/e", 0, b"")) == {"/d/old": b"old"}
    assert after(removed, SYNC_DIRECTORY) == {}


def test_a_name_that_is_used_again_is_the_new_file() -> None:
    again = (Record("u", "/d/old", 0, b""), *made("/d/old", b"new"))
    assert after(*again) == {"/d/old": b"old"}
    assert after(*again, Record("s", "/d/old", 0, b"")) == {"/d/old": b"new"}


def test_torn_is_anything_between() -> None:
    long = Record("w", "/d/old", 0, b"x" * 1500)
    left = {after(long, torn=seed)["/d/old"] for seed in range(50)}
    assert {b"old", b"x" * 1500, b"x" * 512, b"x" * 1024} == left
