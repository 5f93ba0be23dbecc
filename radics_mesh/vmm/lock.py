"""One lock per VM, held by its QEMU: whoever can take it knows that none is alive.

The node opens the lock file, takes a flock on that open file and lets QEMU inherit it; then the
node closes its own descriptor. From then on the lock lives exactly as long as QEMU does, whatever
becomes of the node: also after SIGKILL, also when QEMU hangs. No pid is ever written down, so none
can be stale; who holds the lock is found in /proc.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def take(path: Path) -> int | None:
    """A descriptor that holds the lock, or None while a QEMU (or another node) holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def is_free(path: Path) -> bool:
    """Whether no QEMU of this VM is alive at this moment."""
    descriptor = take(path)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def holder(path: Path) -> tuple[int, int] | None:
    """(pid, pidfd) of another process that has the lock file open; None if there is none.

    The pidfd is opened before the look, so both name the same process even if pids are reused.
    """
    try:
        wanted = path.stat()
    except FileNotFoundError:
        return None
    for pid in _pids():
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:
            continue  # it has ended
        if _has_open(pid, wanted):
            return pid, pidfd
        os.close(pidfd)
    return None


def _pids() -> Iterator[int]:
    own = os.getpid()
    # Newest first: QEMU is younger than most.
    pids = sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    return (pid for pid in pids if pid != own)


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            return any(_is_same(entry.path, wanted) for entry in entries)
    except OSError:
        return False  # ended, or another user's: a QEMU of ours is never that


def _is_same(path: str, wanted: os.stat_result) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
