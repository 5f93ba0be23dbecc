"""What is signed about an image: what it is, how to run it, and the hash of each piece.

The image's own name is the hash of its whole content; the manifest says the rest and binds it to
the member that brought the image into the mesh (the builder). The pieces' hashes let an image be
gathered from several holders, in any order, over days, without believing any of them.

Wire form (msgpack), its digest is not used anywhere:
  signed    [manifest, signer's key, signature, chain]
  manifest  [version, image digest, architecture, size, name, memory (0: not said), [argument],
            [source], created (Unix s), piece hashes], version 1; version 2 goes on with
            restart, policy, and says at least one of them
  hashes    32 bytes for each PIECE_BYTES of the image, the last one of what is left
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from radics_mesh.clock import Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import PeerError, WireError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import DIGEST_BYTES, Digest, NodeId
from radics_mesh.membership import CHAIN_MAX_BYTES, Verifier
from radics_mesh.vmm.images import IMAGE_MAX_BYTES, ImageInfo

# What says nothing new is written as before, so that its signature and older nodes stay content.
_FIRST, VERSION = 1, 2
CONTEXT = "image manifest"
# A bundle each. Smaller: less is sent again over a link that breaks; larger: fewer bundles.
PIECE_BYTES = 256 << 10
MANIFEST_MAX_BYTES = 1 << 18
_WORDS_MAX = 256
_CHOICE_MAX = 64
# What `build` has signed lies beside the image, under its name and this.
SUFFIX = ".manifest"


@dataclass(frozen=True)
class ImageManifest:
    """`memory_bytes`, `arguments`, `sources`, `restart`, `policy`: for `run` where its user says
    nothing else; the last two in the words of `run`, and checked there."""

    image: Digest
    architecture: str
    size_bytes: int
    name: str
    memory_bytes: int
    arguments: tuple[str, ...]
    sources: tuple[str, ...]
    created: int
    hashes: bytes = field(repr=False)
    restart: str = ""
    policy: str = ""

    @property
    def pieces(self) -> int:
        return len(self.hashes) // DIGEST_BYTES

    def is_piece(self, index: int, data: bytes) -> bool:
        """Whether this is the whole true piece of that number."""
        at = index * DIGEST_BYTES
        return hashlib.sha256(data).digest() == self.hashes[at : at + DIGEST_BYTES]

    def pack(self) -> bytes:
        more = [self.restart, self.policy] if self.restart or self.policy else []
        return pack(
            [
                VERSION if more else _FIRST,
                bytes(self.image),
                self.architecture,
                self.size_bytes,
                self.name,
                self.memory_bytes,
                list(self.arguments),
                list(self.sources),
                self.created,
                self.hashes,
                *more,
            ]
        )

    @classmethod
    def parse(cls, data: bytes) -> ImageManifest:
        fields = Fields.parse(data, "image manifest", limit_bytes=MANIFEST_MAX_BYTES)
        version = fields.integer(_FIRST, VERSION)
        manifest = cls(
            image=Digest(fields.blob(DIGEST_BYTES)),
            architecture=fields.text(limit=32),
            size_bytes=fields.integer(1, IMAGE_MAX_BYTES),
            name=fields.text(limit=64),
            memory_bytes=fields.integer(0, 1 << 40),
            arguments=_texts(fields.items(limit=_WORDS_MAX)),
            sources=_texts(fields.items(limit=_WORDS_MAX)),
            created=fields.integer(0, 1 << 62),
            hashes=fields.blob(limit=MANIFEST_MAX_BYTES),
            restart=fields.text(limit=_CHOICE_MAX) if version > _FIRST else "",
            policy=fields.text(limit=_CHOICE_MAX) if version > _FIRST else "",
        )
        fields.end()
        if version > _FIRST and not (manifest.restart or manifest.policy):
            raise WireError("image manifest: of version 2 without a reason")
        if len(manifest.hashes) != -(-manifest.size_bytes // PIECE_BYTES) * DIGEST_BYTES:
            raise WireError("image manifest: not a hash for each piece")
        return manifest


@dataclass(frozen=True)
class SignedManifest:
    """Made by `sign`, or by `parse`, which checks it."""

    manifest: ImageManifest
    signer: bytes
    signature: bytes = field(repr=False)
    chain: bytes = field(repr=False)

    @property
    def builder(self) -> NodeId:
        return NodeId.of_key(self.signer)

    def pack(self) -> bytes:
        return pack([self.manifest.pack(), self.signer, self.signature, self.chain])

    @classmethod
    def parse(cls, data: bytes, verifier: Verifier, now: Wall) -> SignedManifest:
        """WireError: malformed. PeerError: signed by no member (any more), or altered."""
        fields = Fields.parse(data, "image manifest", limit_bytes=2 * MANIFEST_MAX_BYTES)
        packed, signer = fields.blob(limit=MANIFEST_MAX_BYTES), fields.blob(KEY_BYTES)
        signature, chain = fields.blob(SIGNATURE_BYTES), fields.blob(limit=CHAIN_MAX_BYTES)
        fields.end()
        if verifier.member(chain, now).public != signer:
            raise PeerError("image manifest signed by another key than its chain names")
        verify(signer, CONTEXT, packed, signature)
        return cls(ImageManifest.parse(packed), signer, signature, chain)


@dataclass(frozen=True)
class Wishes:
    """How an image is to be run, unless its user says otherwise; `name` is for people."""

    name: str = ""
    memory_bytes: int = 0
    arguments: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    restart: str = ""
    policy: str = ""

    def __bool__(self) -> bool:
        """Whether anything is wished but a name."""
        return bool(
            self.memory_bytes or self.arguments or self.sources or self.restart or self.policy
        )


def beside(image: Path) -> Path:
    """Where the manifest of an image file is, if it has one."""
    return image.with_name(image.name + SUFFIX)


def sign(
    content: bytes, info: ImageInfo, wishes: Wishes, created: int, identity: Identity, chain: bytes
) -> SignedManifest:
    """The manifest of an image that `images.inspect` has found to be `info`."""
    manifest = ImageManifest(
        image=info.digest,
        architecture=info.architecture,
        size_bytes=info.size_bytes,
        name=wishes.name[:64],
        memory_bytes=wishes.memory_bytes,
        arguments=wishes.arguments,
        sources=wishes.sources,
        created=created,
        hashes=b"".join(hashlib.sha256(piece).digest() for piece in cut(content)),
        restart=wishes.restart,
        policy=wishes.policy,
    )
    signature = identity.sign(CONTEXT, manifest.pack())
    return SignedManifest(manifest, identity.public, signature, chain)


def cut(content: bytes) -> list[bytes]:
    return [content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES)]


def _texts(items: Sequence[object]) -> tuple[str, ...]:
    if not all(isinstance(item, str) for item in items):
        raise WireError("image manifest: not a list of texts")
    return tuple(str(item) for item in items)
