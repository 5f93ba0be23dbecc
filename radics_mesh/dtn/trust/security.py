"""Signatures of bundles: a Payload Integrity Block (RFC 6257) with Ed25519ph.

A bundle proves by itself, to a node that was never online together with its sender, that a member
of the mesh sent it: the block names the signer's membership chain, and, when the source is a VM,
the ownership chain that makes the signer its holder. The chains are in blocks beside it.

Data of the block (radics_mesh.dtn.trust.security_block), a parameter or result an item each:
  parameter 3  key information: the name of the signer's membership chain and, for a VM, that of
               its ownership chain, 16 bytes each (radics_mesh.dtn.trust.chains; a chain ends in a
               key, so its name is the signer's). The form before, still read: msgpack [public
               key, membership chain, ownership chain or empty]
  parameter 4  content range: SDNV offset, SDNV length; in a fragment's own block only
  parameter 192  SDNV length of the whole payload; there too (the canonical form leaves it out,
               and pieces that disagree about it make no whole)
  result 5     the 64-byte signature

Ciphersuite 25519 is this project's private number: Ed25519ph over the mutable canonical form
(RFC 6257 section 3.4.2) of the primary block, this block without its result, confidentiality blocks
(who strips one would have ciphertext taken for the message) and the payload block.
Dictionary, custodian, age, previous hop and other extension blocks may change on the way.

Nobody can check the signature of a whole on a fragment, so whoever fragments signs each fragment
with a block of its own, which names its range and the whole's length; the whole's identity is in
the canonical form. The whole's block is checked after reassembly.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import nacl.bindings as sodium
from nacl.exceptions import BadSignatureError

from radics_mesh.clock import Wall
from radics_mesh.codec import Fields
from radics_mesh.dtn.trust import chains, security_block
from radics_mesh.dtn.trust.chains import NAME_BYTES, ChainUnknown, Memory, name_of
from radics_mesh.dtn.wire import blocks, sdnv
from radics_mesh.dtn.wire.blocks import Block, number
from radics_mesh.dtn.wire.bundle import VERSION, Bundle
from radics_mesh.dtn.wire.content import Content, pieces
from radics_mesh.errors import PeerError, UsageError, WireError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity
from radics_mesh.ids import Eid, NodeId
from radics_mesh.membership import CHAIN_MAX_BYTES, Verifier
from radics_mesh.ownership import CHAIN_MAX_BYTES as OWNERSHIP_MAX_BYTES
from radics_mesh.ownership import Ownership

CIPHERSUITE = 25519
_REMEMBERED_BYTES = 512
# So little is copied sooner than libsodium is called once more.
_COPIED_BYTES = 4096
# What no hop may change (RFC 6257 section 3.4.2).
_BUNDLE_FLAGS_SIGNED = 0x7C1BE
_BLOCK_FLAGS_SIGNED = 0x77


@dataclass(frozen=True)
class Signed:
    """Who signed a bundle, proved; `ownership` is the packed chain of a VM source, else empty."""

    signer: NodeId
    ownership: bytes


@dataclass(frozen=True, slots=True)
class _Integrity:
    """What a PIB of our ciphersuite says. `signed_bytes` is how much of its data the signature
    covers. `names`: membership chain, ownership chain of a VM; none in the form before."""

    names: tuple[bytes, ...]
    inline: _Inline | None
    content_range: tuple[int, int] | None
    total: int | None
    signature: bytes
    signed_bytes: int


@dataclass(frozen=True, slots=True)
class _Inline:
    """Key information with the chains themselves."""

    public: bytes
    chain: bytes
    ownership: bytes


def sign(bundle: Bundle, identity: Identity, chain: bytes, ownership: bytes = b"") -> Bundle:
    """The bundle with a PIB and the chains in front; a fragment gets a fragment's PIB."""
    if bundle.block(blocks.PAYLOAD) is None:
        raise UsageError("a bundle without a payload block cannot be signed")
    proofs = {name_of(packed): packed for packed in (chain, ownership) if packed}
    parameters = security_block.item(security_block.KEY_INFORMATION, b"".join(proofs))
    if bundle.fragment:
        place = sdnv.encode(bundle.fragment.offset) + sdnv.encode(len(bundle.content))
        parameters += security_block.item(security_block.CONTENT_RANGE, place)
        total = sdnv.encode(bundle.fragment.total)
        parameters += security_block.item(security_block.TOTAL_LENGTH, total)
    result_bytes = len(_result(bytes(SIGNATURE_BYTES)))
    signed = security_block.begin(CIPHERSUITE, parameters, result_bytes)
    unsigned = Block(blocks.INTEGRITY, 0, signed + bytes(result_bytes))
    state = _hash(bundle, unsigned, len(signed))
    signature = sodium.crypto_sign_ed25519ph_final_create(state, identity.secret)
    block = replace(unsigned, data=signed + _result(signature))
    there = chains.carried(bundle)
    new = (chains.block(packed) for name, packed in proofs.items() if name not in there)
    return bundle.with_blocks((block, *new, *bundle.blocks))


def ownership_in(bundle: Bundle) -> bytes:
    """The packed ownership chain that a verified and whole bundle carries, empty without one."""
    found = _find(bundle) if bundle.source.vm_id is not None else None
    if found is None:
        return b""
    said = found[1]
    if said.inline is not None:
        return said.inline.ownership
    return chains.carried(bundle)[said.names[1]] if len(said.names) > 1 else b""


def named(bundle: Bundle) -> tuple[bytes, ...]:
    """The chains that its signatures name; of a fragment also those of its whole. WireError."""
    return tuple(dict.fromkeys(name for _, said in _ours(bundle) for name in said.names))


def speaks_for_a_fragment(block: Block) -> bool:
    """Whether it is a fragment's own PIB, of no use for its pieces or its whole. WireError."""
    if block.kind != blocks.INTEGRITY:
        return False
    found = _parse(block.data)
    return found is not None and found.content_range is not None


class BundleVerifier:
    """Checks bundles, and remembers chains that held (one chain signs many bundles)."""

    _REMEMBERED = 256

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._held: dict[bytes, Ownership] = {}
        self._chains = Memory()

    def learn(self, chain: bytes) -> None:
        """A membership chain that held elsewhere: a session's handshake showed it."""
        self._chains.remember(name_of(chain), chain)

    def verify(self, bundle: Bundle, now: Wall) -> Signed | None:
        """Who signed it; None when nobody did; WireError or PeerError when the proof fails:
        ChainUnknown when it is only incomplete."""
        found = _find(bundle)
        if found is None:
            return None
        block, said = found
        chain, ownership = self._proofs(bundle, said)
        signer = self._verifier.member(chain, now)
        if said.inline is not None and signer.public != said.inline.public:
            raise PeerError("bundle signed with another key than its chain's")
        state = _hash(bundle, block, said.signed_bytes)
        try:
            sodium.crypto_sign_ed25519ph_final_verify(state, said.signature, signer.public)
        except BadSignatureError as error:
            raise PeerError("bad signature on a bundle") from error
        if bundle.fragment is None:  # a fragment's signer is whoever cut it
            self._check_source(bundle, signer.node_id, ownership)
        for name, packed in zip(said.names, (chain, ownership), strict=False):
            self._chains.remember(name, packed)
        return Signed(signer.node_id, ownership)

    def left_out(self, bundle: Bundle, names: Collection[bytes]) -> tuple[Block, ...]:
        """Blocks of the chains that are `named` and did not come with it. ChainUnknown."""
        if not names:
            return ()
        there = chains.carried(bundle)
        return tuple(chains.block(self._known(name)) for name in names if name not in there)

    def _known(self, name: bytes) -> bytes:
        packed = self._chains.get(name)
        if packed is None:
            raise ChainUnknown("the signer's chain did not come along and is not known")
        return packed

    def _proofs(self, bundle: Bundle, said: _Integrity) -> tuple[bytes, bytes]:
        """The packed chains: of membership, and of ownership or empty."""
        if said.inline is not None:
            return said.inline.chain, said.inline.ownership
        packed = [self._chains.get(name) for name in said.names]
        if None in packed:
            there = chains.carried(bundle)
            packed = [there.get(name) or self._known(name) for name in said.names]
        chain, *rest = (p for p in packed if p is not None)
        return chain, rest[0] if rest else b""

    def _check_source(self, bundle: Bundle, signer: NodeId, ownership: bytes) -> None:
        """Only the node itself may speak for it, and for a VM only who holds it."""
        if bundle.source.node_id == signer and not ownership:
            return
        if bundle.source.vm_id is None or not ownership:
            raise PeerError("bundle signed by another than its source")
        owned = self._ownership(ownership)
        if owned.vm_id != bundle.source.vm_id or owned.holder != signer:
            raise PeerError("bundle from a VM that its signer does not hold")

    def _ownership(self, packed: bytes) -> Ownership:
        owned = self._held.get(packed)
        if owned is None:
            owned = Ownership.parse(packed)
            if len(self._held) >= self._REMEMBERED:
                # All at one stroke: large bundles are checked in other threads.
                self._held.clear()
            self._held[packed] = owned
        return owned


def _result(signature: bytes) -> bytes:
    return security_block.item(security_block.SIGNATURE, signature)


def _hash(
    bundle: Bundle, integrity: Block, signed_bytes: int
) -> sodium.crypto_sign_ed25519ph_state:
    state = sodium.crypto_sign_ed25519ph_state()
    head, payload = canonical(bundle, integrity, signed_bytes)
    if isinstance(payload, bytes) and len(payload) <= _COPIED_BYTES:
        sodium.crypto_sign_ed25519ph_update(state, head + payload)
        return state
    sodium.crypto_sign_ed25519ph_update(state, head)
    for piece in pieces(payload):
        sodium.crypto_sign_ed25519ph_update(state, piece)
    return state


def canonical(bundle: Bundle, integrity: Block, signed_bytes: int) -> tuple[bytes, Content]:
    """The mutable canonical form: primary, the PIB up to its result, confidentiality blocks, head
    of the payload block; and the payload. In two pieces because a payload may be large and must
    not be copied.
    """
    payload = bundle.block(blocks.PAYLOAD)
    if payload is None:
        raise WireError("integrity block: there is no payload to protect")
    head = [canonical_primary(bundle), _canonical_head(integrity), integrity.data[:signed_bytes]]
    for block in bundle.blocks:
        if block.kind == blocks.CONFIDENTIALITY:
            head += _canonical_head(block), block.data
    head.append(_canonical_head(payload))
    return b"".join(head), payload.content


def canonical_primary(bundle: Bundle) -> bytes:
    """No custodian, no dictionary, no fragment fields: they may change. Big-endian throughout."""
    eids = _canonical_eids(bundle.destination, bundle.source, bundle.report_to)
    stamps = struct.pack(">QQQ", bundle.created, bundle.sequence, bundle.lifetime_s)
    body = eids + stamps
    flags = bundle.flags & _BUNDLE_FLAGS_SIGNED
    return struct.pack(">BQI", VERSION, flags, len(body)) + body


@functools.lru_cache(maxsize=1024)
def _canonical_eids(*eids: Eid) -> bytes:
    """Remembered: the bundles of one flow all have the same ones."""
    return b"".join(struct.pack(">I", len(eid)) + eid.encode("ascii") for eid in eids)


def _canonical_head(block: Block) -> bytes:
    """Type, flags, referenced EIDs if any, and the length of the whole data.

    A hop that does not know a block's type must say so in its flags (RFC 5050 section 5.6), and
    no signer sets that flag: it stays out, though the mask holds it.
    """
    flags = block.flags & _BLOCK_FLAGS_SIGNED & ~blocks.FORWARDED_UNPROCESSED
    references = b""
    if block.references:
        flags |= blocks.HAS_REFERENCES
        references = _canonical_eids(*block.references)
    head = struct.pack(">BQ", block.kind, flags)
    return head + references + struct.pack(">Q", len(block.content))


def _ours(bundle: Bundle) -> Iterator[tuple[Block, _Integrity]]:
    for block in bundle.blocks:
        if block.kind == blocks.INTEGRITY:
            small = len(block.data) <= _REMEMBERED_BYTES
            said = (_parse_remembered if small else _parse)(block.data)
            if said is not None:
                yield block, said


def _find(bundle: Bundle) -> tuple[Block, _Integrity] | None:
    """The block that speaks for this bundle: a fragment's own, or a whole's. WireError."""
    place = bundle.fragment
    expected = ((place.offset, len(bundle.content)), place.total) if place else (None, None)
    for block, said in _ours(bundle):
        if (said.content_range, said.total) == expected:
            return block, said
    return None


def _parse(data: bytes) -> _Integrity | None:
    """None for another ciphersuite."""
    found = security_block.parse(data, CIPHERSUITE, has_result=True)
    if found is None:
        return None
    signature = found.result.get(security_block.SIGNATURE, b"")
    if len(signature) != SIGNATURE_BYTES:
        raise WireError("integrity block: no signature")
    names, inline = _key_information(found.parameters.get(security_block.KEY_INFORMATION, b""))
    place = _content_range(found.parameters.get(security_block.CONTENT_RANGE))
    total = _total(found.parameters.get(security_block.TOTAL_LENGTH))
    return _Integrity(names, inline, place, total, signature, found.before_result)


# A block is asked for several times while its bundle is in hand.
_parse_remembered = functools.lru_cache(maxsize=64)(_parse)


def _key_information(value: bytes) -> tuple[tuple[bytes, ...], _Inline | None]:
    if len(value) in (NAME_BYTES, 2 * NAME_BYTES):
        return tuple(value[at : at + NAME_BYTES] for at in range(0, len(value), NAME_BYTES)), None
    # Longer than two names, since there is a key in it.
    limit_bytes = OWNERSHIP_MAX_BYTES + CHAIN_MAX_BYTES + 64
    fields = Fields.parse(value, "key information", limit_bytes=limit_bytes)
    inline = _Inline(
        fields.blob(KEY_BYTES),
        fields.blob(limit=CHAIN_MAX_BYTES),
        fields.blob(limit=OWNERSHIP_MAX_BYTES),
    )
    fields.end()
    return (), inline


def _content_range(value: bytes | None) -> tuple[int, int] | None:
    if value is None:
        return None
    start, offset = number(value, 0)
    length, end = number(value, offset)
    if end != len(value):
        raise WireError("integrity block: not a content range")
    return start, length


def _total(value: bytes | None) -> int | None:
    if value is None:
        return None
    total, end = number(value, 0)
    if end != len(value):
        raise WireError("integrity block: not a length of a whole")
    return total
