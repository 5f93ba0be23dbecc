"""Consistent overhead byte stuffing (Cheshire and Baker, 1999): bytes without any zero byte.

A block is a code byte n and n - 1 bytes that are not zero; it stands for those bytes and a zero,
except that 0xFF stands for 254 bytes without a zero, and that the last block's zero is not there.
"""

from __future__ import annotations

from radics_mesh.errors import WireError

_FULL = 254
_CODE = [bytes([n]) for n in range(256)]


def encoded_max(length: int) -> int:
    """The most bytes that `length` bytes can become."""
    return length + length // _FULL + 1


def encode(data: bytes) -> bytes:
    """`data` without zero bytes; the delimiter is the caller's to add."""
    parts = data.split(b"\0")
    if len(max(parts, key=len)) < _FULL:
        return b"".join([_CODE[len(part) + 1] + part for part in parts])
    blocks: list[bytes] = []
    for part in parts:
        start, length = 0, len(part)
        while length - start >= _FULL:
            blocks.append(b"\xff")
            blocks.append(part[start : start + _FULL])
            start += _FULL
        blocks.append(_CODE[length - start + 1])
        blocks.append(part[start:])
    if blocks[-2:] == [b"\x01", b""] and len(blocks) > 2 and blocks[-4] == b"\xff":
        del blocks[-2:]  # a full block at the very end needs no empty one behind it
    return b"".join(blocks)


def decode(data: bytes) -> bytes:
    """Inverse of `encode`; WireError for a zero byte or a block that runs over the end.

    In place: what stands where a code stood is the zero before the next block, but for the first
    code and those after full blocks, which go.
    """
    if b"\0" in data:
        raise WireError("cobs: a zero byte inside")
    plain = bytearray(data)
    parts: list[bytearray] = []
    at, start, end = 0, 1, len(data)
    while at < end:
        code = plain[at]
        plain[at] = 0
        at += code
        if code == 0xFF:
            parts.append(plain[start:at])
            start = at + 1
    if at > end:
        raise WireError("cobs: a block runs over the end")
    parts.append(plain[start:])
    return b"".join(parts)
