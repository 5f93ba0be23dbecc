"""Who owns a virtual machine: a signed chain from its birth, one link for each hand-over.

A VM's id is a hash of its birth certificate, which its first holder signed. Every later link
binds the next epoch, the next holder and the hash of the exact snapshot that the next holder may
start from. Only such a link moves a VM or redirects its bundles; a mere claim does neither.

A release is signed by the previous holder. A recovery is not: whoever has a checkpoint goes on
from there because the holder is lost, under a mandate that the holder had signed for it, or
because an operator forced it. It is signed by the new holder, so it says who did it.

Recoveries make branches: the lost holder may be alive, and hand over, too. Which of two chains of
a VM counts (`beats`) is decided where they part, never by what was added since, so any two nodes
agree whichever parts they know, and a branch that has lost has lost for good:
  a longer chain beats its own beginning;
  forced beats mandated beats released;
  of two mandated ones the later checkpoint; then, by lot, the greater digest.
Two releases of one epoch are the doing of a node that was set back to an older state of its disk
(or lies). A recovery's epoch is the next multiple of BRANCH_EPOCHS, above whatever the lost holder
will have reached: whoever sees only epochs is not misled either.

Wire forms (msgpack):
  birth  [version, name, image digest, holder key, nonce, signature]         epoch 1
  link   [epoch, holder key, snapshot digest, signature]                     epochs 2, 3, ...
         [epoch, holder key, snapshot digest, signature, mandate]            a recovery
  mandate  [] forced, else [number of the checkpoint, silence (s), signature]
  chain  [birth, link, link, ...]
A link's signature covers the VM's id and the digest of all before it, so it fits one place only.
"""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import PeerError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import Digest, NodeId, VmId

VERSION = 1
CHAIN_MAX_BYTES = 64 * 1024
# Room for the hand-overs of one branch.
BRANCH_EPOCHS = 1 << 16
AFTER_MAX_S = 366 * 86400
_BIRTH = "vm birth"
_LINK = "vm release"
_RECOVERY = "vm recovery"
_MANDATE = "vm mandate"


def moves_by(epoch: int) -> int:
    """How often a VM was handed over, as far as its epoch tells: in this branch."""
    return max(0, epoch - 1) if epoch < BRANCH_EPOCHS else epoch % BRANCH_EPOCHS


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
class Mandate:
    """What a holder allows a keeper of its checkpoint. `after_s` of silence: then the keeper may
    restart the VM from `snapshot`; 0: only keep it. `serial` counts the holder's checkpoints."""

    serial: int
    after_s: int
    signature: bytes

    def fields(self) -> list[object]:
        return [self.serial, self.after_s, self.signature]


@dataclass(frozen=True)
class Link:
    """One hand-over: from `epoch` on the VM is `holder`'s, who starts from `snapshot`.

    `recovery`: it was not released. Then `mandate`, or None where it was forced."""

    epoch: int
    holder: bytes
    snapshot: Digest
    signature: bytes
    recovery: bool = False
    mandate: Mandate | None = None

    def body(self) -> list[object]:
        body: list[object] = [self.epoch, self.holder, bytes(self.snapshot)]
        if self.recovery:
            body.append(self.mandate.fields() if self.mandate else [])
        return body

    def fields(self) -> list[object]:
        body = self.body()
        return [*body[:3], self.signature, *body[3:]]

    @property
    def how(self) -> str:
        """released, mandated or forced."""
        if not self.recovery:
            return "released"
        return "mandated" if self.mandate else "forced"

    @property
    def weight(self) -> tuple[int, int, bytes]:
        """What decides between two links in one place."""
        rank = ("released", "mandated", "forced").index(self.how)
        serial = self.mandate.serial if self.mandate else 0
        return rank, serial, bytes(Digest.of(pack(self.fields())))


@dataclass(frozen=True)
class Ownership:
    """A whole chain. Made only by `born`, `released`, `recovered` and `parse`, so its links fit
    together."""

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
    def holder_key(self) -> bytes:
        return self.links[-1].holder if self.links else self.birth.holder

    @property
    def holder(self) -> NodeId:
        return NodeId.of_key(self.holder_key)

    @property
    def before(self) -> Ownership:
        """The chain without its last link."""
        return Ownership(self.birth, self.links[:-1])

    @property
    def holders(self) -> list[NodeId]:
        """All who have had it, the present one last."""
        keys = [self.birth.holder, *(link.holder for link in self.links)]
        return [NodeId.of_key(key) for key in keys]

    @property
    def is_recovered(self) -> bool:
        """Whether the holder did not get it from the one before."""
        return bool(self.links) and self.links[-1].recovery

    @property
    def branch(self) -> int:
        """How often it was recovered."""
        return sum(link.recovery for link in self.links)

    @property
    def snapshot(self) -> Digest | None:
        """What the holder may start from; None before the first hand-over."""
        return self.links[-1].snapshot if self.links else None

    @property
    def digest(self) -> Digest:
        return Digest.of(self.pack())

    def pack(self) -> bytes:
        links = [link.fields() for link in self.links]
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

    def mandate(
        self, holder: Identity, keeper_key: bytes, snapshot: Digest, serial: int, after_s: int
    ) -> Mandate:
        """The holder's word that `keeper_key`'s node may go on from a checkpoint (see Mandate)."""
        if self.holder != holder.node_id:
            raise PeerError(f"{holder.node_id.short} does not hold {self.name}")
        mandate = Mandate(serial, after_s, b"")
        signature = holder.sign(_MANDATE, self._mandated(mandate, keeper_key, snapshot))
        return Mandate(serial, after_s, signature)

    def check_mandate(self, mandate: Mandate, keeper_key: bytes, snapshot: Digest) -> None:
        """PeerError unless this chain's holder has signed it for this keeper and snapshot."""
        signed = self._mandated(mandate, keeper_key, snapshot)
        verify(self.holder_key, _MANDATE, signed, mandate.signature)

    def _mandated(self, mandate: Mandate, keeper_key: bytes, snapshot: Digest) -> bytes:
        words = [bytes(self.digest), keeper_key, bytes(snapshot), mandate.serial, mandate.after_s]
        return pack(words)

    def recovered(
        self, keeper: Identity, snapshot: Digest, mandate: Mandate | None = None
    ) -> Ownership:
        """The chain after `keeper` took the VM over from a lost holder; None: it was forced.

        PeerError: the mandate is not for this, or allows no restart.
        """
        if mandate is not None:
            self._check_allows(mandate, keeper.public, snapshot)
        unsigned = Link(self._recovery_epoch, keeper.public, snapshot, b"", True, mandate)
        signature = keeper.sign(_RECOVERY, pack([bytes(self.digest), unsigned.body()]))
        link = Link(unsigned.epoch, keeper.public, snapshot, signature, True, mandate)
        return Ownership(self.birth, (*self.links, link))

    def _check_allows(self, mandate: Mandate, keeper_key: bytes, snapshot: Digest) -> None:
        self.check_mandate(mandate, keeper_key, snapshot)
        if mandate.after_s == 0:
            raise PeerError(f"{self.name} may be kept, but not be restarted")

    @property
    def _recovery_epoch(self) -> int:
        return (self.epoch // BRANCH_EPOCHS + 1) * BRANCH_EPOCHS

    def extends(self, older: Ownership) -> bool:
        """Whether `older` is a prefix of this chain (or equal)."""
        return self.birth == older.birth and self.links[: len(older.links)] == older.links

    def beats(self, other: Ownership) -> bool:
        """Whether of two chains of one VM this one counts: a total order (see the module)."""
        if self.birth != other.birth:  # one body signed twice: nobody does that, but it has an end
            return self.birth.signature > other.birth.signature
        for mine, theirs in zip(self.links, other.links, strict=False):
            if mine != theirs:
                return mine.weight > theirs.weight
        return len(self.links) > len(other.links)

    def overrules(self, other: Ownership) -> bool:
        """Whether it beats `other` by another way than the hand-overs of who held that."""
        grown = self.extends(other) and not any(
            link.recovery for link in self.links[len(other.links) :]
        )
        return self.beats(other) and not grown

    def beginning_that_beats(self, other: Ownership) -> Ownership:
        """The shortest beginning of this chain that beats `other`, which this chain does."""
        shared = 0
        for mine, theirs in zip(self.links, other.links, strict=False):
            if mine != theirs:
                break
            shared += 1
        return Ownership(self.birth, self.links[: shared + 1])

    @classmethod
    def parse(cls, data: bytes) -> Ownership:
        """A chain whose every signature holds; WireError or PeerError otherwise."""
        fields = Fields.parse(data, "ownership", limit_bytes=CHAIN_MAX_BYTES)
        chain = cls(_parse_birth(fields.any()))
        while fields.has_more:
            chain = chain._grown(_parse_link(fields.any()))
        fields.end()
        return chain

    def _grown(self, link: Link) -> Ownership:
        """With a link that came from outside; PeerError when it does not fit."""
        epoch = self._recovery_epoch if link.recovery else self.epoch + 1
        if link.epoch != epoch:
            raise PeerError("ownership: an epoch is missing or repeated")
        if link.mandate is not None:
            self._check_allows(link.mandate, link.holder, link.snapshot)
        signer = link.holder if link.recovery else self.holder_key
        context = _RECOVERY if link.recovery else _LINK
        verify(signer, context, pack([bytes(self.digest), link.body()]), link.signature)
        return Ownership(self.birth, (*self.links, link))


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
    epoch, holder = fields.integer(2, 1 << 32), fields.blob(KEY_BYTES)
    snapshot, signature = Digest(fields.blob(32)), fields.blob(SIGNATURE_BYTES)
    recovery, mandate = fields.has_more, None
    if recovery:
        words = fields.items(limit=3)
        mandate = parse_mandate(words) if words else None
    fields.end()
    return Link(epoch, holder, snapshot, signature, recovery, mandate)


def parse_mandate(value: object) -> Mandate:
    """WireError for what is none; whose it is, `Ownership.check_mandate` tells."""
    fields = Fields(value, "mandate")
    mandate = Mandate(
        fields.integer(1, 1 << 53), fields.integer(0, AFTER_MAX_S), fields.blob(SIGNATURE_BYTES)
    )
    fields.end()
    return mandate
