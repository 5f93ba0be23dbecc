"""Content-addressed objects in the DHT: whole when small, in parts when not. Sans-IO.

An object is bytes known by their SHA-256, such as a VM's chain of ownership. One that fits a
datagram is stored as it is, and its key proves it. A longer one is cut into parts, which are
objects themselves, and a *list* of their digests is stored under its key. A list cannot be checked
without all the parts, so it is signed by a member, counts against that member's share of the
store, and another member's list can stand beside it if it lies.

Value forms: b"o" content;
  b"l" msgpack [digest, [part digest, ...], signer key, chain, signature of the first two]
"""

from __future__ import annotations

import hashlib

from radics_mesh.clock import Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import Digest, NodeId
from radics_mesh.membership import CHAIN_MAX_BYTES, Verifier

PART_BYTES = 4096
PARTS_MAX = 32
OBJECT_MAX_BYTES = PART_BYTES * PARTS_MAX
_WHOLE, _LIST = b"o", b"l"
CONTEXT = "object parts"


def object_key(digest: Digest) -> bytes:
    """The DHT key of an object."""
    return hashlib.sha1(b"object\0" + digest, usedforsecurity=False).digest()


def is_object(value: bytes) -> bool:
    return value[:1] in (_WHOLE, _LIST)


def values_of(content: bytes, identity: Identity, chain: bytes) -> list[tuple[bytes, bytes]]:
    """(key, value) pairs to store, parts first; UsageError when it is too long."""
    if len(content) > OBJECT_MAX_BYTES:
        raise UsageError(f"an object of {len(content)} bytes; at most {OBJECT_MAX_BYTES} fit")
    if len(content) <= PART_BYTES:
        return [(object_key(Digest.of(content)), _WHOLE + content)]
    parts = [content[at : at + PART_BYTES] for at in range(0, len(content), PART_BYTES)]
    digest, listed = bytes(Digest.of(content)), [bytes(Digest.of(part)) for part in parts]
    signature = identity.sign(CONTEXT, pack([digest, listed]))
    value = _LIST + pack([digest, listed, identity.public, chain, signature])
    whole = [(object_key(Digest.of(part)), _WHOLE + part) for part in parts]
    return [*whole, (object_key(Digest(digest)), value)]


def check(key: bytes, value: bytes, verifier: Verifier, wall: Wall) -> NodeId | None:
    """Who answers for the value, None if its hash does; WireError or PeerError otherwise."""
    if value[:1] == _WHOLE:
        if len(value) > 1 + PART_BYTES or object_key(Digest.of(value[1:])) != key:
            raise PeerError("an object under another key than its own")
        return None
    digest, listed, signer, chain, signature = _parse_list(value)
    if object_key(digest) != key:
        raise PeerError("a list of parts under another key than its own")
    if verifier.member(chain, wall).public != signer:
        raise PeerError("a list of parts signed by another key than its chain names")
    verify(signer, CONTEXT, pack([bytes(digest), [bytes(part) for part in listed]]), signature)
    return NodeId.of_key(signer)


def _parse_list(value: bytes) -> tuple[Digest, list[Digest], bytes, bytes, bytes]:
    fields = Fields.parse(value[1:], "list of parts", limit_bytes=PART_BYTES)
    digest = Digest(fields.blob(32))
    items = fields.items(limit=PARTS_MAX)
    signer, chain = fields.blob(KEY_BYTES), fields.blob(limit=CHAIN_MAX_BYTES)
    signature = fields.blob(SIGNATURE_BYTES)
    fields.end()
    listed = [Digest(Fields([item], "part").blob(32)) for item in items]
    return digest, listed, signer, chain, signature


def whole(digest: Digest, values: list[bytes]) -> bytes | None:
    """The content, if one of the values is it."""
    for value in values:
        if value[:1] == _WHOLE and Digest.of(value[1:]) == digest:
            return value[1:]
    return None


def part_lists(values: list[bytes]) -> list[list[Digest]]:
    """What parts the object may be made of, one list for each member that says so."""
    return [_parse_list(value)[1] for value in values if value[:1] == _LIST]
