"""Rows of a table out of an SQLite file whose tree no longer leads to them. Sans-IO.

A torn page in the middle of a table's tree hides every row below it, though the leaves that hold
them are sound. This looks at each page by itself: a table's leaf says what it is in its first byte,
and how its rows are laid out (https://www.sqlite.org/fileformat2.html, sections 1.6 and 2.1). Pages
in the log take the place of those in the file, up to the last whole transaction.

What was deleted may come back from a page that is free now; nothing is invented. Damaged rows are
left out as far as that shows.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

PAGE_BYTES = 8192
_TABLE_LEAF = 0x0D
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
# Nobody's row has more: a length that says so is damage.
_ROW_MAX_BYTES = 1 << 24

Value = int | float | str | bytes | None


class Pages:
    """A database file's pages by number, which begins with 1. `database` may be a map of the file:
    it is looked at page by page."""

    def __init__(self, database: bytes | mmap.mmap, log: bytes) -> None:
        self._database = database
        self._logged: dict[int, bytes] = {}
        salt, transaction = log[16:24], dict[int, bytes]()
        step = _FRAME_HEADER_BYTES + PAGE_BYTES
        for at in range(_LOG_HEADER_BYTES, len(log) - step + 1, step):
            number, pages_after = struct.unpack_from(">II", log, at)
            if log[at + 8 : at + 16] != salt:
                break  # left from before the log was begun anew
            transaction[number] = log[at + _FRAME_HEADER_BYTES : at + step]
            if pages_after:
                self._logged |= transaction
                transaction = {}

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        last = max(len(self._database) // PAGE_BYTES, *self._logged, 0)
        for number in range(1, last + 1):
            page = self[number]
            if len(page) == PAGE_BYTES:
                yield number, page

    def __getitem__(self, number: int) -> bytes:
        start = (number - 1) * PAGE_BYTES
        return self._logged.get(number) or self._database[start : start + PAGE_BYTES]


def rows_in(pages: Pages, width: int) -> Iterator[tuple[Value, ...]]:
    """Rows of so many columns, of all tables; the row's number stands for a first column that is
    not stored (INTEGER PRIMARY KEY)."""
    for number, page in pages:
        start = 100 if number == 1 else 0
        if page[start] != _TABLE_LEAF:
            continue
        (count,) = struct.unpack_from(">H", page, start + 3)
        for place in range(min(count, (PAGE_BYTES - start - 8) // 2)):
            (at,) = struct.unpack_from(">H", page, start + 8 + 2 * place)
            try:
                row = _row(pages, page, at, width)
            except (IndexError, KeyError, ValueError, struct.error):
                continue
            if row is not None:
                yield row


def _row(pages: Pages, page: bytes, at: int, width: int) -> tuple[Value, ...] | None:
    size, at = _varint(page, at)
    rowid, at = _varint(page, at)
    if size > _ROW_MAX_BYTES:
        return None
    values = _values(_payload(pages, page, at, size), width)
    return None if values is None else (rowid if values[0] is None else values[0], *values[1:])


def _payload(pages: Pages, page: bytes, at: int, size: int) -> bytes:
    """A row's bytes: those beside the cell, then those of its overflow pages."""
    most, least = PAGE_BYTES - 35, (PAGE_BYTES - 12) * 32 // 255 - 23
    here = size
    if size > most:
        here = least + (size - least) % (PAGE_BYTES - 4)
        here = here if here <= most else least
    parts, left = [page[at : at + here]], size - here
    if left:
        (following,) = struct.unpack_from(">I", page, at + here)
        while left:
            overflow = pages[following]
            (following,) = struct.unpack_from(">I", overflow)
            parts.append(overflow[4 : 4 + left])
            left -= len(parts[-1])
    payload = b"".join(parts)
    if len(payload) < size:
        raise ValueError("a row that ends too soon")
    return payload


def _values(payload: bytes, width: int) -> list[Value] | None:
    """None when it has another number of columns."""
    end, at = _varint(payload, 0)
    kinds: list[int] = []
    while at < end and len(kinds) <= width:
        kind, at = _varint(payload, at)
        kinds.append(kind)
    if len(kinds) != width:
        return None
    values: list[Value] = []
    for kind in kinds:
        value, end = _value(payload, end, kind)
        values.append(value)
    return values


def _value(payload: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, at
    if kind in (8, 9):
        return kind - 8, at
    if kind == 7:
        return float(struct.unpack_from(">d", payload, at)[0]), at + 8
    if kind in _INTEGER_BYTES:
        end = at + _INTEGER_BYTES[kind]
        return int.from_bytes(payload[at:end], "big", signed=True), end
    if kind < 12:
        raise ValueError("no such type")
    end = at + (kind - 12) // 2
    content = payload[at:end]
    if len(content) < end - at:
        raise ValueError("a value that ends too soon")
    return (content.decode() if kind % 2 else content), end


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for _ in range(8):
        byte = data[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 128:
            return value, at
    return value << 8 | data[at], at + 1
