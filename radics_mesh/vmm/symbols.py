"""The symbols that `build -g` adds to an image.

They stand behind everything that a loader looks at:
  zstd of an ELF file that has the program's symbols and line numbers, but none of its code
  | u64 length of that | "RdCSsyms"
They travel with the image, so whichever node a VM is on can explain how it ended.
"""

from __future__ import annotations

import struct

import zstandard

from radics_mesh.errors import WireError

SYMBOLS_MAX = 256 << 20
_MAGIC = b"RdCSsyms"
_TRAILER = struct.Struct("<Q8s")


def pack_symbols(symbols: bytes) -> bytes:
    """What an image ends with."""
    packed = zstandard.ZstdCompressor(level=10, write_content_size=True).compress(symbols)
    return packed + _TRAILER.pack(len(packed), _MAGIC)


def symbols_of(image: bytes) -> bytes | None:
    """None: it was built without -g. WireError: they are damaged."""
    if len(image) < _TRAILER.size or image[-len(_MAGIC) :] != _MAGIC:
        return None
    end = len(image) - _TRAILER.size
    length, _ = _TRAILER.unpack_from(image, end)
    if length > end:
        raise WireError("image: its symbols are cut off")
    packed = image[end - length : end]
    try:
        if not 0 <= zstandard.frame_content_size(packed) <= SYMBOLS_MAX:
            raise WireError("image: its symbols are too long")
        return zstandard.ZstdDecompressor().decompress(packed, max_output_size=SYMBOLS_MAX)
    except zstandard.ZstdError as error:
        raise WireError("image: its symbols are damaged") from error
