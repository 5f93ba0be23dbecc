"""Snapshots in one piece: a parked VM's memory as a signed manifest and compressed pages.

A parked VM is nothing but its memory. A snapshot holds every 4 KiB page above the firmware's that
is neither zero nor what QEMU's loader puts there from the image (the template); restoring lays the
template down again, then these pages over it, and leaves the rest zero. The node that took it
signs the manifest, which lists the SHA-256 of every page, so the manifest's digest names the exact
state, and a hand-over binds it. The mailbox inside is the host's business, opaque here.

This form is what is carried, mailed and debugged; on a node the pages are in its store (`stored`).

Wire form:
  magic 8 | total length u64 | head length u32 | head | packs, one after the other
  head      msgpack [manifest, signer's key, signature, chain, [length of each pack]]
  pack      zstd of up to PACK_PAGES pages, in that order
Integers outside msgpack are little-endian. The same pages give the same bytes.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from radics_mesh.clock import Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.durable import write_durably
from radics_mesh.errors import WireError
from radics_mesh.membership import Verifier
from radics_mesh.vmm.manifest import Signed, Signer, Subject, parse_head, sign
from radics_mesh.vmm.pagepack import PACK_PAGES
from radics_mesh.vmm.ram import PAGE_BYTES, held_pages

_LEVEL = 1  # as pagepack's
_MAGIC = b"RdCSsnap"
_FRAME = struct.Struct("<8sQI")


@dataclass(frozen=True)
class Snapshot(Signed):
    """Made by `take`, whose pages are true by origin, or by `unpack`, which checks all of them."""

    packs: tuple[bytes, ...] = field(repr=False)

    def in_one_piece(self) -> Snapshot:
        return self

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """(page number, content), ascending. WireError names a damaged page."""
        for first, content in self.runs():
            for place in range(0, len(content), PAGE_BYTES):
                yield first + place // PAGE_BYTES, content[place : place + PAGE_BYTES]

    def runs(self) -> Iterator[tuple[int, bytes]]:
        """(first page's number, content of neighbouring pages), ascending; errors as `pages`."""
        decompressor = zstandard.ZstdDecompressor()
        for index, packed in enumerate(self.packs):
            held = self.manifest.pages[index * PACK_PAGES : (index + 1) * PACK_PAGES]
            content = _decompress(decompressor, packed, len(held) * PAGE_BYTES, held)
            start = 0
            for end in range(1, len(held) + 1):
                if end == len(held) or held[end] != held[end - 1] + 1:
                    yield held[start], content[start * PAGE_BYTES : end * PAGE_BYTES]
                    start = end

    def check_pages(self) -> None:
        """WireError that names the first page that is not what the manifest says."""
        if len(self.packs) != -(-len(self.manifest.pages) // PACK_PAGES):
            raise WireError("snapshot: pages are missing")
        for index, (number, content) in enumerate(self.pages()):
            if hashlib.sha256(content).digest() != self.manifest.hash(index):
                raise WireError(f"snapshot: page {number} is altered")

    def pack(self) -> bytes:
        lengths = [len(packed) for packed in self.packs]
        head = pack([*self.head(), lengths])
        total = _FRAME.size + len(head) + sum(lengths)
        return b"".join((_FRAME.pack(_MAGIC, total, len(head)), head, *self.packs))

    @classmethod
    def unpack(cls, data: bytes, verifier: Verifier, now: Wall | None) -> Snapshot:
        """A snapshot whose signature and every page hold; `now` as in `check_signature`.

        WireError: malformed, truncated, altered page. PeerError: signed by no member, or not
        signed as it stands. Memory is bounded by what a member signed.
        """
        snapshot = cls._split(data)
        snapshot.check_signature(verifier, now)
        snapshot.check_pages()
        return snapshot

    @classmethod
    def read(cls, data: bytes) -> Snapshot:
        """Whoever signed it: to look at, not to start. WireError: malformed, or altered pages."""
        snapshot = cls._split(data)
        snapshot.check_pages()
        return snapshot

    @classmethod
    def _split(cls, data: bytes) -> Snapshot:
        if data[: len(_MAGIC)] != _MAGIC:
            raise WireError("not a snapshot")
        if len(data) < _FRAME.size:
            raise WireError("snapshot: truncated in its first bytes")
        _, total, head_bytes = _FRAME.unpack_from(data)
        if len(data) < total:
            raise WireError(f"snapshot: truncated, {len(data)} of {total} bytes")
        if len(data) > total or _FRAME.size + head_bytes > total:
            raise WireError("snapshot: its length is wrong")
        start = _FRAME.size + head_bytes
        fields = Fields.parse(data[_FRAME.size : start], "snapshot", limit_bytes=head_bytes)
        signed = parse_head(fields, head_bytes)
        lengths = [_length(item) for item in fields.items(limit=head_bytes)]
        fields.end()
        if start + sum(lengths) != total:
            raise WireError("snapshot: its length is wrong")
        packs = []
        for length in lengths:
            packs.append(data[start : start + length])
            start += length
        return cls(*signed, tuple(packs))

    def save(self, path: Path) -> None:
        """Durably: on return it is on the medium, and never a part of it under this name."""
        write_durably(path, self.pack(), mode=0o600)

    @classmethod
    def load(cls, path: Path, verifier: Verifier, now: Wall) -> Snapshot:
        """As `unpack`; OSError when the file cannot be read."""
        return cls.unpack(path.read_bytes(), verifier, now)


def _length(item: object) -> int:
    if type(item) is not int or item <= 0:
        raise WireError("snapshot: broken list of packs")
    return item


def _decompress(
    decompressor: zstandard.ZstdDecompressor, packed: bytes, length: int, held: tuple[int, ...]
) -> bytes:
    where = f"pages {held[0]} to {held[-1]}" if held else "surplus pages"
    try:
        if zstandard.frame_content_size(packed) != length:
            raise WireError(f"snapshot: {where} are altered")
        content = decompressor.decompress(packed, max_output_size=length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise WireError(f"snapshot: {where} are altered") from error
    if len(content) != length:
        raise WireError(f"snapshot: {where} are altered")
    return content


def take(
    ram: Path,
    memory_bytes: int,
    template: Mapping[int, bytes],
    subject: Subject,
    signer: Signer,
    held: Iterable[tuple[int, bytes, bytes]] | None = None,
) -> Snapshot:
    """A parked VM's snapshot, from its RAM file. Blocks: for a worker thread.

    `template`: page number to content, as QEMU's loader lays it down from the image.
    `held`: (number, SHA-256, content) of the pages to hold, ascending, from a survey of the parked
    VM (see `survey`); without it all of RAM is looked at.
    """
    numbers: list[int] = []
    hashes: list[bytes] = []
    packs: list[bytes] = []
    compressor = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True)
    pending: list[bytes] = []
    if held is None:
        held = _hashed(held_pages(ram, memory_bytes, template))
    for number, digest, content in held:
        numbers.append(number)
        hashes.append(digest)
        pending.append(content)
        if len(pending) == PACK_PAGES:
            packs.append(compressor.compress(b"".join(pending)))
            pending.clear()
    if pending:
        packs.append(compressor.compress(b"".join(pending)))
    signed = sign(subject, memory_bytes, tuple(numbers), b"".join(hashes), signer)
    return Snapshot(*signed, tuple(packs))


def _hashed(pages: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes, bytes]]:
    for number, content in pages:
        yield number, hashlib.sha256(content).digest(), content
