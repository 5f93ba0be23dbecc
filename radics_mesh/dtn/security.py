"""Signatures of bundles: a Payload Integrity Block (RFC 6257) with Ed25519ph.

A bundle proves by itself, to a node that was never online together with its sender, that a member
of the mesh sent it: the block carries the signer's key and membership chain, and, when the source
is a VM, the ownership chain that makes the signer its holder.

Data of the block (SDNVs, TLVs are one type byte, SDNV length, value):
  ciphersuite, flags (1 result, 4 parameters), [correlator], parameters length, parameters,
  result length, result
  parameter 3  key information: msgpack [public key, membership chain, ownership chain or empty]
  parameter 4  content range: SDNV offset, SDNV length; in a fragment's own block only
  result 5     the 64-byte signature

Ciphersuite 25519 is this project's private number: Ed25519ph over the mutable canonical form
(RFC 6257 section 3.4.2) of the primary block, this block without its result, and the payload block.
Dictionary, custodian, age, previous hop and other extension blocks may change on the way.

Nobody can check the signature of a whole on a fragment, so whoever fragments signs each fragment
with a block of its own, which names its range; the whole's block is checked after reassembly.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import nacl.bindings as sodium
from nacl.exceptions import BadSignatureError

from radics_mesh.clock import Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.dtn import blocks, sdnv
from radics_mesh.dtn.blocks import Block, number
from radics_mesh.dtn.bundle import VERSION, Bundle
from radics_mesh.errors import PeerError, UsageError, WireError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity
from radics_mesh.ids import NodeId
from radics_mesh.membership import CHAIN_MAX_BYTES, Verifier
from radics_mesh.ownership import CHAIN_MAX_BYTES as OWNERSHIP_MAX_BYTES
from radics_mesh.ownership import Ownership

CIPHERSUITE = 25519
_HAS_RESULT, _HAS_CORRELATOR, _HAS_PARAMETERS = 0x01, 0x02, 0x04
_KEY_INFORMATION, _CONTENT_RANGE, _SIGNATURE = 3, 4, 5
# What no hop may change (RFC 6257 section 3.4.2).
_BUNDLE_FLAGS_SIGNED = 0x7C1BE
_BLOCK_FLAGS_SIGNED = 0x77


@dataclass(frozen=True)
class Signed:
    """Who signed a bundle, proved; `ownership` is the packed chain of a VM source, else empty."""

    signer: NodeId
    ownership: bytes


@dataclass(frozen=True)
class _Integrity:
    """One PIB of our ciphersuite. `signed_bytes` is how much of its data the signature covers."""

    block: Block
    public: bytes
    chain: bytes
    ownership: bytes
    content_range: tuple[int, int] | None
    signature: bytes
    signed_bytes: int


def sign(bundle: Bundle, identity: Identity, chain: bytes, ownership: bytes = b"") -> Bundle:
    """The bundle with a PIB in front of its other blocks; a fragment gets a fragment's one."""
    if bundle.block(blocks.PAYLOAD) is None:
        raise UsageError("a bundle without a payload block cannot be signed")
    information = pack([identity.public, chain, ownership])
    parameters = _tlv(_KEY_INFORMATION, information)
    if bundle.fragment:
        place = sdnv.encode(bundle.fragment.offset) + sdnv.encode(len(bundle.payload))
        parameters += _tlv(_CONTENT_RANGE, place)
    result_bytes = len(_tlv(_SIGNATURE, bytes(SIGNATURE_BYTES)))
    signed = b"".join(
        (
            sdnv.encode(CIPHERSUITE),
            sdnv.encode(_HAS_RESULT | _HAS_PARAMETERS),
            sdnv.encode(len(parameters)),
            parameters,
            sdnv.encode(result_bytes),
        )
    )
    unsigned = Block(blocks.INTEGRITY, 0, signed + bytes(result_bytes))
    state = _hash(bundle, unsigned, len(signed))
    signature = sodium.crypto_sign_ed25519ph_final_create(state, identity.secret)
    block = replace(unsigned, data=signed + _tlv(_SIGNATURE, signature))
    return bundle.with_blocks((block, *bundle.blocks))


def ownership_in(bundle: Bundle) -> bytes:
    """The packed ownership chain that an already verified bundle carries, empty without one."""
    found = _find(bundle)
    return found.ownership if found else b""


class BundleVerifier:
    """Checks bundles, and remembers ownership chains that held (one chain signs many bundles)."""

    _REMEMBERED = 256

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._held: dict[bytes, Ownership] = {}

    def verify(self, bundle: Bundle, now: Wall) -> Signed | None:
        """Who signed it; None when nobody did; WireError or PeerError when the proof fails."""
        found = _find(bundle)
        if found is None:
            return None
        signer = self._verifier.member(found.chain, now)
        if signer.public != found.public:
            raise PeerError("bundle signed with another key than its chain's")
        state = _hash(bundle, found.block, found.signed_bytes)
        try:
            sodium.crypto_sign_ed25519ph_final_verify(state, found.signature, found.public)
        except BadSignatureError as error:
            raise PeerError("bad signature on a bundle") from error
        if bundle.fragment is None:  # a fragment's signer is whoever cut it
            self._check_source(bundle, signer.node_id, found.ownership)
        return Signed(signer.node_id, found.ownership)

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


def _tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + sdnv.encode(len(value)) + value


def _hash(
    bundle: Bundle, integrity: Block, signed_bytes: int
) -> sodium.crypto_sign_ed25519ph_state:
    state = sodium.crypto_sign_ed25519ph_state()
    for part in canonical(bundle, integrity, signed_bytes):
        sodium.crypto_sign_ed25519ph_update(state, part)
    return state


def canonical(bundle: Bundle, integrity: Block, signed_bytes: int) -> tuple[bytes, bytes]:
    """The mutable canonical form: primary, the PIB up to its result, head of the payload block;
    and the payload. In two pieces because a payload may be large and must not be copied.
    """
    payload = bundle.block(blocks.PAYLOAD)
    if payload is None:
        raise WireError("integrity block: there is no payload to protect")
    head = (
        _canonical_primary(bundle),
        _canonical_head(integrity),
        integrity.data[:signed_bytes],
        _canonical_head(payload),
    )
    return b"".join(head), payload.data


def _canonical_primary(bundle: Bundle) -> bytes:
    """No custodian, no dictionary, no fragment fields: they may change. Big-endian throughout."""
    eids = b"".join(
        struct.pack(">I", len(eid)) + eid.encode("ascii")
        for eid in (bundle.destination, bundle.source, bundle.report_to)
    )
    stamps = struct.pack(">QQQ", bundle.created, bundle.sequence, bundle.lifetime_s)
    body = eids + stamps
    flags = bundle.flags & _BUNDLE_FLAGS_SIGNED
    return struct.pack(">BQI", VERSION, flags, len(body)) + body


def _canonical_head(block: Block) -> bytes:
    """Type, flags, referenced EIDs if any, and the length of the whole data.

    A hop that does not know a block's type must say so in its flags (RFC 5050 section 5.6), and
    no signer sets that flag: it stays out, though the mask holds it.
    """
    flags = block.flags & _BLOCK_FLAGS_SIGNED & ~blocks.FORWARDED_UNPROCESSED
    references = b""
    if block.references:
        flags |= blocks.HAS_REFERENCES
        references = b"".join(
            struct.pack(">I", len(eid)) + eid.encode("ascii") for eid in block.references
        )
    head = struct.pack(">BQ", block.kind, flags)
    return head + references + struct.pack(">Q", len(block.data))


def _find(bundle: Bundle) -> _Integrity | None:
    """The block that speaks for this bundle: a fragment's own, or a whole's. WireError."""
    for block in bundle.blocks:
        if block.kind != blocks.INTEGRITY:
            continue
        found = _parse(block)
        if found is None:
            continue
        if bundle.fragment is None and found.content_range is None:
            return found
        place = bundle.fragment
        if place and found.content_range == (place.offset, len(bundle.payload)):
            return found
    return None


def _parse(block: Block) -> _Integrity | None:
    """None for another ciphersuite, which is not ours to judge."""
    data = block.data
    suite, offset = number(data, 0)
    if suite != CIPHERSUITE:
        return None
    flags, offset = number(data, offset)
    if flags & _HAS_CORRELATOR:
        _, offset = number(data, offset)
    if flags & ~_HAS_CORRELATOR != _HAS_RESULT | _HAS_PARAMETERS:
        raise WireError("integrity block: parameters or result missing")
    parameters, offset = _span(data, offset)
    result, end = _span(data, offset)
    if end != len(data):
        raise WireError("integrity block: bytes after the result")
    values = _tlvs(parameters)
    fields = Fields.parse(
        values.get(_KEY_INFORMATION, b""),
        "key information",
        limit_bytes=OWNERSHIP_MAX_BYTES + CHAIN_MAX_BYTES + 64,
    )
    public, chain = fields.blob(KEY_BYTES), fields.blob(limit=CHAIN_MAX_BYTES)
    ownership = fields.blob(limit=OWNERSHIP_MAX_BYTES)
    fields.end()
    signature = _tlvs(result).get(_SIGNATURE, b"")
    if len(signature) != SIGNATURE_BYTES:
        raise WireError("integrity block: no signature")
    signed_bytes = len(data) - len(result)
    place = _content_range(values.get(_CONTENT_RANGE))
    return _Integrity(block, public, chain, ownership, place, signature, signed_bytes)


def _content_range(value: bytes | None) -> tuple[int, int] | None:
    if value is None:
        return None
    start, offset = number(value, 0)
    length, end = number(value, offset)
    if end != len(value):
        raise WireError("integrity block: not a content range")
    return start, length


def _span(data: bytes, offset: int) -> tuple[bytes, int]:
    length, offset = number(data, offset)
    if offset + length > len(data):
        raise WireError("integrity block: a part longer than the block")
    return data[offset : offset + length], offset + length


def _tlvs(data: bytes) -> dict[int, bytes]:
    values: dict[int, bytes] = {}
    offset = 0
    while offset < len(data):
        kind = data[offset]
        value, offset = _span(data, offset + 1)
        if kind in values:
            raise WireError(f"integrity block: item {kind} twice")
        values[kind] = value
    return values
