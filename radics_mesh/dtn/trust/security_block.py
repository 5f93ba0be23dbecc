"""The form that all security blocks share (RFC 6257 section 2.2).

Data: SDNV ciphersuite, SDNV flags (1 result, 2 correlator, 4 parameters), [SDNV correlator],
[SDNV length, parameters], [SDNV length, result]. Parameters and results are items: one type byte,
SDNV length, value.
"""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.dtn.wire import sdnv
from radics_mesh.dtn.wire.blocks import number
from radics_mesh.errors import WireError

# Item types (RFC 6257 section 2.6).
INITIALIZATION_VECTOR, KEY_INFORMATION, CONTENT_RANGE, SIGNATURE = 1, 3, 4, 5
# Of the range for private use there: the length of the payload that a fragment was cut from.
TOTAL_LENGTH = 192

_HAS_RESULT, _HAS_CORRELATOR, _HAS_PARAMETERS = 0x01, 0x02, 0x04


@dataclass(frozen=True, slots=True)
class Items:
    """A block's parameters and result. `before_result` counts the bytes of data before the
    result's items, which is what a signature in the result covers."""

    parameters: dict[int, bytes]
    result: dict[int, bytes]
    before_result: int


def item(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + sdnv.encode(len(value)) + value


def begin(ciphersuite: int, parameters: bytes, result_bytes: int = 0) -> bytes:
    """A block's data up to the items of its result, which must follow when there are any."""
    flags = _HAS_PARAMETERS | (_HAS_RESULT if result_bytes else 0)
    head = sdnv.encode(ciphersuite) + sdnv.encode(flags) + sdnv.encode(len(parameters))
    return head + parameters + (sdnv.encode(result_bytes) if result_bytes else b"")


def parse(data: bytes, ciphersuite: int, *, has_result: bool) -> Items | None:
    """None for another ciphersuite, which is not ours to judge; WireError."""
    suite, offset = number(data, 0)
    if suite != ciphersuite:
        return None
    flags, offset = number(data, offset)
    if flags & _HAS_CORRELATOR:
        _, offset = number(data, offset)
    if flags & ~_HAS_CORRELATOR != _HAS_PARAMETERS | (_HAS_RESULT if has_result else 0):
        raise WireError("security block: parameters or result missing, or unknown parts")
    parameters, end = _span(data, offset)
    result = b""
    if has_result:
        result, end = _span(data, end)
    if end != len(data):
        raise WireError("security block: bytes after its end")
    return Items(_items(parameters), _items(result), len(data) - len(result))


def _span(data: bytes, offset: int) -> tuple[bytes, int]:
    length, offset = number(data, offset)
    if offset + length > len(data):
        raise WireError("security block: a part longer than the block")
    return data[offset : offset + length], offset + length


def _items(data: bytes) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    offset = 0
    while offset < len(data):
        kind = data[offset]
        value, offset = _span(data, offset + 1)
        if kind in values:
            raise WireError(f"security block: item {kind} twice")
        values[kind] = value
    return values
