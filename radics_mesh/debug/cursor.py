"""Bytes taken apart from the front, with DWARF's numbers in them; WireError when they end."""

from __future__ import annotations

from radics_mesh.errors import WireError

_LEB_BYTES_MAX = 10


class Cursor:
    """`start`: the address of the first byte."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._start = start
        self._at = 0

    @property
    def address(self) -> int:
        """Of the next byte."""
        return self._start + self._at

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def skip(self, distance: int) -> None:
        """Forwards or, when negative, backwards."""
        if not 0 <= self._at + distance <= len(self._data):
            raise WireError("DWARF: a jump out of the bytes")
        self._at += distance

    def raw(self, length: int) -> bytes:
        if length > self.left:
            raise WireError("DWARF: cut off")
        self._at += length
        return self._data[self._at - length : self._at]

    def rest(self) -> bytes:
        return self.raw(self.left)

    def unsigned(self, length: int) -> int:
        return int.from_bytes(self.raw(length), "little")

    def signed(self, length: int) -> int:
        return int.from_bytes(self.raw(length), "little", signed=True)

    def uleb(self) -> int:
        return self._leb()[0]

    def sleb(self) -> int:
        value, bits = self._leb()
        return value - (1 << bits) if value >> (bits - 1) else value

    def _leb(self) -> tuple[int, int]:
        value = 0
        for index in range(_LEB_BYTES_MAX):
            byte = self.unsigned(1)
            value |= (byte & 0x7F) << 7 * index
            if not byte & 0x80:
                return value, 7 * (index + 1)
        raise WireError("DWARF: a number without end")

    def until_nul(self) -> bytes:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise WireError("DWARF: a string without end")
        text = self.raw(end - self._at)
        self._at += 1
        return text
