"""Self-delimiting numeric values (RFC 5050 section 4.1): seven bits a byte, high bit = more follow.

Values of up to 64 bits, so at most ten bytes. Leading zero groups (0x80) are not minimal but
legal, and other implementations send them.
"""

from __future__ import annotations

from radics_mesh.errors import UsageError, WireError

MAX_BYTES = 10
MAX_VALUE = (1 << 64) - 1
_ONE_BYTE = [bytes((value,)) for value in range(128)]


def encode(value: int) -> bytes:
    """The minimal form. UsageError outside 0 to 2**64 - 1."""
    if 0 <= value < 128:
        return _ONE_BYTE[value]
    if not 0 <= value <= MAX_VALUE:
        raise UsageError(f"{value} does not fit a 64-bit SDNV")
    groups = bytearray((value & 0x7F,))
    value >>= 7
    while value:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.reverse()
    return bytes(groups)


def decode(data: bytes | bytearray | memoryview, offset: int = 0) -> tuple[int, int] | None:
    """(value, offset of what follows), or None when `data` ends before the value does.

    WireError for more than ten bytes or 64 bits.
    """
    value = 0
    for position in range(offset, min(len(data), offset + MAX_BYTES)):
        byte = data[position]
        value = value << 7 | byte & 0x7F
        if byte < 128:
            if value > MAX_VALUE:
                raise WireError("an SDNV of more than 64 bits")
            return value, position + 1
    if len(data) - offset >= MAX_BYTES:
        raise WireError(f"an SDNV of more than {MAX_BYTES} bytes")
    return None
