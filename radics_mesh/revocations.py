"""Who is no member any more: signed statements that only ever grow in number. Sans-IO.

A revocation names a key, and is signed by another (or by the same one: a node that leaves). It
counts in every chain of invitations in which its signer stands above the revoked key with the role
OPERATE, is that key, or is the mesh's genesis key; in all other chains it says nothing. So whom a
node did not invite, over whatever steps, it cannot put out; and whoever was invited by a revoked
node is out with it, unless another has invited it too.

What a statement does is told by the statement and the chain alone: not by its date, nor by what
else was revoked, the signer included. Any order of arrival ends in the same set. Of two that
revoke each other the upper one stays, for in no chain does the lower one stand above it.

Wire form (msgpack):
  [version, mesh id, revoked key, its name, when (Unix s), reason, signer's key, signer's chain,
   signature]
The chain shows that the signer is or was a member, and is empty for the genesis key.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from radics_mesh.clock import Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import CapacityError, PeerError, UsageError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import Digest, NodeId
from radics_mesh.membership import CHAIN_MAX_BYTES, Certificate, Chain, Mesh, Verifier
from radics_mesh.roles import Role

VERSION = 1
CONTEXT = "revocation"
REASON_MAX_BYTES = 200
STATEMENT_MAX_BYTES = CHAIN_MAX_BYTES + 512
# Of one signer, and of all. A member can invite itself helpers, so the first alone bounds nothing.
SIGNER_MAX = 256
TOTAL_MAX = 4096
TAG_BYTES = 16
# What a statement is about, and by whom. The rest is for people: of two that differ in that alone
# the first stays.
Name = tuple[bytes, bytes]
# An expired inviter's word still counts: otherwise whom it put out would be back in.
_WHENEVER = Wall(0.0)


@dataclass(frozen=True)
class Revocation:
    """A statement. `chain` is the signer's, packed."""

    mesh_id: Digest
    revoked: bytes
    called: str
    when: Wall
    reason: str
    signer: bytes
    chain: bytes
    signature: bytes

    @property
    def name(self) -> Name:
        return self.revoked, self.signer

    @property
    def tag(self) -> bytes:
        """Its name in TAG_BYTES, as many are named at once."""
        return Digest.of(b"".join(self.name))[:TAG_BYTES]

    @property
    def node_id(self) -> NodeId:
        """Whom it puts out."""
        return NodeId.of_key(self.revoked)

    @property
    def by(self) -> NodeId:
        return NodeId.of_key(self.signer)

    def body(self) -> list[object]:
        """What is signed. Not the chain: the same word may be shown with another proof."""
        return [
            VERSION,
            bytes(self.mesh_id),
            self.revoked,
            self.called,
            int(self.when),
            self.reason,
            self.signer,
        ]

    def pack(self) -> bytes:
        return pack([*self.body(), self.chain, self.signature])

    @classmethod
    def parse(cls, raw: bytes) -> Revocation:
        """WireError for all that is none; says nothing about signatures."""
        fields = Fields.parse(raw, "revocation", limit_bytes=STATEMENT_MAX_BYTES)
        fields.integer(VERSION, VERSION)
        statement = cls(
            mesh_id=Digest(fields.blob(32)),
            revoked=fields.blob(KEY_BYTES),
            called=fields.text(limit=64),
            when=Wall(float(fields.integer(0, 1 << 40))),
            reason=fields.text(limit=REASON_MAX_BYTES),
            signer=fields.blob(KEY_BYTES),
            chain=fields.blob(limit=CHAIN_MAX_BYTES),
            signature=fields.blob(SIGNATURE_BYTES),
        )
        fields.end()
        return statement

    def check(self, mesh: Mesh) -> None:
        """PeerError unless the genesis key or somebody with a chain in this mesh has signed it."""
        if self.mesh_id != mesh.mesh_id:
            raise PeerError("a revocation of another mesh")
        if self.signer != mesh.genesis:
            member = mesh.verify(Chain.parse(self.chain), _WHENEVER)
            if member.public != self.signer:
                raise PeerError("a revocation signed by another key than its chain names")
        elif self.chain:
            raise PeerError("a revocation by the genesis key, with a chain")
        verify(self.signer, CONTEXT, pack(self.body()), self.signature)


def revoke(
    signer: Identity, chain: bytes, member: Certificate, *, when: Wall, reason: str
) -> Revocation:
    """Sign that the holder of a certificate is no member any more; UsageError for a reason that is
    too long."""
    if len(reason.encode("utf-8", "surrogatepass")) > REASON_MAX_BYTES:
        raise UsageError(f"a reason has at most {REASON_MAX_BYTES} bytes")
    unsigned = Revocation(
        member.mesh_id,
        member.public,
        member.name,
        Wall(float(max(0, int(when)))),
        reason,
        signer.public,
        chain,
        b"",
    )
    return replace(unsigned, signature=signer.sign(CONTEXT, pack(unsigned.body())))


def is_above(signer: bytes, member: Chain, mesh: Mesh) -> bool:
    """Whether the holder of that key may revoke the last one of a chain."""
    return signer in (mesh.genesis, member.member.public) or any(
        one.public == signer and Role.OPERATE in one.roles for one in member.certificates
    )


class Revocations:
    """All that are known. Whoever asks the `verifier` hears of them at once."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._known: dict[Name, Revocation] = {}
        self._signed: Counter[bytes] = Counter()

    def __len__(self) -> int:
        return len(self._known)

    def all(self) -> list[Revocation]:
        """In an order of their own: two nodes that know the same give the same."""
        return [self._known[name] for name in sorted(self._known)]

    def against(self, chain: Chain, mesh: Mesh) -> list[Revocation]:
        """Those that put somebody in this chain out of it."""
        ends = {one.public: at for at, one in enumerate(chain.certificates, 1)}
        return [
            one
            for one in self.all()
            if one.revoked in ends
            and is_above(one.signer, Chain(chain.certificates[: ends[one.revoked]]), mesh)
        ]

    def add(self, statement: Revocation) -> bool:
        """From now on it counts. Whether it is none of the known ones; PeerError, WireError,
        CapacityError when it cannot become one."""
        if statement.name in self._known:
            return False
        statement.check(self._verifier.mesh)
        if self._signed[statement.signer] >= SIGNER_MAX:
            raise CapacityError(f"{SIGNER_MAX} revocations by {statement.by.short}")
        if len(self) >= TOTAL_MAX:
            raise CapacityError(f"{TOTAL_MAX} revocations")
        self._known[statement.name] = statement
        self._signed[statement.signer] += 1
        self._verifier.revoke(*statement.name)
        return True
