"""What happens to a bundle: decisions without I/O (RFC 5050 section 5).

  made here      `originate`: stamp, age, signature
  arrived        `admit`: is it young enough, signed by whom, may this peer bring it, can every
                 block be obeyed; the result is what goes to the store
  leaving        `depart`: this node as previous hop, the age of now, dictionary re-packed
  delivered      `open_delivery`: the payload and who vouches for it

Age decides over life and death, not the wall clock: every bundle of ours carries an Age block,
which each hop advances by what its monotonic clock measured. A creation time is believed only
when there is no Age block and the wall clock can be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from radics_mesh.clock import DtnTime, Monotonic, Wall, from_dtn, is_plausible
from radics_mesh.config import Foreign
from radics_mesh.dtn.rules.fragments import begun, may_be_cut
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.trust.chains import ChainUnknown
from radics_mesh.dtn.trust.confidentiality import Keep, decrypt, encrypt, is_encrypted
from radics_mesh.dtn.trust.security import BundleVerifier, Signed, named, ownership_in, sign
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.bundle import (
    ADMINISTRATIVE,
    CUSTODY,
    MUST_NOT_FRAGMENT,
    ORDINARY,
    PRIORITY_SHIFT,
    SINGLETON,
    Bundle,
    BundleId,
    with_block_in_front,
)
from radics_mesh.dtn.wire.content import Content, FileBytes
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.identity import Identity
from radics_mesh.ids import NONE_EID, Eid, NodeId, same_node
from radics_mesh.me import Me

Peer = NodeId | Foreign

_PROCESSED = {
    blocks.PAYLOAD,
    blocks.INTEGRITY,
    blocks.CONFIDENTIALITY,
    blocks.CHAIN,
    blocks.PREVIOUS_HOP,
    blocks.AGE,
    blocks.AGE_OF_OTHERS,
    blocks.COPIES,
}
_REWRITTEN = {blocks.PREVIOUS_HOP, blocks.AGE, blocks.COPIES}


@dataclass(frozen=True)
class Delivery:
    """One bundle for a local endpoint. `signer` None: an unsigned one from a foreign peer.

    `vm_chain` is the packed ownership chain that came with it, empty for nodes' bundles.
    """

    bundle_id: BundleId
    source: Eid
    destination: Eid
    # The payload: in a file when it is large. The file stays readable for as long as this exists.
    content: Content
    signer: NodeId | None
    vm_chain: bytes

    @property
    def payload(self) -> bytes:
        """All of it, read anew each time when it is in a file."""
        return bytes(self.content)

    # Bundle processing flags.
    flags: int = ORDINARY
    # Nobody on the way could read it.
    encrypted: bool = False
    # Since it was sent, as far as those know that had it. Another with each delivery.
    age_s: float = field(default=0.0, compare=False)


class Refusal(PeerError):
    """A well-formed bundle that is not taken; `reason` is what refusals are counted by."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def originate(
    me: Me,
    destination: Eid,
    payload: bytes | FileBytes,
    *,
    source: Eid,
    stamp: tuple[int, int],
    lifetime_s: int,
    ownership: bytes,
    priority: int,
    asks: int = 0,
    report_to: Eid = NONE_EID,
    receiver: bytes = b"",
    keep: Keep = b"".join,
) -> Bundle:
    """A signed bundle of this node or of a VM that it holds; UsageError when it may not be.

    `asks`: processing flags besides the priority. `receiver`: the public key that alone shall read
    the payload; empty: everybody may. `keep`: where the ciphertext of a payload in a file goes.
    """
    if me.local(source).node_id != me.node_id and (source.vm_id is None or not ownership):
        raise UsageError(f"this node cannot send as {source}")
    if destination == NONE_EID:
        raise UsageError("nobody is at dtn:none")
    if destination.is_group and asks & CUSTODY:
        raise UsageError("nobody takes custody of a bundle for many")
    for eid in (source, report_to):
        if me.name_towards(destination, eid) != eid:
            raise UsageError(f"{eid} beside {destination}, which needs ipn: names")
    created, sequence = stamp
    unsigned = Bundle(
        destination=destination,
        source=source,
        created=created,
        sequence=sequence,
        lifetime_s=lifetime_s,
        flags=flags_of(destination, priority, asks),
        report_to=report_to,
        blocks=(blocks.age(0), blocks.payload(payload)),
    )
    sealed = encrypt(unsigned, receiver, keep) if receiver else unsigned
    return sign(sealed, me.identity, me.chain, ownership)


def flags_of(destination: Eid, priority: int, asks: int) -> int:
    """A bundle's processing flags; those of a group's: see radics_mesh.dtn.rules.groups."""
    many = MUST_NOT_FRAGMENT if destination.is_group else SINGLETON
    return many | priority << PRIORITY_SHIFT | asks


@dataclass(frozen=True)
class Admitted:
    """`raw` is what to keep: other bytes than arrived when a block had to be dropped or marked,
    or a chain was left out on the way here."""

    raw: Content
    held: Held
    # The packed ownership chain that came with a VM's bundle.
    vm_chain: bytes = b""
    # A block that this node does not understand asks it to report that.
    unintelligible: bool = False
    # Such a block demands that the bundle be deleted: taken, so that its sender need not keep it.
    deleted: bool = False
    # Names of the chains that whoever brought it therefore holds.
    chains: tuple[bytes, ...] = ()


class Gate:
    """Judges what arrives."""

    def __init__(self, me: Me) -> None:
        self._me = me
        self._verifier = BundleVerifier(me.verifier)
        self.learn(me.chain)

    def learn(self, chain: bytes) -> None:
        """A packed membership chain that a session's handshake has proved."""
        self._verifier.learn(chain)

    def judge(self, raw: Content, peer: Peer, *, now: Monotonic, wall: Wall) -> Admitted:
        """What to store; Refusal or WireError, and ChainUnknown when the peer is a member that
        can send it whole."""
        arrived = Bundle.parse(raw)
        held = self.admit(arrived, peer, now=now, wall=wall)
        obeyed = obey_flags(arrived)
        reported = any(
            block.flags & blocks.REPORT_IF_UNPROCESSABLE
            for block in arrived.blocks
            if block.kind not in _PROCESSED
        )
        kept: Content = raw if obeyed is None or obeyed is arrived else obeyed.encoded()
        names = named(arrived) if held.signer is not None else ()
        left_out = self._verifier.left_out(arrived, names)
        for block in left_out:
            kept = with_block_in_front(kept, block)
        vm_chain = b""
        if held.signer is not None and arrived.source.vm_id is not None:
            vm_chain = ownership_in(arrived.with_blocks((*left_out, *arrived.blocks)))
        return Admitted(
            kept,
            held,
            vm_chain=vm_chain,
            chains=names,
            unintelligible=reported,
            deleted=obeyed is None,
        )

    def judge_part(self, raw: Content, peer: Peer, *, now: Monotonic, wall: Wall) -> Admitted:
        """The fragment that a broken transfer has left, signed by this node; Refusal or WireError.

        Who sent the whole is proved when that is joined: for a member's there must be its block.
        """
        part, length = Bundle.parse_part(raw)
        if not may_be_cut(part.flags, part.source) or len(part.content) == length:
            raise Refusal("fragment", f"bundle {part.id} cannot be a fragment")
        age_us = age_on_arrival(part, wall)
        if age_us >= part.lifetime_s * 1_000_000:
            raise Refusal("expired", f"bundle {part.id} has outlived its {part.lifetime_s} s")
        from_member = isinstance(peer, NodeId)
        if not from_member or part.block(blocks.INTEGRITY) is None:
            self._check_sender(part, None, peer)
        piece = begun(part, length)
        obeyed = obey_flags(piece)
        if obeyed is None:
            raise Refusal("block", f"a block of {part.id} demands its deletion")
        if from_member:
            left_out = self._verifier.left_out(obeyed, named(obeyed))
            whole = obeyed.with_blocks((*left_out, *obeyed.blocks))
            obeyed = sign(whole, self._me.identity, self._me.chain)
        signer = self._me.node_id if from_member else None
        return Admitted(obeyed.encoded(), self._held(obeyed, age_us, peer, signer, now))

    def judge_joined(
        self, bundle: Bundle, pieces: Sequence[Held], *, now: Monotonic, wall: Wall
    ) -> Admitted:
        """A whole made of these; Refusal or WireError."""
        try:
            signed = self._verifier.verify(bundle, wall)
        except PeerError as error:
            raise Refusal("signature", str(error)) from error
        if signed is None and any(piece.signer is not None for piece in pieces):
            raise Refusal("unsigned", f"unsigned bundle {bundle.id}")
        oldest = max(pieces, key=lambda piece: piece.age_at(now))
        elsewhere = [p.custodian for p in pieces if p.custodian != self._me.identity.eid]
        held = replace(
            oldest,
            bundle_id=bundle.id,
            age_us=oldest.age_at(now),
            received=now,
            signer=signed.signer if signed else None,
            custodian=elsewhere[0] if elsewhere else oldest.custodian,
            size_bytes=0,
            key=0,
        )
        return Admitted(bundle.encoded(), held, ownership_in(bundle) if signed else b"")

    def admit(self, bundle: Bundle, peer: Peer, *, now: Monotonic, wall: Wall) -> Held:
        """Its line in the index; Refusal or WireError."""
        if bundle.block(blocks.PAYLOAD) is None:
            raise Refusal("empty", f"bundle {bundle.id} has no payload block")
        if bundle.destination.is_group and bundle.flags & SINGLETON:
            raise Refusal("group", f"{bundle.destination} is said to have one receiver only")
        if bundle.fragment and (bundle.destination.is_group or not bundle.flags & SINGLETON):
            raise Refusal("group", f"a fragment of a bundle for many: {bundle.id}")
        age_us = age_on_arrival(bundle, wall)
        if age_us >= bundle.lifetime_s * 1_000_000:
            raise Refusal("expired", f"bundle {bundle.id} has outlived its {bundle.lifetime_s} s")
        try:
            signed = self._verifier.verify(bundle, wall)
        except ChainUnknown as error:
            if isinstance(peer, NodeId):
                raise
            # Another implementation would only send the same again.
            raise Refusal(error.reason, str(error)) from error
        except PeerError as error:
            raise Refusal("signature", str(error)) from error
        self._check_sender(bundle, signed, peer)
        return self._held(bundle, age_us, peer, signed.signer if signed else None, now)

    def _held(
        self, bundle: Bundle, age_us: int, peer: Peer, signer: NodeId | None, now: Monotonic
    ) -> Held:
        return Held(
            bundle_id=bundle.id,
            destination=bundle.destination,
            priority=bundle.priority,
            lifetime_s=bundle.lifetime_s,
            age_us=age_us,
            received=now,
            previous=peer if isinstance(peer, NodeId) else None,
            signer=signer,
            flags=bundle.flags,
            report_to=bundle.report_to,
            custodian=bundle.custodian,
            total=bundle.fragment.total if bundle.fragment else len(bundle.content),
            copies=blocks.read_copies(bundle.block(blocks.COPIES)),
        )

    def _check_sender(self, bundle: Bundle, signed: Signed | None, peer: Peer) -> None:
        """Unsigned bundles come from listed peers only, to the services listed for them."""
        if signed is not None:
            return
        if isinstance(peer, NodeId):
            raise Refusal("unsigned", f"unsigned bundle {bundle.id}")
        if bundle.source.node_id is not None or bundle.source.vm_id is not None:
            raise Refusal("unsigned", f"unsigned bundle in the name of a member: {bundle.id}")
        local = self._me.local(bundle.destination)
        here = local.node_id == self._me.node_id
        if here and bundle.flags & ADMINISTRATIVE and not local.service_name:
            if not same_node(bundle.source, peer.eid):
                raise Refusal("closed", f"a record of {bundle.source} from {peer.eid}")
            return
        if not here or local.service_name not in peer.services:
            raise Refusal("closed", f"{bundle.destination} is not open to {peer.eid}")


def age_on_arrival(bundle: Bundle, wall: Wall) -> int:
    """Microseconds."""
    said = bundle.age_us
    if said is not None:
        return said
    if bundle.created == 0 or not is_plausible(wall):
        return 0
    return max(0, int((wall - from_dtn(DtnTime(bundle.created))) * 1e6))


def obey_flags(bundle: Bundle) -> Bundle | None:
    """What RFC 5050 section 5.6 step 3 demands of a node that cannot process a block.

    None: the bundle is to be deleted (it was taken, so its sender need not keep it).
    """
    kept = []
    for block in bundle.blocks:
        if block.kind in _PROCESSED:
            kept.append(block)
        elif block.flags & blocks.DELETE_BUNDLE_IF_UNPROCESSABLE:
            return None
        elif not block.flags & blocks.DISCARD_IF_UNPROCESSABLE:
            kept.append(replace(block, flags=block.flags | blocks.FORWARDED_UNPROCESSED))
    return bundle if tuple(kept) == bundle.blocks else bundle.with_blocks(tuple(kept))


def depart(
    bundle: Bundle,
    own: Eid | None,
    age_us: int,
    custodian: Eid | None = None,
    copies: int = 0,
) -> Bundle:
    """The bundle as the next hop gets it. `custodian`: who has custody of it by now. `own` None:
    without a previous-hop block, on a session whose peer knows for certain who is at this end.
    `copies` are the next hop's to hand on, where that is more than one.

    New blocks go in front: dissectors that stumble over the PIB have shown them by then. An Age
    of IBR-DTN's number is replaced by ours.
    """
    others = tuple(
        block
        for block in bundle.blocks
        if block.kind not in _REWRITTEN and blocks.read_age(block) is None
    )
    hop = () if own is None else (blocks.previous_hop(own),)
    spare = (blocks.copies(copies),) if copies > 1 else ()
    leaving = (*hop, blocks.age(age_us), *spare, *others)
    return replace(
        bundle,
        blocks=leaving,
        custodian=bundle.custodian if custodian is None else custodian,
    )


def open_delivery(
    bundle: Bundle, signer: NodeId | None, receiver: Identity, keep: Keep = b"".join
) -> Delivery:
    """`signer` is who was proved to have signed it when it came in. PeerError, WireError: its
    payload is encrypted, and not so that this node can open it; ciphertext is never delivered."""
    encrypted = is_encrypted(bundle)
    return Delivery(
        bundle_id=bundle.id,
        source=bundle.source,
        destination=bundle.destination,
        content=decrypt(bundle, receiver, keep) if encrypted else bundle.content,
        signer=signer,
        vm_chain=ownership_in(bundle) if signer else b"",
        flags=bundle.flags,
        encrypted=encrypted,
    )
