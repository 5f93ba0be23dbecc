"""A directory on a medium that is carried about. Every method blocks; OSErrors become LinkErrors.

Whatever lies there was put there by anybody: only regular files are opened, of bounded size, and
no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from radics_mesh.durable import replace_synced, sync_directory
from radics_mesh.errors import CapacityError, LinkError, UsageError, WireError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Stick:
    """UsageError when `directory` is none: it is not made, since it may be a missing stick's."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        if not directory.is_dir():
            raise UsageError(f"there is no directory {directory}; is the stick in?")

    def names(self) -> list[str]:
        """Of files that are whole, as far as their names tell."""
        with self._explained():
            return sorted(n for n in os.listdir(self.directory) if not n.startswith("."))

    def read(self, name: str, limit_bytes: int) -> bytes:
        """LinkError: it cannot be read. WireError: it is not what we read at all."""
        with self._explained():
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            descriptor = os.open(self.directory / name, flags)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                if not stat.S_ISREG(found.st_mode):
                    raise WireError("no regular file")
                content = file.read(limit_bytes + 1)
        if len(content) > limit_bytes:
            raise WireError(f"more than {limit_bytes} bytes")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Whole or not at all; `settle` makes the name durable, too. CapacityError: it is full."""
        with self._explained():
            replace_synced(self.directory / name, content)

    def remove(self, names: Iterable[str]) -> None:
        with self._explained():
            for name in names:
                (self.directory / name).unlink(missing_ok=True)

    def clear_leftovers(self, prefix: str) -> None:
        """Halves of files that a crash left behind, of whose name begins so."""
        with self._explained():
            for path in self.directory.glob(f".{prefix}*.tmp"):
                path.unlink(missing_ok=True)

    def settle(self) -> None:
        """On return all that was written and removed is on the medium."""
        with self._explained():
            try:
                sync_directory(self.directory)
            except OSError as error:
                if error.errno != errno.EINVAL:  # some file systems sync no directories
                    raise

    def free_bytes(self) -> int:
        with self._explained():
            room = os.statvfs(self.directory)
        return room.f_bavail * room.f_frsize

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"{self.directory}: {error.strerror or error}"
            if error.errno in _FULL:
                raise CapacityError(reason) from error
            raise LinkError(reason) from error
