"""States of VMs that are kept here although the VM is not: checkpoints kept for their holders, and
what became of a branch that gave way to a higher one. Nothing here is deleted but by name, or, of
a checkpoint, when its holder sends a later one.

A state is a manifest's file, verified when it came, its pages in the node's store, and a row that
says what it is. File and pages are durable before the row; a file without a row is left over from a
crash and is removed. (Of an earlier version, the file may be the snapshot in one piece.)
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from radics_mesh.durable import sync_directory
from radics_mesh.errors import GuestError, WireError
from radics_mesh.hosting.database import Database
from radics_mesh.ids import Digest, VmId
from radics_mesh.ownership import Mandate, Ownership
from radics_mesh.vmm import stored
from radics_mesh.vmm.bare import SignedFields
from radics_mesh.vmm.delta import Base
from radics_mesh.vmm.manifest import Manifest
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.snapshot import Snapshot
from radics_mesh.vmm.stored import Stored

_OLD_SUFFIX = ".snap"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS state(
  vm_id BLOB, snapshot BLOB, sort TEXT, chain BLOB NOT NULL, higher BLOB NOT NULL,
  serial INTEGER NOT NULL, after_s INTEGER NOT NULL, signature BLOB NOT NULL,
  turn INTEGER NOT NULL, created REAL NOT NULL, bytes INTEGER NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (vm_id, snapshot, sort));
CREATE TABLE IF NOT EXISTS serial(vm_id BLOB PRIMARY KEY, serial INTEGER, snapshot BLOB);
"""


class Sort(enum.StrEnum):
    CHECKPOINT = "checkpoint"
    DIVERGENT = "divergent"
    # From a file (radics_mesh.hosting.shelf).
    IMPORTED = "imported"


@dataclass(frozen=True)
class State:
    """`chain`: the ownership under which it came to be. `created`: Unix time at which the guest was
    in it, by its host's clock; `at`: when it came here, by ours."""

    vm_id: VmId
    snapshot: Digest
    sort: Sort
    chain: Ownership
    created: float
    bytes: int
    at: float
    # CHECKPOINT: what its holder allows, and which keeper's turn this node is (0: the first).
    mandate: Mandate | None = None
    turn: int = 0
    # DIVERGENT: the branch that counts instead.
    higher: Ownership | None = None

    def columns(self) -> tuple[object, ...]:
        mandate = self.mandate or Mandate(0, 0, b"")
        return (
            bytes(self.vm_id),
            bytes(self.snapshot),
            self.sort.value,
            self.chain.pack(),
            self.higher.pack() if self.higher else b"",
            *mandate.fields(),
            self.turn,
            self.created,
            self.bytes,
            self.at,
        )

    @classmethod
    def of(cls, row: tuple[object, ...]) -> State:
        vm_id, snapshot, sort, chain, higher, serial, after_s, signature, turn, *rest = row
        created, size, at = rest
        assert isinstance(vm_id, bytes)
        assert isinstance(snapshot, bytes)
        assert isinstance(chain, bytes)
        assert isinstance(higher, bytes)
        assert isinstance(signature, bytes)
        mandate = Mandate(int(str(serial)), int(str(after_s)), signature) if signature else None
        return cls(
            vm_id=VmId(vm_id),
            snapshot=Digest(snapshot),
            sort=Sort(str(sort)),
            chain=Ownership.parse(chain),
            created=float(str(created)),
            bytes=int(str(size)),
            at=float(str(at)),
            mandate=mandate,
            turn=int(str(turn)),
            higher=Ownership.parse(higher) if higher else None,
        )


class Custody(Database):
    """Blocking; what it returns from is durable. OSError: nothing of it counts."""

    def __init__(self, directory: Path, pages: PageStore) -> None:
        self._pages = pages
        # From a state's file to its row nobody else may tidy.
        self._keeping = threading.Lock()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        super().__init__(directory / "custody.sqlite", _SCHEMA)
        self._directory = directory
        self._states = {self._key(state): state for state in self._rows()}
        self._tidy()

    def states(self, vm_id: VmId | None = None) -> list[State]:
        """All, or those of one VM, the latest first."""
        with self._lock:
            found = [s for s in self._states.values() if vm_id in (None, s.vm_id)]
        return sorted(found, key=lambda state: state.created, reverse=True)

    def keep(self, state: State, content: bytes) -> None:
        """`content`: the packed snapshot. A later checkpoint replaces what was kept before.

        WireError: it is none. CapacityError: its pages have no room.
        """
        snapshot = Snapshot.read(content)
        if snapshot.digest != state.snapshot:
            raise WireError("another state than is said")
        hashes = snapshot.manifest.page_hashes()
        with self._keeping, self._pages.keeping(hashes):
            stored.adopt(self._pages, snapshot, self._directory)
            self._change(state, self._older(state))

    def keep_changed(self, state: State, signed: SignedFields, packs: Iterable[bytes]) -> None:
        """The same of a state whose pages are in these packs, or here already; `state.bytes` is
        found out.

        WireError, GuestError: a page is missing or damaged. CapacityError: no room.
        """
        new = Stored(*signed, self._pages)
        hashes = new.manifest.page_hashes()
        with self._keeping, self._pages.keeping(hashes):
            for packed in packs:
                self._pages.put_pack(packed)
            if self._pages.lacking(hashes):
                raise WireError("checkpoint: pages are missing")
            if bad := new.check_pages():
                raise GuestError(f"checkpoint: page {bad[0][0]}: {bad[0][1]}")
            stored.write(new, self._directory)
            state = replace(state, bytes=self._pages.weigh(hashes))
            self._change(state, self._older(state))

    def base(self, snapshot: Digest) -> Base | None:
        """Of a state that is here, for one that comes as what makes it of that; None: it is in no
        form for that."""
        try:
            return Base.of(self._stored(snapshot).manifest)
        except (OSError, WireError):
            return None

    def _older(self, state: State) -> list[State]:
        """What a state takes the place of."""
        return [
            old
            for old in self.states(state.vm_id)
            if state.sort is old.sort is Sort.CHECKPOINT and old.snapshot != state.snapshot
        ]

    def renew(self, state: State) -> None:
        """The same checkpoint under another mandate."""
        with self._keeping:
            self._change(state, ())

    def drop(self, state: State) -> None:
        with self._keeping:
            self._change(None, (state,))

    def content(self, snapshot: Digest) -> bytes:
        """In one piece. OSError, WireError, GuestError: it is not here, or damaged."""
        old = self._directory / f"{snapshot.hex()}{_OLD_SUFFIX}"
        if old.exists():
            return old.read_bytes()
        return self._stored(snapshot).in_one_piece().pack()

    def damaged(self, snapshot: Digest) -> list[tuple[int, str]]:
        """Numbers of its pages that are no good, and why; errors as `content`."""
        if not self._path(snapshot).exists():
            Snapshot.read(self.content(snapshot))
            return []
        return self._stored(snapshot).check_pages()

    def manifest(self, snapshot: Digest) -> Manifest:
        """Unverified; errors as `content`."""
        if not self._path(snapshot).exists():
            return Snapshot.read(self.content(snapshot)).manifest
        return self._stored(snapshot).manifest

    def _stored(self, snapshot: Digest) -> Stored:
        kept = Stored(*stored.parse(self._path(snapshot).read_bytes()), self._pages)
        if kept.digest != snapshot:
            raise WireError("snapshot: its manifest is altered")
        return kept

    # --- as the holder of a VM ---

    def serial(self, vm_id: VmId, snapshot: Digest, at_least: int = 0) -> int:
        """The number of a checkpoint of ours: one more than the one before, or than `at_least`,
        which a keeper has seen (this disk may have been set back)."""
        with self._transaction() as db:
            row = db.execute("SELECT serial, snapshot FROM serial WHERE vm_id=?", (bytes(vm_id),))
            last, of = row.fetchone() or (0, b"")
            if of == bytes(snapshot) and last > at_least:
                return int(last)
            number = max(int(last), at_least) + 1
            values = (bytes(vm_id), number, bytes(snapshot))
            db.execute("INSERT OR REPLACE INTO serial VALUES (?,?,?)", values)
        return number

    def serial_of(self, vm_id: VmId) -> int:
        """Of the last checkpoint that was given away; 0: none was."""
        with self._lock:
            row = self._db.execute("SELECT serial FROM serial WHERE vm_id=?", (bytes(vm_id),))
            return int((row.fetchone() or (0,))[0])

    def _change(self, new: State | None, old: Iterable[State]) -> None:
        with self._transaction() as db:
            for state in old:
                key = (bytes(state.vm_id), bytes(state.snapshot), state.sort.value)
                db.execute("DELETE FROM state WHERE vm_id=? AND snapshot=? AND sort=?", key)
            if new is not None:
                places = ",".join("?" * len(new.columns()))
                db.execute(f"INSERT OR REPLACE INTO state VALUES ({places})", new.columns())
        with self._lock:
            for state in old:
                self._states.pop(self._key(state), None)
            if new is not None:
                self._states[self._key(new)] = new
        self._tidy()

    def _rows(self) -> list[State]:
        return [State.of(row) for row in self._db.execute("SELECT * FROM state").fetchall()]

    def _tidy(self) -> None:
        with self._lock:
            needed = {state.snapshot.hex() for state in self._states.values()}
        ours = (stored.SUFFIX, _OLD_SUFFIX)
        gone = [
            path
            for path in self._directory.iterdir()
            if path.suffix in ours and path.stem not in needed
        ]
        for path in gone:
            path.unlink(missing_ok=True)
        if gone:
            sync_directory(self._directory)
            self._pages.has_garbage = True

    def _path(self, snapshot: Digest) -> Path:
        return stored.path_of(self._directory, snapshot.hex())

    @staticmethod
    def _key(state: State) -> tuple[VmId, Digest, Sort]:
        return state.vm_id, state.snapshot, state.sort
