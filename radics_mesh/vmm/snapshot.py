"""Snapshots: a parked VM's memory as a signed manifest and compressed pages.

A parked VM is nothing but its memory. A snapshot holds every 4 KiB page above the firmware's that
is neither zero nor what QEMU's loader puts there from the image (the template); restoring lays the
template down again, then these pages over it, and leaves the rest zero. The node that took it
signs the manifest, which lists the SHA-256 of every page (measured beside BLAKE2b on a processor
with SHA instructions: 2.8 against 4.7 microseconds a page), so the manifest's digest names the
exact state, and a hand-over binds it. The mailbox inside is the host's business, opaque here.

Wire form:
  magic 8 | total length u64 | head length u32 | head | packs, one after the other
  head      msgpack [manifest, signer's key, signature, chain, [length of each pack]]
  manifest  msgpack [version, vm, epoch, image, architecture, cpu, memory, runs, hashes, mailbox,
            created (Unix s)]
  runs      (first page u32, count u32)..., ascending; hashes: 32 bytes a page, in that order
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
from radics_mesh.errors import PeerError, WireError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import DIGEST_BYTES, ID_BYTES, Digest, VmId
from radics_mesh.membership import CHAIN_MAX_BYTES, Verifier
from radics_mesh.vmm import architecture as architectures
from radics_mesh.vmm.architecture import Architecture
from radics_mesh.vmm.ram import FIRMWARE_BYTES, PAGE_BYTES, held_pages

VERSION = 1
CONTEXT = "snapshot manifest"
PACK_PAGES = 256
MAILBOX_MAX_BYTES = 16 << 20
MEMORY_MAX_BYTES = 1 << 36
_LEVEL = 1  # level 3 took twice the time for 5 % fewer bytes of a C++ program's pages
_MAGIC = b"RdCSsnap"
_FRAME = struct.Struct("<8sQI")


@dataclass(frozen=True)
class Manifest:
    """What is signed. `pages`: numbers of the pages held, ascending; `hashes`: 32 bytes each."""

    vm: VmId
    epoch: int
    image: Digest
    architecture: str
    cpu: str
    memory_bytes: int
    pages: tuple[int, ...] = field(repr=False)
    hashes: bytes = field(repr=False)
    mailbox: bytes = field(repr=False)
    created: int

    def pack(self) -> bytes:
        return pack(
            [
                VERSION,
                bytes(self.vm),
                self.epoch,
                bytes(self.image),
                self.architecture,
                self.cpu,
                self.memory_bytes,
                pack_runs(self.pages),
                self.hashes,
                self.mailbox,
                self.created,
            ]
        )

    def hash(self, index: int) -> bytes:
        """Of the `index`-th page held."""
        return self.hashes[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES]

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        fields = Fields.parse(data, "snapshot manifest", limit_bytes=len(data))
        fields.integer(VERSION, VERSION)
        vm, epoch = VmId(fields.blob(ID_BYTES)), fields.integer(1, 1 << 32)
        image = Digest(fields.blob(DIGEST_BYTES))
        architecture, cpu = fields.text(limit=32), fields.text(limit=64)
        memory_bytes = fields.integer(FIRMWARE_BYTES, MEMORY_MAX_BYTES)
        pages = parse_runs(fields.blob(limit=len(data)), memory_bytes)
        hashes = fields.blob(len(pages) * DIGEST_BYTES, limit=len(data))
        mailbox = fields.blob(limit=MAILBOX_MAX_BYTES)
        created = fields.integer(0, 1 << 62)
        fields.end()
        return cls(
            vm, epoch, image, architecture, cpu, memory_bytes, pages, hashes, mailbox, created
        )


def pack_runs(pages: Iterable[int]) -> bytes:
    runs: list[list[int]] = []
    for page in pages:
        if runs and runs[-1][0] + runs[-1][1] == page:
            runs[-1][1] += 1
        else:
            runs.append([page, 1])
    return b"".join(struct.pack("<II", first, count) for first, count in runs)


def parse_runs(data: bytes, memory_bytes: int) -> tuple[int, ...]:
    """Page numbers: ascending, runs as long as can be, all between firmware and memory's end."""
    if len(data) % 8:
        raise WireError("snapshot manifest: broken page map")
    pages: list[int] = []
    after, end = FIRMWARE_BYTES // PAGE_BYTES - 1, memory_bytes // PAGE_BYTES
    for first, count in struct.iter_unpack("<II", data):
        if first <= after or count == 0 or first + count > end:
            raise WireError("snapshot manifest: broken page map")
        pages.extend(range(first, first + count))
        after = first + count
    return tuple(pages)


@dataclass(frozen=True)
class Snapshot:
    """Made by `take`, whose pages are true by origin, or by `unpack`, which checks all of them."""

    manifest: Manifest
    signer: bytes
    signature: bytes = field(repr=False)
    chain: bytes = field(repr=False)
    packs: tuple[bytes, ...] = field(repr=False)

    @property
    def digest(self) -> Digest:
        """Names this exact state: hash of the manifest, which covers every page's hash."""
        return Digest.of(self.manifest.pack())

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

    def check_fits(self, image: Digest, architecture: Architecture | None = None) -> None:
        """PeerError that says why this host and image cannot carry the state on.

        `architecture`: the image's, when it is here; else the snapshot's own is believed.
        """
        manifest = self.manifest
        wanted = architecture or architectures.ALL.get(manifest.architecture)
        if wanted is None:
            raise PeerError(f"snapshot of a {manifest.architecture} guest: none run here")
        if (manifest.architecture, manifest.cpu) != (wanted.name, wanted.baseline):
            raise PeerError(
                f"snapshot of a {manifest.architecture} {manifest.cpu} guest, "
                f"not {wanted.name} {wanted.baseline}"
            )
        if manifest.image != image:
            raise PeerError(
                f"snapshot of image {manifest.image.short}, not of {image.short}: wrong image"
            )

    def pack(self) -> bytes:
        lengths = [len(packed) for packed in self.packs]
        head = pack([self.manifest.pack(), self.signer, self.signature, self.chain, lengths])
        total = _FRAME.size + len(head) + sum(lengths)
        return b"".join((_FRAME.pack(_MAGIC, total, len(head)), head, *self.packs))

    @classmethod
    def unpack(cls, data: bytes, verifier: Verifier, now: Wall) -> Snapshot:
        """A snapshot whose signature and every page hold.

        WireError: malformed, truncated, altered page. PeerError: signed by no member, or not
        signed as it stands. Memory is bounded by what a member signed.
        """
        snapshot = cls._split(data)
        if verifier.member(snapshot.chain, now).public != snapshot.signer:
            raise PeerError("snapshot signed by another key than its chain names")
        verify(snapshot.signer, CONTEXT, snapshot.manifest.pack(), snapshot.signature)
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
        packed, signer = fields.blob(limit=head_bytes), fields.blob(KEY_BYTES)
        signature, chain = fields.blob(SIGNATURE_BYTES), fields.blob(limit=CHAIN_MAX_BYTES)
        lengths = [_length(item) for item in fields.items(limit=head_bytes)]
        fields.end()
        if start + sum(lengths) != total:
            raise WireError("snapshot: its length is wrong")
        manifest = Manifest.parse(packed)
        if manifest.pack() != packed:
            raise WireError("snapshot manifest: not in its one form")
        packs = []
        for length in lengths:
            packs.append(data[start : start + length])
            start += length
        return cls(manifest, signer, signature, chain, tuple(packs))

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


@dataclass(frozen=True)
class Subject:
    """What a snapshot says of its VM beside the memory."""

    vm: VmId
    epoch: int
    image: Digest
    architecture: str
    cpu: str
    mailbox: bytes
    created: int


@dataclass(frozen=True)
class Signer:
    """The node that takes snapshots, with its packed membership chain."""

    identity: Identity
    chain: bytes


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
    manifest = Manifest(
        subject.vm,
        subject.epoch,
        subject.image,
        subject.architecture,
        subject.cpu,
        memory_bytes,
        tuple(numbers),
        b"".join(hashes),
        subject.mailbox,
        subject.created,
    )
    signature = signer.identity.sign(CONTEXT, manifest.pack())
    return Snapshot(manifest, signer.identity.public, signature, signer.chain, tuple(packs))


def _hashed(pages: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes, bytes]]:
    for number, content in pages:
        yield number, hashlib.sha256(content).digest(), content
