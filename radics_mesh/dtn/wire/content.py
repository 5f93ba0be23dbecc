"""Bytes of bundles that need not be in memory: in a file, or some here and some there.

`bytes`, FileBytes and Joined are Content: `len`, `[start:end]` and `bytes()` work on all of them,
and `pieces` goes through any of them without holding more than PIECE_BYTES.

A FileBytes keeps its file open: it can be read even when its name has gone meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from radics_mesh.errors import LinkError

PIECE_BYTES = 1 << 20


class OpenFile:
    """A file open for reading, closed when nobody refers to it any more. OSError."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    @property
    def size_bytes(self) -> int:
        return os.fstat(self.descriptor).st_size


class FileBytes:
    """A stretch of a file. Reading raises LinkError when the file gives less than it promised."""

    __slots__ = ("_file", "_length", "_offset")

    def __init__(self, file: OpenFile, offset: int, length: int) -> None:
        self._file = file
        self._offset = offset
        self._length = length

    @classmethod
    def of(cls, path: Path) -> FileBytes:
        """A whole file, as long as it is now; OSError."""
        file = OpenFile(path)
        return cls(file, 0, file.size_bytes)

    def __len__(self) -> int:
        return self._length

    def __bytes__(self) -> bytes:
        return b"".join(pieces(self))

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(self._length)
        count = max(0, end - start)
        try:
            found = os.pread(self._file.descriptor, count, self._offset + start)
        except OSError as error:
            raise LinkError(f"a large bundle cannot be read: {error}") from error
        if len(found) < count:
            raise LinkError("a large bundle's file is shorter than it was")
        return found

    def sync(self) -> None:
        """On return all of the file is on the medium; OSError."""
        os.fdatasync(self._file.descriptor)

    def part(self, start: int, length: int) -> FileBytes:
        """A stretch of this stretch."""
        return FileBytes(self._file, self._offset + start, length)


class Joined:
    """Several contents, one after the other."""

    __slots__ = ("_ends", "parts")

    def __init__(self, parts: list[bytes | FileBytes]) -> None:
        self.parts = parts
        self._ends: list[int] = []
        for part in parts:
            self._ends.append(len(part) + (self._ends[-1] if self._ends else 0))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __bytes__(self) -> bytes:
        return b"".join(pieces(self))

    def __getitem__(self, part: slice) -> bytes:
        start, end, _ = part.indices(len(self))
        found = []
        for content, content_end in zip(self.parts, self._ends, strict=True):
            begin = content_end - len(content)
            if start < content_end and end > begin:
                found.append(content[max(0, start - begin) : end - begin])
        return found[0] if len(found) == 1 else b"".join(found)


Content = bytes | FileBytes | Joined


def joined(contents: list[Content]) -> bytes | Joined:
    """Bytes if all of it is in memory."""
    try:
        return b"".join(contents)  # type: ignore[arg-type]
    except TypeError:
        parts: list[bytes | FileBytes] = []
        for content in contents:
            parts += content.parts if isinstance(content, Joined) else (content,)
        return Joined(parts)


def rest(content: Content, start: int) -> Content:
    """What follows the first `start` bytes."""
    if isinstance(content, bytes):
        return content[start:]
    if isinstance(content, FileBytes):
        return content.part(start, len(content) - start)
    left: list[Content] = []
    for part in content.parts:
        left.append(rest(part, min(start, len(part))))
        start = max(0, start - len(part))
    return joined(left)


def stretch(content: Content, start: int, length: int) -> Content:
    """Some of it; what is in a file stays there."""
    if isinstance(content, bytes):
        return content[start : start + length]
    if isinstance(content, FileBytes):
        return content.part(start, length)
    found: list[Content] = []
    for part in content.parts:
        begin, end = min(start, len(part)), min(start + length, len(part))
        found.append(stretch(part, begin, end - begin))
        start, length = start - begin, length - (end - begin)
    return joined(found)


def pieces(content: Content) -> Iterator[bytes]:
    """All of it, in order."""
    if isinstance(content, bytes):
        yield content
        return
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]
