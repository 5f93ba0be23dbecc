"""The store: durable additions, quotas, what counts as seen, damage, sequence numbers."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle as Rules
from hypothesis.stateful import RuleBasedStateMachine, consumes, invariant, rule

from radics_mesh.clock import EARLIEST_PLAUSIBLE
from radics_mesh.dtn.storage.backlog import LIVE_MAX
from radics_mesh.dtn.storage.database import FILE_FROM_BYTES
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import REMEMBERED, BundleStore
from radics_mesh.dtn.wire.bundle import ORDINARY, BundleId
from radics_mesh.errors import CapacityError, UsageError
from radics_mesh.ids import NONE_EID, Eid, NodeId
from tests.dtn.world import QUOTA_BYTES, HandClock

SOURCE, DESTINATION = Eid("dtn://a/x"), Eid("dtn://b/y")
LARGE = FILE_FROM_BYTES + 1


def opened(
    directory: Path,
    clock: HandClock | None = None,
    quota_bytes: int = QUOTA_BYTES,
    live_max: int = LIVE_MAX,
    remembered: int = REMEMBERED,
) -> BundleStore:
    return BundleStore.open(
        directory,
        quota_bytes=quota_bytes,
        clock=clock or HandClock(),
        live_max=live_max,
        remembered=remembered,
    )


def held(sequence: int, clock: HandClock | None = None, lifetime_s: int = 3600) -> Held:
    return Held(
        bundle_id=BundleId(SOURCE, 1, sequence),
        destination=DESTINATION,
        priority=1,
        lifetime_s=lifetime_s,
        age_us=0,
        received=(clock or HandClock()).monotonic(),
        previous=NodeId(bytes(20)),
        signer=None,
    )


def ignore(stored: Held) -> None:
    """For those who need not hear that a bundle is safe."""


async def test_added_bundles_are_there_after_a_restart(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        assert await store.add(held(1), b"one", ignore)
        assert await store.add(held(2), bytes(LARGE), ignore)
    with closing(opened(tmp_path)) as store:
        one, two = store
        assert (one.bundle_id.sequence, two.bundle_id.sequence) == (1, 2)
        assert (one.destination, one.previous, one.signer) == (DESTINATION, NodeId(bytes(20)), None)
        assert await store.read(one) == b"one"
        assert await store.read(two) == bytes(LARGE)
        assert store.bytes_held == 3 + LARGE
        assert await store.add(held(3), b"three", ignore)
        assert [h.key for h in store] == sorted({h.key for h in store})


ASKED: dict[str, Any] = {
    "flags": 0x4098,
    "report_to": SOURCE,
    "custodian": DESTINATION,
    "total": 77,
}


async def test_what_a_bundle_asks_for_is_in_the_index(tmp_path: Path) -> None:
    asking = replace(held(1), **ASKED)
    with closing(opened(tmp_path)) as store:
        assert await store.add(asking, b"one", ignore)
    with closing(opened(tmp_path)) as store:
        (found,) = store
        assert {name: getattr(found, name) for name in ASKED} == ASKED


@pytest.mark.parametrize("torn", [False, True])
async def test_a_database_of_an_earlier_version(tmp_path: Path, torn: bool) -> None:
    with closing(opened(tmp_path)) as store:
        assert await store.add(held(1), b"one", ignore)
    path = tmp_path / "bundles.db"
    with closing(sqlite3.connect(path)) as connection:
        for name in ASKED:
            connection.execute(f"ALTER TABLE bundle DROP COLUMN {name}")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'delivered'")
    if torn:
        with path.open("r+b") as file:
            file.seek((root[0] - 1) * 8192)
            file.write(b"torn" * 32)
    with closing(opened(tmp_path)) as store:
        (found,) = store
        assert await store.read(found) == b"one"
        assert (found.flags, found.custodian) == (ORDINARY, NONE_EID)
        assert await store.add(held(2), b"two", ignore)


async def test_the_same_bundle_twice_at_the_same_time(tmp_path: Path) -> None:
    outcomes = []

    async def add() -> None:
        outcomes.append(await store.add(held(1), b"one", ignore))

    with closing(opened(tmp_path)) as store:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(add)
        assert sorted(outcomes) == [False, False, True]
        assert not await store.add(held(1), b"one", ignore)
        assert len(store) == 1


async def test_seen_is_held_or_delivered_not_passed_through(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        for sequence in (1, 2):
            await store.add(held(sequence), b"x", ignore)
        delivered, passed = store
        store.finish(delivered)
        store.drop(passed)
        assert store.seen(delivered.bundle_id)
        assert not store.seen(passed.bundle_id)
        assert await store.add(held(2), b"x", ignore)  # it came back before its removal was written
        assert store.bytes_held == 1
    with closing(opened(tmp_path)) as store:
        assert store.seen(delivered.bundle_id)
        assert not await store.add(held(1), b"x", ignore)
        assert [h.bundle_id.sequence for h in store] == [2]


async def test_what_was_for_a_vm_is_its_mailbox_to_know(tmp_path: Path) -> None:
    """It may have come back here as it was before it took this."""
    with closing(opened(tmp_path)) as store:
        one = replace(held(1), destination=Eid(f"dtn://vm.{'a' * 32}/"))
        assert one.destination.vm_id is not None
        assert await store.add(one, b"x", ignore)
        assert not await store.add(replace(one), b"x", ignore)
        store.finish(one)
        assert not store.seen(one.bundle_id)
        assert await store.add(replace(one), b"x", ignore)


async def test_deliveries_are_forgotten_long_after_the_lifetime(tmp_path: Path) -> None:
    clock = HandClock()
    with closing(opened(tmp_path, clock, remembered=2)) as store:
        delivered = []
        for number in (1, 2, 3):
            await store.add(held(number, clock), b"x", ignore)
            (one,) = store
            store.finish(one)
            delivered.append(one.bundle_id)
            clock.now += 1
        # The last two of them for ever.
        for later_s, seen in ((86_400 + 3000, [True] * 3), (1e9, [False, True, True])):
            clock.now += later_s
            store.tick()
            await store.flushed()
            assert [store.seen(bundle_id) for bundle_id in delivered] == seen


async def test_leaving_twice_is_a_callers_mistake(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        await store.add(held(1), b"x", ignore)
        (one,) = store
        store.drop(one)
        with pytest.raises(UsageError):
            store.drop(one)


async def test_a_full_store_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    with closing(opened(tmp_path, quota_bytes=100)) as store:
        await store.add(held(1), bytes(60), ignore)
        with pytest.raises(CapacityError, match="quota"):
            await store.add(held(2), bytes(41), ignore)
        assert not store.seen(held(2).bundle_id)
        (one,) = store
        store.drop(one)
        assert await store.add(held(2), bytes(41), ignore)


async def test_a_file_that_is_taken_is_not_counted_as_coming_too(tmp_path: Path) -> None:
    room: list[int] = []
    with closing(opened(tmp_path)) as store:
        spool = store.spool()
        await spool.write(bytes(FILE_FROM_BYTES))
        assert store.short_bytes(0) == FILE_FROM_BYTES - QUOTA_BYTES
        whole = await spool.finish(b"end")
        await store.add(held(1), whole, lambda held: room.append(store.short_bytes(0)))
        assert room == [len(whole) - QUOTA_BYTES]
        spool.discard()
        assert store.short_bytes(0) == len(whole) - QUOTA_BYTES


async def test_many_share_a_commit(tmp_path: Path) -> None:
    """Far fewer transactions than bundles: else every bundle would pay for an fsync."""
    with closing(opened(tmp_path)) as store:
        async with trio.open_nursery() as nursery:
            for sequence in range(400):
                nursery.start_soon(store.add, held(sequence), bytes(100), ignore)
        assert len(store) == 400
        assert store.transactions <= 100


async def test_a_cancelled_caller_leaves_no_half_bundle(tmp_path: Path) -> None:
    taken_up: list[Held] = []
    with closing(opened(tmp_path)) as store:
        with trio.CancelScope() as scope:
            scope.cancel()
            await store.add(held(1), b"x", taken_up.append)
        await store.flushed()
        assert taken_up == list(store)
        assert len(store) == 1


async def test_a_failing_disk_refuses_and_recovers(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        await store.add(held(1), b"x", ignore)
        (one,) = store
        with closing(sqlite3.connect(tmp_path / "bundles.db")) as other:
            other.execute("ALTER TABLE bundle RENAME TO gone")
            store.drop(one)
            with pytest.raises(CapacityError, match="cannot write"):
                await store.add(held(2), b"x", ignore)
            assert store.bytes_held == 0
            other.execute("ALTER TABLE gone RENAME TO bundle")
        assert await store.add(held(2), b"x", ignore)
    with closing(opened(tmp_path)) as store:  # the failed removal went out with a later commit
        assert [h.bundle_id.sequence for h in store] == [2]


# --- ages ---


async def test_age_goes_on_across_restarts(tmp_path: Path) -> None:
    clock = HandClock()
    with closing(opened(tmp_path, clock)) as store:
        await store.add(held(1, clock), b"x", ignore)
        clock.now += 100
    after = HandClock(now=5.0, wall_offset=clock.wall() + 20 - 5.0)  # rebooted, 20 s later
    with closing(opened(tmp_path, after)) as store:
        (one,) = store
        assert one.age_at(after.monotonic()) == 120_000_000
        assert one.deadline - after.now == 3600 - 120


@pytest.mark.parametrize("wall", [0.0, EARLIEST_PLAUSIBLE + 10.0])
async def test_a_clock_that_went_back_never_counts(tmp_path: Path, wall: float) -> None:
    clock = HandClock()
    with closing(opened(tmp_path, clock)) as store:
        await store.add(held(1, clock), b"x", ignore)
        clock.now += 100
    after = HandClock(now=5.0, wall_offset=wall - 5.0)
    with closing(opened(tmp_path, after)) as store:
        (one,) = store
        assert one.age_at(after.monotonic()) == 100_000_000  # uptime only


async def test_a_clock_step_while_running_changes_no_age(tmp_path: Path) -> None:
    clock = HandClock()
    with closing(opened(tmp_path, clock)) as store:
        await store.add(held(1, clock), b"x", ignore)
        clock.wall_offset += 1e9
        (one,) = store
        assert one.age_at(clock.monotonic()) == 0


# --- sequence numbers ---


async def test_sequence_numbers_never_repeat(tmp_path: Path) -> None:
    given: list[int] = []
    for _ in range(3):
        with closing(opened(tmp_path)) as store:
            given += [await store.sequence() for _ in range(1500)]
    assert len(set(given)) == len(given)
    assert given == sorted(given)


async def test_without_clock_and_record_numbers_start_anywhere(tmp_path: Path) -> None:
    no_clock = HandClock(wall_offset=0.0)
    firsts = set()
    for name in "ab":
        with closing(opened(tmp_path / name, no_clock)) as store:
            firsts.add(await store.sequence())
    assert len(firsts) == 2


# --- damage ---


async def test_a_store_set_back_to_an_older_copy_leaves_out_what_it_gave_since(
    tmp_path: Path,
) -> None:
    with closing(opened(tmp_path)) as store:
        before = await store.sequence()
    shutil.copytree(tmp_path, tmp_path / "copy")
    with closing(opened(tmp_path)) as store:
        since = [await store.sequence() for _ in range(1500)]
    with closing(opened(tmp_path / "copy")) as store:
        store.leap()
        first = await store.sequence()
        assert first > max(before, *since)
    with closing(opened(tmp_path / "copy")) as store:
        assert await store.sequence() > first


async def test_a_rotten_row_costs_that_bundle_only(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        for sequence in (1, 2):
            await store.add(held(sequence), b"some bytes", ignore)
    with closing(sqlite3.connect(tmp_path / "bundles.db")) as database:
        database.execute("UPDATE bundle SET raw = x'00' WHERE key = 1")
        database.commit()
    with closing(opened(tmp_path)) as store:
        one, two = store
        assert await store.read(one) is None
        assert one not in store
        assert await store.read(two) == b"some bytes"
        assert store.counters["isolated"] == 1
    with closing(opened(tmp_path)) as store:
        assert [h.key for h in store] == [2]


async def test_a_row_that_makes_no_sense(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        for sequence in (1, 2):
            await store.add(held(sequence), b"some bytes", ignore)
    with closing(sqlite3.connect(tmp_path / "bundles.db")) as database:
        database.execute("UPDATE bundle SET id = 'nonsense' WHERE key = 1")
        database.commit()
    with closing(opened(tmp_path)) as store:
        assert [h.key for h in store] == [2]
        assert store.counters["isolated"] == 1


@pytest.mark.parametrize("damage", ["shorter", "gone", "changed"])
async def test_a_torn_file_is_isolated(tmp_path: Path, damage: str) -> None:
    with closing(opened(tmp_path)) as store:
        for sequence in (1, 2):
            await store.add(held(sequence), bytes(LARGE), ignore)
    path = tmp_path / "large" / "1.bundle"
    if damage == "shorter":
        path.write_bytes(bytes(LARGE - 1))
    elif damage == "changed":
        path.write_bytes(b"\1" * LARGE)
    else:
        path.unlink()
    with closing(opened(tmp_path)) as store:
        for bundle in store:
            await store.read(bundle)
        assert [h.key for h in store] == [2]
        assert store.counters["isolated"] == 1
    isolated = list((tmp_path / "isolated").iterdir())
    assert len(isolated) == (0 if damage == "gone" else 1)


async def test_files_without_rows_are_leftovers(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        await store.add(held(1), bytes(LARGE), ignore)
        (tmp_path / "large" / "9.bundle").write_bytes(b"torn")
        (tmp_path / "large" / "nonsense").write_bytes(b"torn")
    with closing(opened(tmp_path)):
        assert [path.name for path in (tmp_path / "large").iterdir()] == ["1.bundle"]


@pytest.mark.parametrize("where", ["header", "middle", "log"])
async def test_a_damaged_database_gives_what_can_be_read(tmp_path: Path, where: str) -> None:
    with closing(opened(tmp_path)) as store:
        for sequence in range(200):
            await store.add(held(sequence), bytes((sequence,)) * 1000, ignore)
    path = tmp_path / "bundles.db"
    content = bytearray(path.read_bytes())
    if where == "header":
        content[:100] = bytes(100)
    elif where == "middle":
        middle = len(content) // 2 // 8192 * 8192
        content[middle : middle + 8192] = b"\xff" * 8192
    else:
        path.with_name("bundles.db-wal").write_bytes(b"\xff" * 10_000)
    path.write_bytes(content)
    with closing(opened(tmp_path)) as store:
        intact = [h for h in store if await store.read(h) == bytes((h.bundle_id.sequence,)) * 1000]
        expected = {"header": 0, "middle": 150, "log": 200}[where]
        assert len(intact) == len(store) >= expected
        assert await store.add(held(1000), b"goes on", ignore)
        assert await store.sequence() > 0
    with closing(opened(tmp_path)) as store:
        assert len(store) == len(intact) + 1


# --- a model ---


@dataclass
class Model:
    held: dict[int, bytes] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)


class StoreMachine(RuleBasedStateMachine):
    """The store beside a dictionary, with restarts in between, and most of it in the backlog."""

    sequences = Rules("sequences")

    def __init__(self) -> None:
        super().__init__()
        self.directory = TemporaryDirectory()
        self.model = Model()
        self.store = opened(Path(self.directory.name), quota_bytes=5000, live_max=2)

    @rule(target=sequences, sequence=st.integers(0, 6), size=st.integers(0, 2000))
    def add(self, sequence: int, size: int) -> int:
        fits = sum(map(len, self.model.held.values())) + size <= 5000
        known = sequence in self.model.held or sequence in self.model.delivered
        try:
            new = trio.run(self.store.add, held(sequence), bytes(size), ignore)
        except CapacityError:
            assert not fits
            return sequence
        assert new is not known
        if new:
            self.model.held[sequence] = bytes(size)
        return sequence

    def _find(self, sequence: int) -> Held | None:
        return next((h for h in self.store if h.bundle_id.sequence == sequence), None)

    @rule(sequence=consumes(sequences))
    def deliver(self, sequence: int) -> None:
        if found := self._find(sequence):
            self.store.finish(found)
            self.model.delivered.add(sequence)
            del self.model.held[sequence]

    @rule(sequence=consumes(sequences))
    def hand_on(self, sequence: int) -> None:
        if found := self._find(sequence):
            self.store.drop(found)
            del self.model.held[sequence]

    @rule()
    def restart(self) -> None:
        self.store.close()
        self.store = opened(Path(self.directory.name), quota_bytes=5000, live_max=2)

    @invariant()
    def same_as_the_model(self) -> None:
        assert {h.bundle_id.sequence for h in self.store} == set(self.model.held)
        assert self.store.bytes_held == sum(map(len, self.model.held.values()))
        for found in self.store:
            raw = trio.run(self.store.read, found)
            assert raw == self.model.held[found.bundle_id.sequence]
        assert len(self.store.live()) <= len(self.store) == len(self.model.held)
        for sequence in self.model.held:
            known = self.store.find(BundleId(SOURCE, 1, sequence))
            assert known is not None
            assert known in self.store
        for sequence in self.model.delivered:
            assert self.store.seen(BundleId(SOURCE, 1, sequence))

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()


TestStoreModel = StoreMachine.TestCase
TestStoreModel.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
