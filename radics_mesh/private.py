"""Files with secrets: nobody but their owner reads them, whatever the umask was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from radics_mesh.durable import write_durably
from radics_mesh.errors import UsageError

MODE = 0o600


def write_private(path: Path, content: bytes) -> None:
    """As `write_durably`."""
    write_durably(path, content, mode=MODE)


def make_private(path: Path) -> None:
    """An empty file if there is none, for what another library opens and fills: it would make it
    readable by others. UsageError as of `refuse_readable`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError:
        refuse_readable(path)
        return
    try:
        os.fchmod(descriptor, MODE)
    finally:
        os.close(descriptor)


def refuse_readable(path: Path) -> None:
    """UsageError when others than its owner may read or write it: what is in it is no secret any
    more, and only its owner can tell whether it ever was."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise UsageError(f"{path} can be read by others (mode {mode:o}); run: chmod 600 {path}")


def read_private(path: Path) -> bytes:
    """UsageError when others can read it."""
    refuse_readable(path)
    return path.read_bytes()
