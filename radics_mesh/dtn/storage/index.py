"""What a store holds: its first bundles as Held, the others in the backlog (see there).

A Held that was looked up, or that an iteration gives, is as good as a live one for as long as
somebody has it: there are never two of one bundle. `on_live` is told of each that leaves the
backlog because its turn has come.
"""

from __future__ import annotations

import hashlib
import sqlite3
import weakref
from collections.abc import Callable, Iterator

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.storage.ages import Ages, eid
from radics_mesh.dtn.storage.backlog import Backlog, Lane
from radics_mesh.dtn.storage.database import Reader, find_key, read_rows
from radics_mesh.dtn.storage.filter import Filter
from radics_mesh.dtn.storage.held import Held, identity_in
from radics_mesh.dtn.storage.rows import Row
from radics_mesh.dtn.wire.bundle import CUSTODY, SINGLETON, BundleId

# How many are fetched at once when all are gone through.
_CHUNK = 256
# Of those whose life is over on disk, how many come alive at once, only to end.
_ENDING_MAX = 1024


class Index:
    """`damaged` is told the key and the size of a bundle whose row cannot be read."""

    def __init__(
        self,
        reader: Reader,
        ages: Ages,
        damaged: Callable[[int, int], None],
        live_max: int,
    ) -> None:
        self._reader = reader
        self._ages = ages
        self._damaged = damaged
        self._live: dict[int, Held] = {}
        self._by_id: dict[BundleId, Held] = {}
        # Fragments of the same bytes by other signers: all of them, the one above included.
        self._versions: dict[BundleId, list[Held]] = {}
        self._backlog = Backlog(live_max)
        self._maybe_behind = Filter()
        self._fetched: weakref.WeakValueDictionary[int, Held] = weakref.WeakValueDictionary()
        self.on_live: Callable[[Held], None] = lambda held: None

    def __len__(self) -> int:
        return len(self._live) + len(self._backlog)

    def __contains__(self, held: Held) -> bool:
        return self._live.get(held.key) is held or self._fetched.get(held.key) is held

    def keys(self) -> list[int]:
        """In order of arrival."""
        return sorted([*self._live, *self._backlog]) if self._backlog else list(self._live)

    def __iter__(self) -> Iterator[Held]:
        """In order of arrival; what goes meanwhile is left out."""
        keys = self.keys()
        for start in range(0, len(keys), _CHUNK):
            some = keys[start : start + _CHUNK]
            there = {key: self._live[key] for key in some if key in self._live}
            behind = {h.key: h for h in self._fetch([key for key in some if key not in there])}
            for key in some:
                held = there.get(key) or behind.get(key)
                if held is not None and held in self:
                    yield held

    def live(self) -> list[Held]:
        return list(self._live.values())

    def is_live(self, held: Held) -> bool:
        return self._live.get(held.key) is held

    def behind(self) -> Iterator[Held]:
        """What is in the backlog, queue by queue."""
        for lane in self._backlog.lanes():
            keys = self._backlog.keys(lane)
            for start in range(0, len(keys), _CHUNK):
                for held in self._fetch(list(keys[start : start + _CHUNK])):
                    if held in self:
                        yield held

    def find(self, bundle_id: BundleId) -> Held | None:
        held = self._by_id.get(bundle_id)
        if held is not None or not self._backlog or hashed(bundle_id) not in self._maybe_behind:
            return held
        try:  # a fragment is never there
            key = find_key(self._reader.connection, str(bundle_id))
        except sqlite3.DatabaseError:
            return None
        if key is None:
            return None
        return next((h for h in self._fetch([key]) if h in self), None)

    def find_as(self, held: Held) -> Held | None:
        """What is in here under its name."""
        found = self.find(held.bundle_id)
        if found is None or found.name == held.name:
            return found
        versions = self._versions.get(held.bundle_id, ())
        return next((version for version in versions if version.name == held.name), None)

    def least(self, below_priority: int) -> Iterator[Held]:
        """All of lower priority: the lowest first, then what ends soonest."""
        ranked = [
            (held.priority, held.deadline, key)
            for key, held in self._live.items()
            if held.priority < below_priority
        ]
        ranked += self._backlog.least(below_priority)
        for _, _, key in sorted(ranked):
            live = self._live.get(key)
            yield from [live] if live else self._fetch([key])

    # --- coming and going ---

    def enter(self, held: Held) -> None:
        lane = _lane(held)
        if _always_lives(held.bundle_id.offset is not None, held.flags):
            self._enliven(held)
        elif self._backlog.is_due(lane):
            self._backlog.came_alive(lane)
            self._enliven(held)
        else:
            self._fetched[held.key] = held
            id_hash = hashed(held.bundle_id)
            self._put_behind(lane, held.key, held.deadline, held.size_bytes, id_hash)

    def enter_row(self, row: Row) -> bool:
        """As `enter`, without a Held where none is needed; False for a row without sense."""
        if not row.is_intact:
            return False
        try:
            lane = Lane(eid(row.destination), row.priority)
            whole = not _always_lives("+" in identity_in(row.id).rpartition(" ")[2], row.flags)
            if whole and not self._backlog.is_due(lane):
                deadline = self._ages.deadline(row)
                self._put_behind(lane, row.key, deadline, row.size, hashed_text(row.id))
                return True
        except (ValueError, TypeError, AttributeError):
            return False
        held = self._ages.held(row)
        if held is not None:
            self.enter(held)
        return held is not None

    def leave(self, held: Held) -> None:
        """Must be in here. Others of its queue may come alive."""
        lane = _lane(held)
        if self._live.pop(held.key, None) is None:
            del self._fetched[held.key]
            self._backlog.remove(lane, held.key)
            return
        self._unname(held)
        whole = not _always_lives(held.bundle_id.offset is not None, held.flags)
        if whole and self._backlog.left(lane):
            self._advance(lane)

    def more(self, leads: Callable[[Held], bool]) -> bool:
        """Let more of each queue come alive whose next bundle `leads` somewhere."""
        found = False
        for lane in self._backlog.lanes():
            first = self._backlog.next(lane)[:1]
            if any(leads(held) for held in self._fetch(first)):
                self._advance(lane)
                found = True
        return found

    def end_lives(self, now: Monotonic) -> bool:
        """Let those come alive that have outlived their time, some at a time; whether there are
        any."""
        ending = self._backlog.expired(now, _ENDING_MAX)
        for held in self._fetch(ending):
            lane = _lane(held)
            if self._backlog.remove(lane, held.key) is not None:
                self._come_alive(lane, held)
        return bool(ending)

    # --- inside ---

    def _put_behind(
        self, lane: Lane, key: int, deadline: Monotonic, size_bytes: int, id_hash: bytes
    ) -> None:
        self._backlog.put(lane, key, deadline, size_bytes)
        self._maybe_behind.add(id_hash)

    def _enliven(self, held: Held) -> None:
        self._fetched.pop(held.key, None)
        self._live[held.key] = held
        first = self._by_id.setdefault(held.bundle_id, held)
        if first is not held:
            self._versions.setdefault(held.bundle_id, [first]).append(held)

    def _unname(self, held: Held) -> None:
        versions = [v for v in self._versions.pop(held.bundle_id, ()) if v is not held]
        if versions:
            self._by_id[held.bundle_id] = versions[0]
        else:
            del self._by_id[held.bundle_id]
        if len(versions) > 1:
            self._versions[held.bundle_id] = versions

    def _advance(self, lane: Lane) -> None:
        """The next ones of a queue, in order; at least one unless there is none."""
        came = False
        while not came and (keys := self._backlog.next(lane)):
            for held in self._fetch(keys):
                if self._backlog.remove(lane, held.key) is not None:
                    came = True
                    self._come_alive(lane, held)

    def _come_alive(self, lane: Lane, held: Held) -> None:
        self._backlog.came_alive(lane)
        self._enliven(held)
        self.on_live(held)

    def _fetch(self, keys: list[int]) -> list[Held]:
        """The Helds of what is in the backlog, in order of arrival. What cannot be read leaves."""
        there = {key: held for key in keys if (held := self._fetched.get(key)) is not None}
        missing = [key for key in keys if key not in there]
        for row in self._rows(missing):
            held = self._ages.held(row)
            if held is not None and self._backlog.holds(_lane(held), held.key):
                there[row.key] = self._fetched[row.key] = held
        for key in missing:
            size_bytes = None if key in there else self._backlog.forget(key)
            if size_bytes is not None:
                self._damaged(key, size_bytes)
        return [there[key] for key in sorted(there)]

    def _rows(self, keys: list[int]) -> list[Row]:
        """In a damaged part of the database one by one: as many as can be read."""
        try:
            return read_rows(self._reader.connection, keys)
        except sqlite3.DatabaseError:
            return [row for key in keys for row in self._row(key)]

    def _row(self, key: int) -> list[Row]:
        try:
            return read_rows(self._reader.connection, [key])
        except sqlite3.DatabaseError:
            return []


def _lane(held: Held) -> Lane:
    return Lane(held.destination, held.priority)


def _always_lives(is_fragment: bool, flags: int) -> bool:
    """A bundle for many stays when it has been handed on, so nothing would advance its queue."""
    return is_fragment or bool(flags & CUSTODY) or not flags & SINGLETON


def hashed(bundle_id: BundleId) -> bytes:
    """Sixteen bytes that stand for an identity."""
    return hashed_text(str(bundle_id))


def hashed_text(text: str) -> bytes:
    """The same of an identity as text."""
    return hashlib.sha256(text.encode()).digest()[:16]
