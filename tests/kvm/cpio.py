"""A cpio archive in the "newc" form, which Linux unpacks as its first root.

Each entry: 110 bytes of magic and hexadecimal fields, the name with its NUL, padding to 4 bytes,
the content (of a link: where it points), padding to 4 bytes. An entry "TRAILER!!!" ends it. Format:
the kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_TRAILER = "TRAILER!!!"
_CONTENT_MAX_BYTES = (1 << 32) - 1


@dataclass(frozen=True)
class Entry:
    """`name` without a leading slash; `mode` as stat has it, with the file's type."""

    name: str
    mode: int
    content: bytes = b""


def directory(name: str) -> Entry:
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, content: bytes, *, executable: bool = False) -> Entry:
    return Entry(name, stat.S_IFREG | (0o755 if executable else 0o644), content)


def link(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFLNK | 0o777, target.encode("utf-8"))


def archive(entries: Iterable[Entry]) -> Iterator[bytes]:
    """The archive's bytes, piece by piece; all belongs to root and is of 1970.

    A directory has to come before what is in it. ValueError: a name or content it cannot hold.
    """
    number = 0
    for number, entry in enumerate(entries, start=1):
        if not entry.name or entry.name.startswith("/") or "\0" in entry.name:
            raise ValueError(f"{entry.name!r} is no name for an archive")
        if len(entry.content) > _CONTENT_MAX_BYTES:
            raise ValueError(f"{entry.name} is too long for an archive")
        yield from _encode(entry, number)
    yield from _encode(Entry(_TRAILER, 0), number + 1)


def _encode(entry: Entry, number: int) -> Iterator[bytes]:
    name = entry.name.encode("utf-8") + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # inode, mode, uid, gid, links, time, size, device (2), special file's device (2), name, check
    fields = (number, entry.mode, 0, 0, links, 0, len(entry.content), 0, 0, 0, 0, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    yield head + _padding(head)
    yield entry.content + _padding(entry.content)


def _padding(data: bytes) -> bytes:
    return bytes(-len(data) % 4)
