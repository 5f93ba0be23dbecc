"""What names a parked VM's whole state: a signed list of its pages' hashes, and its mailbox.

  manifest  msgpack [version, vm, epoch, image, architecture, cpu, memory, runs, hashes, mailbox,
            created (Unix s)]
  runs      (first page u32, count u32)..., ascending; hashes: 32 bytes a page, in that order
Integers outside msgpack are little-endian. The same state gives the same bytes.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

from radics_mesh.clock import Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import PeerError, WireError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import DIGEST_BYTES, ID_BYTES, Digest, VmId
from radics_mesh.membership import CHAIN_MAX_BYTES, Verifier
from radics_mesh.vmm import architecture as architectures
from radics_mesh.vmm.architecture import Architecture
from radics_mesh.vmm.ram import FIRMWARE_BYTES, PAGE_BYTES

if TYPE_CHECKING:
    from radics_mesh.vmm.snapshot import Snapshot

VERSION = 1
CONTEXT = "snapshot manifest"
MAILBOX_MAX_BYTES = 16 << 20
MEMORY_MAX_BYTES = 1 << 36
_RUN = struct.Struct("<II")


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

    @cached_property
    def _packed(self) -> bytes:
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

    def pack(self) -> bytes:
        return self._packed

    @cached_property
    def digest(self) -> Digest:
        return Digest.of(self.pack())

    def page_hashes(self) -> tuple[bytes, ...]:
        """One a page held, in their order."""
        return self._page_hashes

    @cached_property
    def _page_hashes(self) -> tuple[bytes, ...]:
        places = range(0, len(self.hashes), DIGEST_BYTES)
        return tuple([self.hashes[at : at + DIGEST_BYTES] for at in places])

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
        manifest = cls(
            vm, epoch, image, architecture, cpu, memory_bytes, pages, hashes, mailbox, created
        )
        if manifest.pack() != data:
            raise WireError("snapshot manifest: not in its one form")
        return manifest


def pack_runs(pages: Iterable[int]) -> bytes:
    runs: list[bytes] = []
    first = last = -1
    for page in pages:  # a hundred thousand in a pause
        if page != last + 1 or first < 0:
            if first >= 0:
                runs.append(_RUN.pack(first, last + 1 - first))
            first = page
        last = page
    if first >= 0:
        runs.append(_RUN.pack(first, last + 1 - first))
    return b"".join(runs)


def parse_runs(data: bytes, memory_bytes: int) -> tuple[int, ...]:
    """Page numbers: ascending, runs as long as can be, all between firmware and memory's end."""
    if len(data) % _RUN.size:
        raise WireError("snapshot manifest: broken page map")
    pages: list[int] = []
    after, end = FIRMWARE_BYTES // PAGE_BYTES - 1, memory_bytes // PAGE_BYTES
    for first, count in _RUN.iter_unpack(data):
        if first <= after or count == 0 or first + count > end:
            raise WireError("snapshot manifest: broken page map")
        pages.extend(range(first, first + count))
        after = first + count
    return tuple(pages)


@dataclass(frozen=True)
class Signed(ABC):
    """A manifest with the signature of the node that made it; where its pages are is another's
    affair (`snapshot.Snapshot`: they are in it, `stored.Stored`: in a page store)."""

    manifest: Manifest
    signer: bytes
    signature: bytes = field(repr=False)
    chain: bytes = field(repr=False)

    @property
    def digest(self) -> Digest:
        """Names this exact state: hash of the manifest, which covers every page's hash."""
        return self.manifest.digest

    @abstractmethod
    def runs(self) -> Iterator[tuple[int, bytes]]:
        """(first page's number, content of neighbouring pages). WireError, GuestError: a damaged
        page's name."""

    @abstractmethod
    def in_one_piece(self) -> Snapshot:
        """With all its pages, to be carried elsewhere. Blocks; errors as `runs`."""

    def head(self) -> list[object]:
        """What its file begins with, for msgpack."""
        return [self.manifest.pack(), self.signer, self.signature, self.chain]

    def check_signature(self, verifier: Verifier, now: Wall | None) -> None:
        """PeerError: signed by no member, or not signed as it stands.

        `now` None: this node took it when its signer was a member; it may be none any more.
        """
        chain = self.chain
        member = verifier.was_member(chain) if now is None else verifier.member(chain, now)
        if member.public != self.signer:
            raise PeerError("snapshot signed by another key than its chain names")
        verify(self.signer, CONTEXT, self.manifest.pack(), self.signature)

    def vouched(self, signer: Signer) -> Self:
        """The same state in another's name, who has verified it."""
        signature = signer.identity.sign(CONTEXT, self.manifest.pack())
        public = signer.identity.public
        return replace(self, signer=public, signature=signature, chain=signer.chain)

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


def sign(
    subject: Subject, memory_bytes: int, numbers: tuple[int, ...], hashes: bytes, signer: Signer
) -> tuple[Manifest, bytes, bytes, bytes]:
    """The fields of `Signed` for a state whose pages are these."""
    manifest = Manifest(
        subject.vm,
        subject.epoch,
        subject.image,
        subject.architecture,
        subject.cpu,
        memory_bytes,
        numbers,
        hashes,
        subject.mailbox,
        subject.created,
    )
    signature = signer.identity.sign(CONTEXT, manifest.pack())
    return manifest, signer.identity.public, signature, signer.chain


def parse_head(fields: Fields, limit_bytes: int) -> tuple[Manifest, bytes, bytes, bytes]:
    """Inverse of `Signed.head`; the fields of `Signed`, unverified."""
    packed, signer = fields.blob(limit=limit_bytes), fields.blob(KEY_BYTES)
    signature, chain = fields.blob(SIGNATURE_BYTES), fields.blob(limit=CHAIN_MAX_BYTES)
    return Manifest.parse(packed), signer, signature, chain
