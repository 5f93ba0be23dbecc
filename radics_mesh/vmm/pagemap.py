"""Which pages a VM has, as two nodes tell each other: the hash of each by its number, whole or as
what has changed since a map that the other one has.

    delta = encode(before, after)                  `before` empty: the whole map
    after = decode(delta, before, pages_max=...)
    digest_of(after)                               what the map goes by

Wire form: zstd of msgpack [runs of removed pages, runs of set pages, their hashes, tail].
  runs: as in a manifest; hashes: 32 bytes a page, in that order; tail: whatever goes along.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

import zstandard

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.ids import DIGEST_BYTES, Digest
from radics_mesh.vmm.manifest import MAILBOX_MAX_BYTES, pack_runs, parse_runs
from radics_mesh.vmm.ram import PAGE_BYTES

PageMap = Mapping[int, bytes]
# A run and a hash a page at most, and what may go along.
_ENTRY_BYTES = 8 + 8 + DIGEST_BYTES
_TAIL_MAX_BYTES = MAILBOX_MAX_BYTES + (64 << 10)
_LEVEL = 1


def pages_of(memory_bytes: int) -> int:
    return memory_bytes // PAGE_BYTES


def encode(before: PageMap, after: PageMap, tail: bytes = b"") -> bytes:
    """What makes `after` of `before`."""
    removed = sorted(number for number in before if number not in after)
    changed = sorted(number for number, digest in after.items() if before.get(number) != digest)
    hashes = b"".join([after[number] for number in changed])
    body = pack([pack_runs(removed), pack_runs(changed), hashes, tail])
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(body)


def decode(data: bytes, before: PageMap, memory_bytes: int) -> tuple[dict[int, bytes], bytes]:
    """The map that `encode` was given, and the tail. WireError: it cannot be one."""
    limit = pages_of(memory_bytes) * _ENTRY_BYTES + _TAIL_MAX_BYTES
    fields = Fields.parse(_inflate(data, limit), "page map", limit_bytes=limit)
    removed = parse_runs(fields.blob(limit=limit), memory_bytes)
    changed = parse_runs(fields.blob(limit=limit), memory_bytes)
    hashes = fields.blob(len(changed) * DIGEST_BYTES, limit=limit)
    tail = fields.blob(limit=_TAIL_MAX_BYTES)
    fields.end()
    after = dict(before)
    for number in removed:
        if after.pop(number, None) is None:
            raise WireError("page map: it removes a page that was not there")
    after.update(zip(changed, _cut(hashes), strict=True))
    return after, tail


def _inflate(data: bytes, limit: int) -> bytes:
    try:
        if not 0 <= zstandard.frame_content_size(data) <= limit:
            raise WireError("page map: too long")
        decompressor = zstandard.ZstdDecompressor()
        return decompressor.decompress(data, max_output_size=limit, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise WireError("page map: cannot be decompressed") from error


def _cut(hashes: bytes) -> Iterator[bytes]:
    for at in range(0, len(hashes), DIGEST_BYTES):
        yield hashes[at : at + DIGEST_BYTES]


def digest_of(pages: PageMap) -> Digest:
    numbers = sorted(pages)
    hasher = hashlib.sha256(pack_runs(numbers))
    hasher.update(b"".join([pages[number] for number in numbers]))
    return Digest(hasher.digest())


def encode_indices(indices: Iterable[int], count: int) -> bytes:
    """Some of the first `count` numbers, as few bytes."""
    bits = bytearray(-(-count // 8))
    for index in indices:
        bits[index >> 3] |= 1 << (index & 7)
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(bytes(bits))


def decode_indices(data: bytes, count: int) -> list[int]:
    """Inverse; WireError for what cannot be of `count` numbers."""
    bits = _inflate(data, -(-count // 8))
    if len(bits) != -(-count // 8):
        raise WireError("a list of pages of another length")
    found = [
        8 * at + bit for at, byte in enumerate(bits) if byte for bit in range(8) if byte >> bit & 1
    ]
    if found and found[-1] >= count:
        raise WireError("a list of pages that are not there")
    return found
