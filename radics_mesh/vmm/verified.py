"""Files that were hashed in this process: one that has not changed since is not read again.

Starting a VM would else hash its image four times. What counts as unchanged is what the file system
says of the file: device, inode, length, and the times of its last changes. So every write is found
out, by whomever; bits that a medium flips by itself are found when a later process reads the file.
Those that flip between a check and QEMU's own reading no check finds.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from radics_mesh.ids import Digest

# A file that was changed so lately may be changed again without another time of change: clocks of
# file systems tick some hundred times a second.
_SETTLED_NS = 100_000_000
_FILES_MAX = 4096

_Status = tuple[int, int, int, int, int]
_lock = threading.Lock()
_known: dict[Path, tuple[_Status, Digest]] = {}


def known(path: Path) -> Digest | None:
    """The hash of an unchanged file's content; None: it has to be read. OSError: not there."""
    status = _status(os.stat(path))
    with _lock:
        held = _known.get(path)
    return held[1] if held is not None and held[0] == status else None


def digest_of(path: Path) -> Digest:
    """The hash of a file's content. Blocks when it has to be read; OSError."""
    return known(path) or read(path)[0]


def read(path: Path) -> tuple[Digest, bytes]:
    """The hash of a file's content, and that, read now. Blocks; OSError."""
    with path.open("rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        content = file.read()
    digest = Digest.of(content)
    settled = time.time_ns() - max(before.st_mtime_ns, before.st_ctime_ns) > _SETTLED_NS
    if settled and len(content) == before.st_size:
        _keep(path, _status(before), digest)
    return digest, content


def touch(path: Path) -> None:
    """Set its time of last change to now, which is no change. OSError: it is not there."""
    held = known(path)
    now = time.time_ns()  # finer than a file system's clock: a write leaves another time
    os.utime(path, ns=(now, now))
    if held is not None:
        _keep(path, _status(os.stat(path)), held)


def _keep(path: Path, status: _Status, digest: Digest) -> None:
    with _lock:
        _known.pop(path, None)
        _known[path] = status, digest
        if len(_known) > _FILES_MAX:
            del _known[next(iter(_known))]


def _status(found: os.stat_result) -> _Status:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
