"""What a guest prints: an append-only file a VM, cut at the front when it grows too long.

Offsets count from the first byte ever printed here. What lies beyond the offset that the table
has durably (a crash came in between) will be printed again by the guest, so it is cut off first.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import trio

LOG_MAX_BYTES = 4 << 20
_READ_BYTES = 1 << 16


class VmLog:
    """At most two files: the present one, `log`, and the one before it, `log.old`."""

    def __init__(self, directory: Path) -> None:
        # Of each of the two files.
        self.max_bytes = LOG_MAX_BYTES
        self._path = directory / "log"
        self._old = directory / "log.old"
        self._grown = trio.Event()
        self._file: int | None = None
        self.end = self._start() + (self._path.stat().st_size if self._path.exists() else 0)

    def begin(self, durable_bytes: int) -> None:
        """A guest starts to print; what counts so far are the first `durable_bytes`."""
        start = self._start()
        if self._file is None:
            self._file = self._open()
        kept = max(0, durable_bytes - start)
        if os.fstat(self._file).st_size > kept:
            os.ftruncate(self._file, kept)
        self.end = start + os.fstat(self._file).st_size

    def append(self, text: bytes) -> None:
        """In the page cache when this returns; `sync` makes it durable. OSError: none of it is."""
        assert self._file is not None
        if (written := os.write(self._file, text)) < len(text):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, "no room for what the guest prints")
        self.end += len(text)
        self._grown.set()
        self._grown = trio.Event()

    def sync(self) -> None:
        """Blocks; may be called in a worker thread while nothing is appended."""
        assert self._file is not None
        os.fsync(self._file)
        if os.fstat(self._file).st_size > self.max_bytes:
            self._rotate()

    def finish(self) -> None:
        """The guest prints no more here; who follows is told. Idempotent."""
        if self._file is not None:
            os.close(self._file)
        self._file = None
        self._grown.set()

    async def read(self, *, follow: bool) -> AsyncIterator[bytes]:
        """What is kept, oldest first; `follow`: and what comes, until `finish`."""
        at = 0
        while True:
            await trio.lowlevel.checkpoint()
            grown, ended = self._grown, self._file is None
            while data := self._read_at(at):
                skipped_to, text = data
                at = skipped_to + len(text)
                yield text
            if not follow or ended:
                return
            await grown.wait()

    def _start(self) -> int:
        """The offset of the present file's first byte, kept in a file of its own name."""
        try:
            return int((self._path.with_suffix(".start")).read_text())
        except (OSError, ValueError):
            return 0

    def _rotate(self) -> None:
        """Not durable by itself: after a power loss the old offset and file may be back, together
        or not, and then a part of the log shows twice or is missing. It is a log."""
        start = self._path.with_suffix(".start")
        try:
            aside = start.with_suffix(".new")
            aside.write_text(str(self.end))
            aside.replace(start)
        except OSError:  # a full disk: the next time
            return
        self._path.replace(self._old)
        if self._file is not None:
            os.close(self._file)
        self._file = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _read_at(self, at: int) -> tuple[int, bytes] | None:
        """(offset, bytes) of the first kept bytes at or after an offset."""
        start = self._start()
        if at < start and self._old.exists():
            old_start = start - self._old.stat().st_size
            at = max(at, old_start)
            return at, _pread(self._old, at - old_start)
        at = max(at, start)
        text = _pread(self._path, at - start)
        return (at, text) if text else None


def _pread(path: Path, at: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(at)
            return file.read(_READ_BYTES)
    except FileNotFoundError:
        return b""
