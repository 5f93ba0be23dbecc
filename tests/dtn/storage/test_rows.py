"""Flipped bits in a store's index: each is noticed, told, and costs at most its own bundle."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from radics_mesh.clock import EARLIEST_PLAUSIBLE
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.rows import Row
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.ids import Eid, NodeId
from tests.dtn.storage.test_store import LARGE, SOURCE, held, ignore
from tests.dtn.world import HandClock

ROW = Row(
    key=7,
    id=f"{SOURCE} 1.2",
    destination="dtn://b/y",
    priority=1,
    lifetime_s=3600,
    age_us=5,
    received_wall=float(EARLIEST_PLAUSIBLE),
    received_uptime=12.5,
    previous=bytes(range(20)),
    signer=bytes(20),
    size=300,
    flags=0x98,
    report_to="dtn://a/reports",
    custodian="dtn://a/",
    total=280,
).checked()


def flips(value: object) -> Iterator[Any]:
    """Every value of another bit; of another of SQLite's types."""
    yield from (None, 0.5, b"?", 99)
    if isinstance(value, int):
        yield from (value ^ 1 << bit for bit in range(63))
    elif isinstance(value, float):
        yield from (value * 2, -value, value + 1e-6)
    elif isinstance(value, str | bytes):
        raw = value.encode() if isinstance(value, str) else value
        for place in range(len(raw) * 8):
            flipped = bytearray(raw)
            flipped[place // 8] ^= 1 << place % 8
            yield flipped.decode("latin-1") if isinstance(value, str) else bytes(flipped)


def test_every_flip_of_every_column_shows() -> None:
    assert ROW.is_intact
    assert ROW._replace(previous=NodeId(bytes(range(20))), destination=Eid("dtn://b/y")).is_intact
    for name in Row._fields[:-1]:
        for value in flips(getattr(ROW, name)):
            assert not ROW._replace(**{name: value}).is_intact, (name, value)
    assert not ROW._replace(row_crc=(ROW.row_crc or 0) ^ 4).is_intact
    assert ROW._replace(row_crc=None).is_intact


def opened(directory: Path) -> BundleStore:
    return BundleStore.open(directory, quota_bytes=1 << 30, clock=HandClock())


def said(store: BundleStore) -> dict[int, tuple[object, ...]]:
    """What the index says of each bundle, by its sequence number."""
    return {one.bundle_id.sequence: _said(one) for one in store}


def _said(one: Held) -> tuple[object, ...]:
    plain = replace(one, age_us=0, received=HandClock().monotonic())
    return tuple(getattr(plain, name) for name in Held.__dataclass_fields__)


async def _fill(directory: Path) -> None:
    with closing(opened(directory)) as store:
        for number in range(3):
            one = replace(held(number), signer=NodeId(b"s" * 20), custodian=Eid("dtn://c/"))
            await store.add(one, b"bundle %d" % number, ignore)


def test_flips_on_disk(tmp_path: Path) -> None:
    """One bit in every third byte of a row: its head, all its columns, its bytes."""
    sound = tmp_path / "sound"
    trio.run(_fill, sound)
    raw = (sound / "bundles.db").read_bytes()
    with closing(opened(sound)) as store:
        true = said(store)
    end = raw.index(b"bundle 1") + 8
    start = raw.index(b"bundle 2") + 8  # rows come from the end of their page
    assert 0 < end - start < 300
    for place in range(start, end, 3):
        directory = tmp_path / str(place)
        shutil.copytree(sound, directory)
        flipped = bytearray(raw)
        flipped[place] ^= 1 << place % 8
        (directory / "bundles.db").write_bytes(flipped)
        trio.run(_check, directory, true)
        shutil.rmtree(directory)


async def _check(directory: Path, true: dict[int, tuple[object, ...]]) -> None:
    with capture_logs() as logged, closing(opened(directory)) as store:
        there = {one.bundle_id.sequence: await store.read(one) for one in store}
        for number, what in said(store).items():
            assert what == true[number]
            assert there[number] == b"bundle %d" % number
        gone = true.keys() - said(store).keys()
        assert gone <= {1} or any("database" in entry["event"] for entry in logged)
        assert logged or not gone
        assert await store.add(held(9), b"goes on", ignore)


@pytest.mark.parametrize("size", [100, LARGE])
async def test_a_flipped_destination_is_isolated(tmp_path: Path, size: int) -> None:
    with closing(opened(tmp_path)) as store:
        for number in range(3):
            await store.add(held(number), bytes(size), ignore)
    with closing(sqlite3.connect(tmp_path / "bundles.db", isolation_level=None)) as database:
        database.execute("UPDATE bundle SET destination = 'dtn://b/x' WHERE id LIKE '% 1.1'")
    with capture_logs() as logged, closing(opened(tmp_path)) as store:
        assert said(store).keys() == {0, 2}
        assert store.counters["isolated"] == 1
        assert [entry["bundle"] for entry in logged] == [f"{SOURCE} 1.1"]
        assert len(list((tmp_path / "isolated").iterdir())) == (size == LARGE)
    with closing(opened(tmp_path)) as store:
        assert not store.counters["isolated"]
