"""A large bundle on its way in: a file that grows piece by piece, and that the store then takes.

Its name in the store's directory of large bundles is no key, so that whatever a crash leaves of it
is removed. What was written is synced now and then: the last sync then waits for little.
"""

from __future__ import annotations

import itertools
import os
import zlib
from pathlib import Path

import trio

from radics_mesh.dtn.wire.content import FileBytes, OpenFile
from radics_mesh.errors import CapacityError

_SYNC_EVERY_BYTES = 16 << 20
_numbers = itertools.count()


class Spooled(FileBytes):
    """A whole bundle in a spool's file. `claimed`: by the store, which will rename that file."""

    __slots__ = ("claimed", "crc", "path")

    def __init__(self, path: Path, crc: int) -> None:
        file = OpenFile(path)
        super().__init__(file, 0, file.size_bytes)
        self.path = path
        self.crc = crc
        self.claimed = False


class Spool:
    """`discard` it when done, whatever happened."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / f"in-{os.getpid()}-{next(_numbers)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._descriptor = os.open(self._path, flags, 0o600)
        self._crc = 0
        self._unsynced_bytes = 0
        self._whole: Spooled | None = None
        self.size_bytes = 0

    async def write(self, piece: bytes) -> None:
        """In a thread: no piece may be small. CapacityError."""
        await self._in_thread(piece)

    async def sync(self) -> int:
        """How many bytes are in the file, all of them on the medium now. CapacityError."""
        await self._in_thread(b"")
        return self.size_bytes

    @property
    def uncounted_bytes(self) -> int:
        """What it takes on the disk beside what the store counts of what it has claimed."""
        claimed = self._whole is not None and self._whole.claimed
        return 0 if claimed else self.size_bytes

    @property
    def path(self) -> Path:
        return self._path

    async def finish(self, rest: bytes) -> Spooled:
        """The last piece, and the bundle. CapacityError."""
        await self._in_thread(rest)
        self._whole = Spooled(self._path, self._crc)
        return self._whole

    def discard(self) -> None:
        """Idempotent. The file goes, unless the store has claimed it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self.size_bytes = 0
        if self._whole is None or not self._whole.claimed:
            self._path.unlink(missing_ok=True)

    async def _in_thread(self, piece: bytes) -> None:
        self.size_bytes += len(piece)
        try:
            await trio.to_thread.run_sync(self._write, piece)
        except OSError as error:
            raise CapacityError(f"a large bundle cannot be written: {error}") from error

    def _write(self, piece: bytes) -> None:
        self._crc = zlib.crc32(piece, self._crc)
        left = memoryview(piece)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._unsynced_bytes += len(piece)
        if self._unsynced_bytes >= _SYNC_EVERY_BYTES or not piece:
            os.fdatasync(self._descriptor)
            self._unsynced_bytes = 0
