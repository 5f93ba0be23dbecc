"""Who owns a virtual machine: a signed chain from its birth, one link for each hand-over.

A VM's id is a hash of its birth certificate, which its first holder signed. Every later link is
signed by the previous holder and binds the next epoch, the next holder and the hash of the exact
snapshot that the next holder may start from. Only such a link moves a VM or redirects its bundles;
a mere claim does neither.

Wire forms (msgpack):
  birth  [version, name, image digest, holder key, nonce, signature]       epoch 1
  link   [epoch, holder key, snapshot digest, signature]                   epochs 2, 3, ...
  chain  [birth, link, link, ...]
A link's signature covers the VM's id and the digest of all before it, so it fits one place only.
"""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import PeerError, WireError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import Digest, NodeId, VmId

VERSION = 1
CHAIN_MAX_BYTES = 64 * 1024
_BIRTH = "vm birth"
_LINK = "vm release"


@dataclass(frozen=True)
class Birth:
    name: str
    image: Digest
    holder: bytes
    nonce: bytes
    signature: bytes

    def body(self) -> list[object]:
        return [VERSION, self.name, bytes(self.image), self.holder, self.nonce]

    @property
    def vm_id(self) -> VmId:
        return VmId(Digest.of(pack(self.body()))[:20])


@dataclass(frozen=True)
class Link:
    """One hand-over: from `epoch` on the VM is `holder`'s, who starts from `snapshot`."""

    epoch: int
    holder: bytes
    snapshot: Digest
    signature: bytes

    def body(self) -> list[object]:
        return [self.epoch, self.holder, bytes(self.snapshot)]


@dataclass(frozen=True)
class Ownership:
    """A whole chain. Made only by `born`, `released` and `parse`, so its links fit together."""

    birth: Birth
    links: tuple[Link, ...] = ()

    @property
    def vm_id(self) -> VmId:
        return self.birth.vm_id

    @property
    def name(self) -> str:
        return self.birth.name

    @property
    def epoch(self) -> int:
        return self.links[-1].epoch if self.links else 1

    @property
    def holder(self) -> NodeId:
        return NodeId.of_key(self.links[-1].holder if self.links else self.birth.holder)

    @property
    def snapshot(self) -> Digest | None:
        """What the holder may start from; None before the first hand-over."""
        return self.links[-1].snapshot if self.links else None

    @property
    def digest(self) -> Digest:
        return Digest.of(self.pack())

    def pack(self) -> bytes:
        links = [[*link.body(), link.signature] for link in self.links]
        return pack([[*self.birth.body(), self.birth.signature], *links])

    def released(self, holder: Identity, target_key: bytes, snapshot: Digest) -> Ownership:
        """The chain after `holder` has handed the VM over; PeerError if it is not the holder."""
        if self.holder != holder.node_id:
            raise PeerError(f"{holder.node_id.short} does not hold {self.name}")
        link = Link(self.epoch + 1, target_key, snapshot, b"")
        signature = holder.sign(_LINK, pack([bytes(self.digest), link.body()]))
        return Ownership(
            self.birth, (*self.links, Link(link.epoch, target_key, snapshot, signature))
        )

    def extends(self, older: Ownership) -> bool:
        """Whether `older` is a prefix of this chain (or equal)."""
        return self.birth == older.birth and self.links[: len(older.links)] == older.links

    @classmethod
    def parse(cls, data: bytes) -> Ownership:
        """A chain whose every signature holds; WireError or PeerError otherwise."""
        fields = Fields.parse(data, "ownership", limit_bytes=CHAIN_MAX_BYTES)
        chain = cls(_parse_birth(fields.any()))
        holder = chain.birth.holder
        while True:
            try:
                item = fields.any()
            except WireError:
                return chain
            link = _parse_link(item)
            if link.epoch != chain.epoch + 1:
                raise PeerError("ownership: an epoch is missing or repeated")
            signed = pack([bytes(chain.digest), link.body()])
            verify(holder, _LINK, signed, link.signature)
            chain = cls(chain.birth, (*chain.links, link))
            holder = link.holder


def born(holder: Identity, name: str, image: Digest, nonce: bytes) -> Ownership:
    """A new VM's ownership: epoch 1, held by its maker. `nonce` is 16 random bytes."""
    unsigned = Birth(name, image, holder.public, nonce, b"")
    signature = holder.sign(_BIRTH, pack(unsigned.body()))
    return Ownership(Birth(name, image, holder.public, nonce, signature))


def _parse_birth(value: object) -> Birth:
    fields = Fields(value, "vm birth")
    fields.integer(VERSION, VERSION)
    birth = Birth(
        fields.text(limit=128),
        Digest(fields.blob(32)),
        fields.blob(KEY_BYTES),
        fields.blob(16),
        fields.blob(SIGNATURE_BYTES),
    )
    fields.end()
    verify(birth.holder, _BIRTH, pack(birth.body()), birth.signature)
    return birth


def _parse_link(value: object) -> Link:
    fields = Fields(value, "vm link")
    link = Link(
        fields.integer(2, 1 << 32),
        fields.blob(KEY_BYTES),
        Digest(fields.blob(32)),
        fields.blob(SIGNATURE_BYTES),
    )
    fields.end()
    return link
