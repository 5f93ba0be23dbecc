"""Who needs which pages: a file of page hashes an owner, durable.

A crash may leave a hold that was released, or the end of one that was still growing; both keep
pages for nothing, neither loses one. Whoever holds pages says at its start what it still knows of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from radics_mesh.durable import sync_directory, write_durably
from radics_mesh.errors import UsageError
from radics_mesh.ids import DIGEST_BYTES

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,159}")


class Holds:
    """A directory of them. Blocking."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory

    def owners(self) -> list[str]:
        return sorted(p.name for p in self._directory.iterdir() if _OWNER.fullmatch(p.name))

    def put(self, owner: str, hashes: Iterable[bytes]) -> None:
        """Now this is what the owner holds."""
        write_durably(self._path(owner), b"".join(hashes), mode=0o600)

    def add(self, owner: str, hashes: Iterable[bytes]) -> None:
        """This too."""
        path = self._path(owner)
        if not path.exists():
            self.put(owner, hashes)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            # Over the torn end of one that a crash interrupted.
            whole = os.fstat(descriptor).st_size // DIGEST_BYTES * DIGEST_BYTES
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.seek(whole)
                file.write(b"".join(hashes))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def of(self, owner: str) -> list[bytes]:
        """What an owner holds; nothing when it holds nothing."""
        try:
            content = self._path(owner).read_bytes()
        except FileNotFoundError:
            return []
        places = range(0, len(content) - DIGEST_BYTES + 1, DIGEST_BYTES)
        return [content[at : at + DIGEST_BYTES] for at in places]

    def drop(self, owner: str) -> None:
        self._path(owner).unlink(missing_ok=True)
        sync_directory(self._directory)

    def _path(self, owner: str) -> Path:
        if not _OWNER.fullmatch(owner):
            raise UsageError(f"not an owner of pages: {owner!r}")
        return self._directory / owner
