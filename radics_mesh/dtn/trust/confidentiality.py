"""Payloads that only the destination node reads: a Payload Confidentiality Block (RFC 6257).

Data of the block (radics_mesh.dtn.trust.security_block), which has no result:
  parameter 1  the 24-byte header of the payload's secretstream
  parameter 3  key information: the payload's 32-byte key in a sealed box to the receiver
               (libsodium; over the X25519 form of the Ed25519 key that its node id is a hash of)

Ciphersuite 25520 is this project's private number. The payload becomes records of
libsodium's secretstream, RECORD_BYTES of content and 17 of tag and MAC each, the last one tagged
FINAL, so that a payload of any size is sealed and opened piece by piece. Every record is bound to
the bundle's signed primary fields: whoever has no key cannot have the ciphertext pass for what
another source said, or at another time, or to somebody else.

First encrypted, then signed: every hop checks what it carries without reading it, and since the
signature covers this block as well, nobody can have ciphertext taken for a message. What a hop
learns is what it needs: source, destination, times, size. Who later steals the receiver's key
reads what it has kept; there is nobody to agree on a fresh key with.

A VM has no key, only its holder has, and that would be the wrong one as soon as the VM moves: late
binding hands the bundle to the new holder, who cannot open it, while the old one may be gone. So
bundles to VMs are not encrypted, and to ask for it is an error. "Everything" is all that can have
a key: to a VM the sessions between members seal it from hop to hop, and that is told once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog
from nacl import bindings
from nacl.exceptions import CryptoError

from radics_mesh.dtn.trust import security_block
from radics_mesh.dtn.trust.security import canonical_primary
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.dtn.wire.content import Content, FileBytes
from radics_mesh.errors import CapacityError, PeerError, UsageError, WireError
from radics_mesh.identity import Identity, seal
from radics_mesh.ids import Eid, NodeId

log = structlog.get_logger(__name__)

CIPHERSUITE = 25520
RECORD_BYTES = 1 << 16
EVERYTHING = "*"
_KEY_BYTES: int = bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES
_HEADER_BYTES: int = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
_OVERHEAD_BYTES: int = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
_MESSAGE: int = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL: int = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


class KeyUnknown(CapacityError):
    """The receiver's key is not known here yet. As with a full store, it may succeed later."""


@dataclass(frozen=True)
class Policy:
    """Where payloads are encrypted unasked, and to whose keys.

    `rules`: EVERYTHING (but what is for VMs), a service's name (at every node), an EID, or the
    beginning of EIDs, with a slash at its end. `key_of` gives a node's public key, empty where it
    is not known.
    """

    own: Identity
    rules: tuple[str, ...] = ()
    key_of: Callable[[NodeId], bytes] = lambda node: b""
    _told: list[bool] = field(default_factory=list)

    def key_for(self, destination: Eid, *, asked: bool) -> bytes:
        """The key to encrypt to; empty where nobody wants that. UsageError, KeyUnknown."""
        if not asked and not any(_matches(rule, destination) for rule in self.rules):
            if destination.vm_id is not None and EVERYTHING in self.rules:
                self._tell_of_vms()
            return b""
        node = destination.node_id
        if node is None:
            whose = "a VM has" if destination.vm_id is not None else "it names no member, so has"
            raise UsageError(f"nothing can be encrypted to {destination}: {whose} no key")
        key = self.own.public if node == self.own.node_id else self.key_of(node)
        if not key:
            raise KeyUnknown(f"the key of {node.text} is not known here yet: nothing was sent")
        if NodeId.of_key(key) != node:
            raise PeerError(f"another key than that of {node.text}")
        return key

    def _tell_of_vms(self) -> None:
        if not self._told:
            self._told.append(True)
            log.warning("messages to VMs are sealed from hop to hop only: a VM has no key")


def _matches(rule: str, destination: Eid) -> bool:
    if rule == EVERYTHING:
        return destination.vm_id is None
    if ":" not in rule:
        return destination.service_name == rule
    return destination.startswith(rule) if rule.endswith("/") else destination == rule


def sealed_bytes(payload_bytes: int) -> int:
    """How long the ciphertext of so many bytes is."""
    return payload_bytes + _OVERHEAD_BYTES * max(1, -(-payload_bytes // RECORD_BYTES))


class Sealing:
    """One payload on its way in: its `block`, and each piece's record."""

    def __init__(self, receiver: bytes, binding: bytes) -> None:
        key = bindings.randombytes(_KEY_BYTES)
        self._binding = binding
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        header = bindings.crypto_secretstream_xchacha20poly1305_init_push(self._state, key)
        parameters = security_block.item(security_block.INITIALIZATION_VECTOR, header)
        parameters += security_block.item(security_block.KEY_INFORMATION, seal(receiver, key))
        self.block = Block(blocks.CONFIDENTIALITY, 0, security_block.begin(CIPHERSUITE, parameters))

    def record(self, content: bytes, *, last: bool) -> bytes:
        """RECORD_BYTES of content each, the last one at most that."""
        return bindings.crypto_secretstream_xchacha20poly1305_push(
            self._state, content, self._binding, _FINAL if last else _MESSAGE
        )


class Opening:
    """One payload on its way out. PeerError: not for this key, or not what was sealed."""

    def __init__(self, block: Block, receiver: Identity, binding: bytes) -> None:
        found = security_block.parse(block.data, CIPHERSUITE, has_result=False)
        if found is None:
            raise PeerError("a payload encrypted in a way that this node does not know")
        header = found.parameters.get(security_block.INITIALIZATION_VECTOR, b"")
        key = receiver.unseal(found.parameters.get(security_block.KEY_INFORMATION, b""))
        if len(header) != _HEADER_BYTES or len(key) != _KEY_BYTES:
            raise WireError("confidentiality block: header or key of a wrong length")
        self._binding = binding
        self._state = bindings.crypto_secretstream_xchacha20poly1305_state()
        bindings.crypto_secretstream_xchacha20poly1305_init_pull(self._state, header, key)

    def content(self, record: bytes, *, last: bool) -> bytes:
        """`last`: nothing follows, so this must be where the sender ended."""
        try:
            content, tag = bindings.crypto_secretstream_xchacha20poly1305_pull(
                self._state, record, self._binding
            )
        except (CryptoError, RuntimeError, ValueError) as error:
            raise PeerError("an encrypted payload was altered") from error
        if (tag == _FINAL) != last:
            raise PeerError("an encrypted payload was cut or grew")
        return bytes(content)


# Puts pieces somewhere and gives what they are together.
Keep = Callable[[Iterable[bytes]], bytes | FileBytes]


def _in_memory(pieces: Iterable[bytes]) -> bytes:
    return b"".join(pieces)


def encrypt(bundle: Bundle, receiver: bytes, keep: Keep = _in_memory) -> Bundle:
    """A whole, not yet signed bundle with its payload sealed to a node's public key. A payload in
    a file is gone through piece by piece, and its ciphertext is where `keep` puts it."""
    payload = bundle.block(blocks.PAYLOAD)
    if payload is None or bundle.fragment is not None:
        raise UsageError("only the payload of a whole bundle can be encrypted")
    sealing = Sealing(receiver, _binding(bundle))
    pieces = _pieces(payload.content, RECORD_BYTES)
    records = (sealing.record(piece, last=last) for piece, last in pieces)
    keep = _in_memory if isinstance(payload.content, bytes) else keep
    sealed = blocks.payload(keep(records), payload.flags, payload.references)
    others = (sealed if block is payload else block for block in bundle.blocks)
    return bundle.with_blocks((sealing.block, *others))


def is_encrypted(bundle: Bundle) -> bool:
    """In whatever way."""
    return bundle.block(blocks.CONFIDENTIALITY) is not None


def decrypt(bundle: Bundle, receiver: Identity, keep: Keep = _in_memory) -> bytes | FileBytes:
    """The payload of a verified bundle that `is_encrypted`. PeerError, WireError.

    `keep`: as in `encrypt`. It may have begun to keep what turns out to be altered further on.
    """
    found = [block for block in bundle.blocks if block.kind == blocks.CONFIDENTIALITY]
    if len(found) != 1 or bundle.fragment is not None:
        raise PeerError("encrypted more than once, or only a part of what was")
    opening = Opening(found[0], receiver, _binding(bundle))
    pieces = _pieces(bundle.content, RECORD_BYTES + _OVERHEAD_BYTES)
    keep = _in_memory if isinstance(bundle.content, bytes) else keep
    return keep(opening.content(piece, last=last) for piece, last in pieces)


def _pieces(data: Content, piece_bytes: int) -> Iterable[tuple[bytes, bool]]:
    """(piece, whether it is the last); of nothing, one empty piece."""
    for at in range(0, max(1, len(data)), piece_bytes):
        yield data[at : at + piece_bytes], at + piece_bytes >= len(data)


def _binding(bundle: Bundle) -> bytes:
    return hashlib.blake2b(canonical_primary(bundle), digest_size=32).digest()
