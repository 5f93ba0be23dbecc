"""The bundles that this node holds, safe on disk before anybody is told so.

Many callers add at once and share one commit: a writer thread takes all that has come since its
last commit, makes one transaction of it, and wakes everyone in it. Of what is held, the first of
each queue are in memory (`index`), and all are in the database; bytes are read when needed.

Rules:
- `add` returns only when the bundle would survive power loss; one identity is one bundle, of a
  fragment one by each that signed it.
- What left (`finish`, `drop`) is gone from the index at once and from disk with the next commit. A
  crash in between brings it back, so it may be sent or delivered again, never lost.
- An identity counts as seen while it is held here or was delivered here, not because it passed
  through: a bundle may have to come back.
- A full store refuses, or makes a local sender wait (`room`). It drops nothing that it has
  accepted by itself: whoever may decide that looks for it in `least`.
- Sequence numbers and keys are reserved in blocks, durably, before the first of them is used.
"""

from __future__ import annotations

import secrets
import sqlite3
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import structlog
import trio

from radics_mesh.clock import Clock, is_plausible
from radics_mesh.dtn.storage.ages import LIFETIME_MAX_S, Ages, eid
from radics_mesh.dtn.storage.backlog import LIVE_MAX
from radics_mesh.dtn.storage.commits import Commits, Write
from radics_mesh.dtn.storage.database import (
    FILE_FROM_BYTES,
    Batch,
    Files,
    Reader,
    Writer,
    read_delivered,
    read_file,
    read_index,
    read_meta,
    read_raw,
    was_delivered,
)
from radics_mesh.dtn.storage.filter import Filter
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.index import Index, hashed
from radics_mesh.dtn.storage.quotas import Quotas
from radics_mesh.dtn.storage.rows import Row
from radics_mesh.dtn.storage.salvage import Opened, open_database, salvage
from radics_mesh.dtn.storage.spool import Spool, Spooled
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.dtn.wire.content import Content, FileBytes
from radics_mesh.dtn.wire.scratch import scratch
from radics_mesh.errors import CapacityError, UsageError
from radics_mesh.ids import NONE_EID, Eid, NodeId

log = structlog.get_logger(__name__)

# In memory 24 bytes for each and 1 kB for the first of each queue: see `backlog`.
BUNDLES_MAX = 1_000_000
_RESERVE = 1000
# More than a node sends between a copy of its disk and the day when that is put back.
_LEAP = 1 << 32
# How much longer than a bundle's lifetime its delivery is remembered: its age is not signed, so a
# replay may pretend to be young.
_REMEMBER_S = 86_400
# And of all deliveries the last ones, however long ago: a day is short for a node that gets ten
# bundles a week, and clocks that may be wrong by years cannot tell an old bundle. 4 MB of disk.
REMEMBERED = 100_000
_SEQUENCE, _UPTIME, _KEYS = "sequence", "uptime", "keys"


class BundleStore:
    """Made by `open`; `close` it. All methods belong to one Trio thread."""

    def __init__(
        self,
        files: Files,
        connection: sqlite3.Connection,
        clock: Clock,
        quotas: Quotas,
        live_max: int,
        remembered: int,
    ) -> None:
        self._files = files
        self._clock = clock
        self.quotas = quotas
        # Set, and replaced, when something leaves.
        self._roomier = trio.Event()
        self._reader = Reader(files)
        self._ages = Ages(clock, read_meta(connection, _UPTIME) or 0.0)
        self._index = Index(self._reader, self._ages, self._lost, live_max)
        self._adding: dict[tuple[BundleId, NodeId | None], Write] = {}
        self._spools: weakref.WeakSet[Spool] = weakref.WeakSet()
        self._just_delivered: set[bytes] = set()
        self._maybe_delivered = Filter(read_delivered(connection))
        # Keys below this one are reserved in the file.
        self._next_key = self._keys_end = int(read_meta(connection, _KEYS) or 1)
        self._sequence = self._sequence_end = int(read_meta(connection, _SEQUENCE) or 0)
        self.counters: Counter[str] = Counter()
        self._commits = Commits(Writer(connection, files, remembered, self._repaired))

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        quota_bytes: int,
        clock: Clock,
        source_quota_bytes: int | None = None,
        live_max: int = LIVE_MAX,
        remembered: int = REMEMBERED,
    ) -> BundleStore:
        """Blocks for as long as reading the index takes. One store a directory.

        `live_max`: how many of each queue are in memory. `remembered`: of deliveries at least so
        many, however long ago.
        """
        files = Files(directory)
        quotas = Quotas(quota_bytes, source_quota_bytes)
        opened = open_database(files)
        if opened.salvaged:
            _tell(files, opened)
        store = cls(files, opened.connection, clock, quotas, live_max, remembered)
        store._load(read_index(opened.connection), salvaged=opened.salvaged)
        return store

    def _repaired(self) -> sqlite3.Connection:
        """In the writer's thread, which has found its database damaged. What could not be taken
        over shows when it is read."""
        opened = salvage(self._files)
        _tell(self._files, opened)
        self._reader.renew()
        return opened.connection

    def _load(self, index: Iterable[Row], *, salvaged: bool) -> None:
        if self._sequence == 0 and (salvaged or not is_plausible(self._clock.wall())):
            # Without a record and without a clock, numbers used before are avoided by chance.
            self._sequence = self._sequence_end = secrets.randbits(47)
        large = set()
        for row in index:
            if row.is_intact:
                self._next_key = max(self._next_key, row.key + 1)
            is_large = row.is_intact and row.size > FILE_FROM_BYTES
            if (is_large and not self._file_is_whole(row)) or not self._index.enter_row(row):
                self._isolate(row.key, str(row.id))
                continue
            self.quotas.take(eid(row.id.partition(" ")[0]), row.size)
            if is_large:
                large.add(row.key)
        self._files.remove_leftovers(large)

    def _file_is_whole(self, row: Row) -> bool:
        path = self._files.of(row.key)
        return path.exists() and path.stat().st_size == row.size

    def close(self) -> None:
        """Finish every write that was begun, and release the files."""
        batch = Batch(meta={_UPTIME: self.uptime})
        self._commits.put(Write(batch))
        self._commits.close()
        self._reader.close()

    # --- what is held ---

    @property
    def uptime(self) -> float:
        """Seconds that a store in this directory has been open, all together."""
        return self._ages.uptime

    @property
    def quota_bytes(self) -> int:
        return self.quotas.total_bytes

    @property
    def bytes_held(self) -> int:
        return self.quotas.held_bytes

    @property
    def transactions(self) -> int:
        """Commits so far: far fewer than bundles when many come at once."""
        return self._commits.transactions

    def __len__(self) -> int:
        return len(self._index)

    def __iter__(self) -> Iterator[Held]:
        """In order of arrival. Reads the database when there is a backlog."""
        return iter(self._index)

    def __contains__(self, held: Held) -> bool:
        return held in self._index

    def keys(self) -> list[int]:
        """In order of arrival."""
        return self._index.keys()

    def holds(self, bundle_id: BundleId) -> bool:
        """Whether it is held here now."""
        return self._index.find(bundle_id) is not None

    def find(self, bundle_id: BundleId) -> Held | None:
        return self._index.find(bundle_id)

    # --- the backlog (see `index`) ---

    def live(self) -> list[Held]:
        """What is not in the backlog."""
        return self._index.live()

    def is_live(self, held: Held) -> bool:
        return self._index.is_live(held)

    def behind(self) -> Iterator[Held]:
        """What is in the backlog, read from the database."""
        return self._index.behind()

    def on_live(self, told: Callable[[Held], None]) -> None:
        """`told` is told of what leaves the backlog because its turn has come."""
        self._index.on_live = told

    def more(self, leads: Callable[[Held], bool]) -> bool:
        """Let more come alive of what `leads` somewhere now; whether there was any."""
        return self._index.more(leads)

    def end_lives(self) -> bool:
        """Let some of the backlog come alive that has outlived its time; whether there was any."""
        return self._index.end_lives(self._clock.monotonic())

    def seen(self, bundle_id: BundleId) -> bool:
        """Whether this bundle is held here or was delivered here."""
        if self.holds(bundle_id):
            return True
        return self.has_delivered(bundle_id)

    def has_delivered(self, bundle_id: BundleId) -> bool:
        """Whether it was delivered here, though it may still be held for others."""
        id_hash = hashed(bundle_id)
        if id_hash not in self._maybe_delivered:
            return False
        return id_hash in self._just_delivered or was_delivered(self._reader.connection, id_hash)

    async def add(
        self,
        held: Held,
        raw: Content,
        stored: Callable[[Held], None],
        coming: Callable[[Held], None] = lambda held: None,
    ) -> bool:
        """Store a bundle; False when it was seen before. CapacityError when it does not fit.

        `stored` is called once it is safe, before this returns, and also when the caller has been
        cancelled meanwhile: the bundle may be stored then, or not. `coming` is called when it is
        about to be written: what that adds with `add_with_next` is in the same transaction.
        """
        first = self._adding.get(held.name)
        if first is not None:  # the same bundle by another way, not yet on disk: wait with it
            await self._outcome(first)
            return False
        if self._is_known(held):
            await trio.lowlevel.checkpoint()
            return False
        self._check_room(held.bundle_id.source, len(raw))
        self._adding[held.name] = write = self._addition(held, raw, stored, {})
        coming(held)
        self._commits.put(write)
        await self._outcome(write)
        return True

    def add_with_next(
        self,
        held: Held,
        raw: Content,
        stored: Callable[[Held], None],
        failed: Callable[[], None],
        numbered: dict[str, float],
    ) -> None:
        """Store a bundle in the same transaction as what is asked next in this step of Trio's
        scheduler. It bears a number of `sequence_now`, which gave `numbered`. CapacityError when
        it does not fit; `failed` is called when it cannot be written."""
        self._check_room(held.bundle_id.source, len(raw))
        write = self._addition(held, raw, stored, numbered)
        added = write.then

        def over() -> None:
            if added is not None:
                added()
            if write.error is not None:
                failed()
            else:
                end = int(numbered.get(_SEQUENCE, 0))
                self._sequence_end = max(self._sequence_end, end)

        write.then = over
        self._adding[held.name] = write
        self._commits.put(write, with_next=True)

    def _addition(
        self,
        held: Held,
        raw: Content,
        stored: Callable[[Held], None],
        meta: dict[str, float],
    ) -> Write:
        """There is room for it."""
        held.key, self._next_key = self._next_key, self._next_key + 1
        held.size_bytes = len(raw)
        meta = meta | self._keys_reserved()
        write = Write(Batch(added=[(self._ages.row(held), raw)], meta=meta), len(raw))
        write.then = lambda: self._added(held, write, stored)
        self.quotas.take(held.bundle_id.source, len(raw))
        if isinstance(raw, Spooled):
            raw.claimed = True
        return write

    def _is_known(self, held: Held) -> bool:
        """Whether it is held here, or was delivered here for good. What comes for a VM its mailbox
        knows, wherever the VM is by now: it may have come back as it was before."""
        if self._index.find_as(held) is not None:
            return True
        return held.destination.vm_id is None and self.has_delivered(held.bundle_id)

    def _added(self, held: Held, write: Write, stored: Callable[[Held], None]) -> None:
        """In Trio's thread, right after the commit, whether or not the caller still waits."""
        del self._adding[held.name]
        if write.error is None:
            self._index.enter(held)
            stored(held)
        else:
            self.quotas.give_back(held.bundle_id.source, held.size_bytes)
            self._keys_end = min(self._keys_end, held.key)

    async def _outcome(self, write: Write) -> None:
        await write.done.wait()
        if write.error is not None:
            raise CapacityError(write.error)

    def _keys_reserved(self) -> dict[str, float]:
        """In the transaction of the first that needs them: none is used twice, ever."""
        if self._next_key <= self._keys_end:
            return {}
        self._keys_end = self._next_key + _RESERVE
        return {_KEYS: float(self._keys_end)}

    def _check_room(self, source: Eid, size_bytes: int) -> None:
        if len(self._index) + len(self._adding) >= BUNDLES_MAX:
            raise CapacityError(f"the bundle store holds its {BUNDLES_MAX} bundles")
        self.quotas.check(source, size_bytes)

    async def room(self, source: Eid, size_bytes: int) -> None:
        """Wait until so much of this source fits. CapacityError: it never will."""
        most = min(self.quotas.total_bytes, self.quotas.source_bytes or self.quotas.total_bytes)
        while size_bytes <= most:
            try:
                self._check_room(source, size_bytes)
                return
            except CapacityError:
                await self._roomier.wait()
        raise CapacityError(f"a bundle of {size_bytes} bytes is more than {most}, the quota")

    def least(self, below_priority: int) -> Iterator[Held]:
        """What is of lower priority: the lowest first, then what ends soonest."""
        return self._index.least(below_priority)

    async def read(self, held: Held) -> bytes | None:
        """The bundle's bytes; None when they are damaged, and then it is no longer held."""
        content = await self.content(held)
        if content is None or isinstance(content, bytes):
            return content
        return await trio.to_thread.run_sync(bytes, content)

    async def content(self, held: Held) -> Content | None:
        """The same, a large bundle as a file."""
        content: Content | None
        if held.size_bytes > FILE_FROM_BYTES:
            connection = self._reader.connection
            content = await trio.to_thread.run_sync(read_file, connection, self._files, held.key)
        else:
            content = read_raw(self._reader.connection, held.key)
            await trio.lowlevel.checkpoint()
        if content is None and held in self:
            self._forget(held)
            self._isolate(held.key, str(held.bundle_id))
        return content

    def spool(self) -> Spool:
        """A file for a large bundle that comes in piece by piece. CapacityError."""
        try:
            spool = Spool(self._files.large)
        except OSError as error:
            raise CapacityError(f"the bundle store cannot write: {error}") from error
        self._spools.add(spool)
        return spool

    def scratch(self, pieces: Iterable[bytes]) -> FileBytes:
        """A file without a name, which goes with what is returned. Blocks, in any thread;
        CapacityError."""
        return scratch(self._files.large, pieces)

    def has_room(self, size_bytes: int) -> bool:
        """Whether so much more could be taken, were all that is on its way here stored."""
        return self.short_bytes(size_bytes) <= 0

    def short_bytes(self, size_bytes: int) -> int:
        """How much would have to go for that; 0 or less: nothing."""
        return self.quotas.short_bytes(self._coming_bytes + size_bytes)

    def could_have_room(self, size_bytes: int) -> bool:
        """The same, were nothing held."""
        return self._coming_bytes + size_bytes <= self.quotas.total_bytes

    @property
    def _coming_bytes(self) -> int:
        return sum(spool.uncounted_bytes for spool in self._spools)

    def finish(self, held: Held) -> None:
        """It was delivered here: remember that, and let it go."""
        if held.destination.vm_id is not None:  # see _is_known
            self.drop(held)
            return
        self._delivered(held, self._removal(held))

    def deliver_copy(self, held: Held) -> None:
        """It was delivered here: remember that, but keep it for others."""
        self._delivered(held, Batch())

    def _delivered(self, held: Held, batch: Batch) -> None:
        id_hash = hashed(held.bundle_id)
        until = self.uptime + min(held.lifetime_s, LIFETIME_MAX_S) + _REMEMBER_S
        self._just_delivered.add(id_hash)
        self._maybe_delivered.add(id_hash)
        batch.delivered.append((id_hash, until))
        self._commits.put(Write(batch, then=lambda: self._just_delivered.discard(id_hash)))

    def drop(self, held: Held) -> None:
        """It was handed on, or its life is over: let it go."""
        self._commits.put(Write(self._removal(held)))

    def _removal(self, held: Held) -> Batch:
        if held not in self:
            raise UsageError(f"not in this store: {held.bundle_id}")
        self._forget(held)
        large = [held.key] if held.size_bytes > FILE_FROM_BYTES else []
        return Batch(removed=[held.key], unlinked=large)

    async def flushed(self) -> None:
        """Wait until all that was asked before is on the medium."""
        write = Write(Batch())
        self._commits.put(write)
        await self._outcome(write)

    def tick(self) -> None:
        """Now and then: keep the uptime, forget deliveries whose time is over."""
        self._commits.put(Write(Batch(meta={_UPTIME: self.uptime}, forget_before=self.uptime)))

    # --- sequence numbers ---

    async def sequence(self) -> int:
        """A number that this store never gave before and never will again, whatever crashes."""
        while self._sequence >= self._sequence_end:
            end = self._sequence + _RESERVE
            write = Write(Batch(meta={_SEQUENCE: float(end)}))
            self._commits.put(write)
            await self._outcome(write)
            self._sequence_end = max(self._sequence_end, end)
        self._sequence += 1
        return self._sequence

    def sequence_now(self) -> tuple[int, dict[str, float]]:
        """The same for a bundle that is added at once with `add_with_next`; and what that is to
        write with it, so that the number is reserved as durably as it is used."""
        self._sequence += 1
        if self._sequence <= self._sequence_end:
            return self._sequence, {}
        return self._sequence, {_SEQUENCE: float(self._sequence + _RESERVE)}

    def leap(self) -> None:
        """This store was set back to an older copy: leave out the numbers that it gave since."""
        self._sequence += _LEAP

    # --- inside ---

    def _forget(self, held: Held) -> None:
        self._index.leave(held)
        self._give_back(held.bundle_id.source, held.size_bytes)

    def _give_back(self, source: Eid, size_bytes: int) -> None:
        self.quotas.give_back(source, size_bytes)
        self._roomier.set()
        self._roomier = trio.Event()

    def _lost(self, key: int, size_bytes: int) -> None:
        """A row of the backlog that can no longer be read, nor whose bundle it was."""
        self._give_back(NONE_EID, size_bytes)
        self._isolate(key, "unknown")

    def _isolate(self, key: int, bundle_id: str) -> None:
        self.counters["isolated"] += 1
        log.error("bundle damaged on disk, isolated", bundle=bundle_id, key=key)
        path = self._files.of(key)
        if path.exists():  # of a large one; a damaged row may not say that it is
            self._files.isolate(path)
        self._commits.put(Write(Batch(removed=[key])))


def _tell(files: Files, opened: Opened) -> None:
    log.error("bundle database was damaged", lost=opened.lost, isolated=str(files.isolated))
