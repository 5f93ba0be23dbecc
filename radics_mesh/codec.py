"""msgpack for everything that we sign, store or send, and typed access to what others sent.

`pack` is canonical enough to sign: lists and scalars only in signed structures, no floats whose
encoding could differ. `unpack` accepts any bytes and raises WireError for all that is not one
msgpack value within the limits; `Fields` takes an array apart with a type check for each item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgpack

from radics_mesh.errors import WireError

# Arrays and maps inside each other. Deeper ones exhaust Python's stack where they are looked at.
DEPTH_MAX = 32


def pack(value: object) -> bytes:
    """One msgpack value; bytes stay binary, text stays text."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def unpack(data: bytes, *, limit_bytes: int = 1 << 20) -> Any:
    """The one msgpack value that `data` holds; WireError for anything else."""
    if len(data) > limit_bytes:
        raise WireError(f"{len(data)} bytes where at most {limit_bytes} are taken")
    try:
        value = msgpack.unpackb(data, raw=False, strict_map_key=False)
    except (msgpack.exceptions.UnpackException, ValueError, RecursionError, TypeError) as error:
        raise WireError(f"not msgpack: {error}") from error
    if _is_deep(value):
        raise WireError(f"more than {DEPTH_MAX} arrays and maps inside each other")
    return value


def unpack_first(data: bytes, *, limit_bytes: int = 1 << 20) -> tuple[Any, bytes]:
    """The msgpack value that `data` begins with, and what follows it; WireError without one."""
    if len(data) > limit_bytes:
        raise WireError(f"{len(data)} bytes where at most {limit_bytes} are taken")
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=limit_bytes)
    unpacker.feed(data)
    try:
        value = unpacker.unpack()
    except (msgpack.exceptions.UnpackException, ValueError, RecursionError, TypeError) as error:
        raise WireError(f"not msgpack: {error}") from error
    if _is_deep(value):
        raise WireError(f"more than {DEPTH_MAX} arrays and maps inside each other")
    return value, data[unpacker.tell() :]


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [
            item
            for one in level
            if isinstance(one, (list, dict))
            for item in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return any(isinstance(one, (list, dict)) for one in level)


class Fields:
    """An array from outside, taken apart from the front, each item checked.

    Every method raises WireError when the item is missing, of another type or out of bounds.
    """

    def __init__(self, value: object, what: str) -> None:
        if not isinstance(value, (list, tuple)):
            raise WireError(f"{what}: not an array")
        self._items: Sequence[object] = value
        self._next = 0
        self._what = what

    @classmethod
    def parse(cls, data: bytes, what: str, *, limit_bytes: int = 1 << 20) -> Fields:
        return cls(unpack(data, limit_bytes=limit_bytes), what)

    @property
    def has_more(self) -> bool:
        return self._next < len(self._items)

    def any(self) -> object:
        if self._next >= len(self._items):
            raise WireError(f"{self._what}: item {self._next} is missing")
        item = self._items[self._next]
        self._next += 1
        return item

    def integer(self, low: int = 0, high: int = (1 << 64) - 1) -> int:
        item = self.any()
        if type(item) is not int or not low <= item <= high:
            raise self._bad(item)
        return item

    def boolean(self) -> bool:
        item = self.any()
        if not isinstance(item, bool):
            raise self._bad(item)
        return item

    def number(self) -> float:
        """A finite int or float, as a float."""
        item = self.any()
        if isinstance(item, bool) or not isinstance(item, (int, float)):
            raise self._bad(item)
        if item != item or abs(item) > 1e300:
            raise self._bad(item)
        return float(item)

    def blob(self, length: int | None = None, *, limit: int = 1 << 20) -> bytes:
        item = self.any()
        if not isinstance(item, bytes) or len(item) > limit:
            raise self._bad(item)
        if length is not None and len(item) != length:
            raise self._bad(item)
        return item

    def text(self, *, limit: int = 255) -> str:
        item = self.any()
        if not isinstance(item, str) or len(item.encode("utf-8", "surrogatepass")) > limit:
            raise self._bad(item)
        return item

    def items(self, *, limit: int = 1024) -> list[object]:
        item = self.any()
        if not isinstance(item, list) or len(item) > limit:
            raise self._bad(item)
        return item

    def mapping(self, *, limit: int = 64) -> dict[str, object]:
        item = self.any()
        if not isinstance(item, dict) or len(item) > limit:
            raise self._bad(item)
        if not all(isinstance(key, str) for key in item):
            raise self._bad(item)
        return item

    def end(self) -> None:
        """Nothing may follow."""
        if self._next != len(self._items):
            raise WireError(f"{self._what}: {len(self._items) - self._next} items too many")

    def _bad(self, item: object) -> WireError:
        return WireError(f"{self._what}: item {self._next - 1} is {repr(item)[:60]}")
