"""A file's lines as the numbered messages of a source.

The file is not copied. Publishing reads it once: its SHA-256 over the published length, how many
lines, and where every BLOCK-th starts. Message n is then the n-th line without its newline (0x0A
only, so a carriage return stays), a last line without newline included. Before bytes are handed
out, the file's size, inode and modification time are compared with those of the last check; if
one differs the content is hashed again. Content that changed is an error and nothing is read; a
file that merely grew still holds the same messages, and goes on serving those.

Blocking: all of this belongs in a worker thread.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from radics_mesh.errors import UsageError
from radics_mesh.ids import Digest
from radics_mesh.sources.messages import MESSAGE_MAX_BYTES

# Lines between two index entries: 8 bytes of memory for 64 lines, and at most 63 lines read in
# vain to find one.
BLOCK = 64
# A shorter read takes fewer messages: no batch needs more than this many.
_READ_MAX_MESSAGES = 4096


@dataclass(frozen=True)
class Content:
    """What a published file held: message n of a source is this or nothing."""

    size_bytes: int
    digest: Digest
    length: int


class FileLog:
    """The messages of one file; `content` is what it held when it was read."""

    def __init__(self, path: Path, content: Content, index: array[int], checked: object) -> None:
        self.path = path
        self.content = content
        self._index = index
        self._checked = checked

    @classmethod
    def open(cls, path: Path, expected: Content | None = None) -> FileLog:
        """Read the whole file once; UsageError when it cannot be published, or is not `expected`.

        `expected` is what was published before, so that a restart cannot renumber messages.
        """
        limit = None if expected is None else expected.size_bytes
        try:
            with path.open("rb") as file:
                mark = _mark(os.fstat(file.fileno()))
                content, index = _scan(file, path, limit)
                if _mark(os.fstat(file.fileno())) != mark:
                    raise UsageError(f"{path} was written while it was read; try again")
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        if expected is not None and content != expected:
            raise _changed(path)
        return cls(path, content, index, mark)

    @property
    def length(self) -> int:
        """The number of the last message, 0 for an empty file."""
        return self.content.length

    def position(self, number: int) -> int:
        """About how many bytes the messages up to `number` take, to the block's start."""
        if number >= self.length:
            return self.content.size_bytes
        return self._index[number // BLOCK]

    def read(self, first: int, last: int, max_bytes: int) -> list[bytes]:
        """Messages from `first`, at most to `last`, at least one, else within `max_bytes`.

        UsageError when the file has vanished or does not hold what was published.
        """
        if not 1 <= first <= last <= self.length:
            raise UsageError(f"no messages {first} to {last} in {self.path}")
        last = min(last, first + _READ_MAX_MESSAGES - 1)
        try:
            with self.path.open("rb") as file:
                self._check(file)
                return self._lines(file, first, last, max_bytes)
        except OSError as error:
            raise UsageError(f"cannot read {self.path}: {error.strerror}") from error

    def _lines(self, file: BinaryIO, first: int, last: int, max_bytes: int) -> list[bytes]:
        block, skip = divmod(first - 1, BLOCK)
        file.seek(self._index[block])
        messages: list[bytes] = []
        taken_bytes = 0
        lines = iter(lambda: file.readline(MESSAGE_MAX_BYTES + 2), b"")
        for line in islice(lines, skip, skip + last - first + 1):
            if len(messages) + first == self.length:  # more may have been written behind it
                beyond_bytes = file.tell() - self.content.size_bytes
                line = line[: len(line) - max(0, beyond_bytes)]
            message = line.removesuffix(b"\n")
            if messages and taken_bytes + len(message) > max_bytes:
                break
            messages.append(message)
            taken_bytes += len(message)
        return messages

    def _check(self, file: BinaryIO) -> None:
        mark = _mark(os.fstat(file.fileno()))
        if mark == self._checked:
            return
        content, _ = _scan(file, self.path, self.content.size_bytes)
        if content != self.content:
            raise _changed(self.path)
        self._checked = mark


def _changed(path: Path) -> UsageError:
    return UsageError(f"{path} changed since it was published: put it back, or publish a new name")


def _mark(status: os.stat_result) -> object:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _scan(file: BinaryIO, path: Path, limit_bytes: int | None) -> tuple[Content, array[int]]:
    """Hash and index the first `limit_bytes` (None: all) of a file read from its start."""
    hashed = hashlib.sha256()
    index: array[int] = array("Q")
    offset = length = 0
    while True:
        lines = _block(file, path, length, None if limit_bytes is None else limit_bytes - offset)
        if not lines:
            return Content(offset, Digest(hashed.digest()), length), index
        joined = b"".join(lines)
        hashed.update(joined)
        index.append(offset)
        offset += len(joined)
        length += len(lines)


def _block(file: BinaryIO, path: Path, before: int, left_bytes: int | None) -> list[bytes]:
    """Up to BLOCK lines with their newlines, cut after `left_bytes`."""
    lines: list[bytes] = []
    while len(lines) < BLOCK and left_bytes != 0:
        line = file.readline(MESSAGE_MAX_BYTES + 2)
        if left_bytes is not None:
            line = line[:left_bytes]
            left_bytes -= len(line)
        if not line:
            break
        if len(line.removesuffix(b"\n")) > MESSAGE_MAX_BYTES:
            raise UsageError(
                f"line {before + len(lines) + 1} of {path} is longer than a message may be "
                f"({MESSAGE_MAX_BYTES} bytes); fold the lines first"
            )
        lines.append(line)
    return lines
