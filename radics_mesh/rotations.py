"""The mesh key's epochs: signed statements of which key comes next. Sans-IO.

Epoch 0 is the key that the mesh was founded with; nobody states it. Whoever has the role OPERATE,
or the genesis key, may state a later one. The statement names the new key by
a hash and so can be shown to anybody; the key itself goes sealed to each member that gets it.

A statement says which revocations its maker knew. Who has the key passes it on only once it knows
these, too: otherwise it could give the key to the very node that it was changed for.

Wire form (msgpack):
  [version, mesh id, epoch, key id, overlap (s), when (Unix s), [revocation's tag, ...],
   signer's key, signer's chain, signature]
The chain is empty for the genesis key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from radics_mesh.clock import Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import Digest, NodeId
from radics_mesh.membership import CHAIN_MAX_BYTES, Chain, Mesh
from radics_mesh.revocations import TAG_BYTES, TOTAL_MAX
from radics_mesh.roles import Role

VERSION = 1
CONTEXT = "mesh key"
SECRET_BYTES = 32
KEY_ID_BYTES = 16
# One a second for longer than computers exist.
EPOCH_MAX = 1 << 40
# For how long an older key still counts at most, when somebody does not confirm the new one: time
# enough for whoever is out of reach for a while, against time in which a stolen key still opens.
OVERLAP_S = 3600
OVERLAP_MIN_S, OVERLAP_MAX_S = 1, 30 * 86400
STATEMENT_MAX_BYTES = CHAIN_MAX_BYTES + 512 + TOTAL_MAX * (TAG_BYTES + 2)
# The key is needed by whoever comes back late: an expired rotator's word still counts.
_WHENEVER = Wall(0.0)


@dataclass(frozen=True)
class Rotation:
    """A statement. `knows` are tags of revocations, in order; `chain` is the signer's, packed."""

    mesh_id: Digest
    epoch: int
    key_id: bytes
    overlap_s: int
    when: Wall
    knows: tuple[bytes, ...]
    signer: bytes
    chain: bytes
    signature: bytes

    @property
    def by(self) -> NodeId:
        return NodeId.of_key(self.signer)

    def body(self) -> list[object]:
        """What is signed. Not the chain: the same word may be shown with another proof."""
        return [
            VERSION,
            bytes(self.mesh_id),
            self.epoch,
            self.key_id,
            self.overlap_s,
            int(self.when),
            list(self.knows),
            self.signer,
        ]

    def pack(self) -> bytes:
        return pack([*self.body(), self.chain, self.signature])

    @classmethod
    def parse(cls, raw: bytes) -> Rotation:
        """WireError for all that is none; says nothing about signatures."""
        fields = Fields.parse(raw, "rotation", limit_bytes=STATEMENT_MAX_BYTES)
        fields.integer(VERSION, VERSION)
        statement = cls(
            mesh_id=Digest(fields.blob(32)),
            epoch=fields.integer(1, EPOCH_MAX),
            key_id=fields.blob(KEY_ID_BYTES),
            overlap_s=fields.integer(OVERLAP_MIN_S, OVERLAP_MAX_S),
            when=Wall(float(fields.integer(0, 1 << 40))),
            knows=_tags(fields.items(limit=TOTAL_MAX)),
            signer=fields.blob(KEY_BYTES),
            chain=fields.blob(limit=CHAIN_MAX_BYTES),
            signature=fields.blob(SIGNATURE_BYTES),
        )
        fields.end()
        return statement

    def check(self, mesh: Mesh) -> None:
        """PeerError unless the genesis key has signed it, or somebody with the role OPERATE.
        Whether that one was revoked since is not asked here."""
        if self.mesh_id != mesh.mesh_id:
            raise PeerError("a rotation of another mesh")
        if self.signer != mesh.genesis:
            chain = Chain.parse(self.chain)
            if mesh.verify(chain, _WHENEVER).public != self.signer:
                raise PeerError("a rotation signed by another key than its chain names")
            if not may_rotate(chain):
                raise PeerError(f"a rotation by {self.by.short}, who may not operate")
        elif self.chain:
            raise PeerError("a rotation by the genesis key, with a chain")
        verify(self.signer, CONTEXT, pack(self.body()), self.signature)


def may_rotate(chain: Chain) -> bool:
    """Whether the last one of a chain may change the mesh key."""
    return Role.OPERATE in chain.member.roles


def key_id_of(mesh: Mesh, epoch: int, secret: bytes) -> bytes:
    """What names a key in public."""
    return Digest.of(pack([CONTEXT, bytes(mesh.mesh_id), epoch, secret]))[:KEY_ID_BYTES]


def rotate(
    signer: Identity,
    chain: bytes,
    mesh: Mesh,
    secret: bytes,
    *,
    epoch: int,
    overlap_s: int,
    when: Wall,
    knows: Iterable[bytes],
) -> Rotation:
    """Sign that this is the key of an epoch. UsageError when the signer may not, or for an overlap
    out of bounds."""
    if signer.public != mesh.genesis and not may_rotate(Chain.parse(chain)):
        raise UsageError(
            "only members that may operate, or the genesis key, may change the mesh key"
        )
    if not OVERLAP_MIN_S <= overlap_s <= OVERLAP_MAX_S:
        raise UsageError(
            f"an old key counts for {OVERLAP_MIN_S} s to {OVERLAP_MAX_S // 86400} days"
        )
    if epoch > EPOCH_MAX:
        raise UsageError("there are no more epochs; revoke whoever has used them up")
    unsigned = Rotation(
        mesh.mesh_id,
        epoch,
        key_id_of(mesh, epoch, secret),
        overlap_s,
        Wall(float(max(0, int(when)))),
        tuple(sorted(knows)),
        signer.public,
        chain,
        b"",
    )
    return replace(unsigned, signature=signer.sign(CONTEXT, pack(unsigned.body())))


def _tags(items: list[object]) -> tuple[bytes, ...]:
    fields = Fields(items, "rotation")
    return tuple(fields.blob(TAG_BYTES) for _ in items)
