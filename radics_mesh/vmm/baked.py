"""Files that an image carries for its program: `build --file SRC:DST`.

They lie behind the program, little-endian: their number (u64); for each a record (`struct
image_file` in guest_lib/kernel/layout.h: offset and size of the contents, u64 each, mode and length
of the path, u32 each, the path), the next one at the next multiple of 8; then the contents.
Contents of a page or more start a page, so that the library OS can map them where they are.

Names, contents and whether a file is executable: nothing else goes in, so that the same files give
the same image wherever and whenever it is built.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from radics_mesh.errors import UsageError

PAGE_BYTES = 4096
PATH_BYTES_MAX = 4095
NAME_BYTES_MAX = 255

_COUNT = struct.Struct("<Q")
_RECORD = struct.Struct("<QQII")
_KERNELS_OWN = ("/dev", "/proc")


@dataclass(frozen=True)
class BakedFile:
    """What the program finds under `path`, absolute: a file's bytes, or for None a directory."""

    path: str
    content: bytes | None
    executable: bool = False

    @property
    def mode(self) -> int:
        if self.content is None:
            return stat.S_IFDIR | 0o755
        return stat.S_IFREG | (0o755 if self.executable else 0o644)


def collect(options: Iterable[str]) -> list[BakedFile]:
    """Reads what the options say, each one "SRC:DST". UsageError names the first that is wrong."""
    return [file for option in options for file in _collect_one(option)]


def _collect_one(option: str) -> Iterator[BakedFile]:
    source, colon, target = option.rpartition(":")
    if not source or not colon:
        raise UsageError(f"--file {option}: say SRC:DST")
    if not target.startswith("/"):
        raise UsageError(f"--file {option}: {target or 'DST'} must be an absolute path")
    try:
        if Path(source).is_dir():
            yield from _walk(Path(source), PurePosixPath(target), ())
        elif target.endswith("/"):
            raise UsageError(f"--file {option}: {target} names a directory; give the file's name")
        else:
            yield _read(Path(source), target)
    except OSError as error:
        raise UsageError(f"--file {option}: {error.filename}: {error.strerror}") from error


def _walk(source: Path, target: PurePosixPath, above: tuple[Path, ...]) -> Iterator[BakedFile]:
    """A directory and all below it; links are followed, since the image has what they lead to."""
    real = source.resolve()
    if real in above:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(source))
    if target != PurePosixPath("/"):
        yield BakedFile(str(target), None)
    for child in sorted(source.iterdir()):
        if child.is_dir():
            yield from _walk(child, target / child.name, (*above, real))
        else:
            yield _read(child, str(target / child.name))


def _read(source: Path, target: str) -> BakedFile:
    status = source.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "neither a file nor a directory", str(source))
    return BakedFile(target, source.read_bytes(), bool(status.st_mode & 0o100))


def pack(files: Sequence[BakedFile]) -> bytes:
    """The files as they lie in an image, b"" for none. UsageError for paths that cannot be."""
    if not files:
        return b""
    ordered = _checked(files)
    paths = [os.fsencode(path) for path in ordered]
    at = _COUNT.size + sum(_up(_RECORD.size + len(path), 8) for path in paths)
    table, contents = [_COUNT.pack(len(ordered))], []
    for path, file in zip(paths, ordered.values(), strict=True):
        content = file.content or b""
        start = _up(at, PAGE_BYTES if len(content) >= PAGE_BYTES else 8)
        contents.append(bytes(start - at) + content)
        record = _RECORD.pack(start, len(content), file.mode, len(path)) + path
        table.append(record.ljust(_up(len(record), 8), b"\0"))
        at = start + len(content)
    return b"".join(table + contents)


def _checked(files: Sequence[BakedFile]) -> dict[str, BakedFile]:
    """By path, in order. A directory may come twice, for two may be laid over each other."""
    found: dict[str, BakedFile] = {}
    for file in files:
        _check_path(file.path)
        before = found.setdefault(file.path, file)
        if before is not file and (before.content is not None or file.content is not None):
            raise UsageError(f"{file.path}: baked in twice")
    for path in found:
        if path == "/tmp" and found[path].content is not None:
            raise UsageError("/tmp: is a directory in every guest")
        for parent in PurePosixPath(path).parents:
            above = found.get(str(parent))
            if above is not None and above.content is not None:
                raise UsageError(f"{path}: {parent} is a file")
    return dict(sorted(found.items()))


def _check_path(path: str) -> None:
    names = path.split("/")[1:]
    if not path.startswith("/") or any(name in ("", ".", "..") for name in names) or "\0" in path:
        raise UsageError(f"{path}: must be an absolute path without empty names, . and ..")
    if len(os.fsencode(path)) > PATH_BYTES_MAX or any(
        len(os.fsencode(name)) > NAME_BYTES_MAX for name in names
    ):
        raise UsageError(f"{path[:40]}...: the path or a name in it is too long")
    if any(path == own or path.startswith(f"{own}/") for own in _KERNELS_OWN):
        raise UsageError(f"{path}: /dev and /proc are the library OS's own")


def _up(n: int, step: int) -> int:
    return -(-n // step) * step
