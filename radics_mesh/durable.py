"""Files that survive power loss: written aside, synced, renamed, and the directory synced too."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` by `content`; on return it is on the medium, and no reader saw a part."""
    replace_synced(path, content, mode=mode)
    sync_directory(path.parent)


def replace_synced(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """The same, but for the name: many files in one directory share one `sync_directory`."""
    # Two threads may write the same file: an image that is run twice at once.
    writer = f"{os.getpid()}-{threading.get_native_id()}"
    aside = path.with_name(f".{path.name}.{writer}.tmp")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if not mode & 0o077:
                # A secret: the umask may have taken its owner's rights away, and a leftover of
                # this name may have given others some.
                os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def sync_directory(path: Path) -> None:
    """Make the names in a directory (created, renamed, removed) survive power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
