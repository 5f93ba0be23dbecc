"""Signed words about who is there. No member can speak for another. Sans-IO.

A node alone says that it is alive, in an *incarnation* of its own that only grows, or that it
leaves. Another may only suspect the incarnation that it was last heard in, in its own name; the
suspected one answers with the next (SWIM section 4.2). The mesh is under every signature.

Word forms (msgpack):
  alive    [0, key, incarnation, left, signature, host, port]   host "": not known
  suspect  [1, node id, incarnation, accuser's key, signature]
Where a node was reached (host, port) is said by whoever passes its word on, and so is a hint only.
An acknowledgement is a signature of the asker's nonce and the incarnation: fresh, and worthless to
anybody else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from radics_mesh.codec import Fields, pack
from radics_mesh.dht.rpc import is_usable
from radics_mesh.errors import WireError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import ID_BYTES, Digest, NodeId
from radics_mesh.link import SocketAddress

INCARNATION_MAX = 1 << 48
WORD_MAX_BYTES = 256
NONCE_BYTES = 8
ALIVE_CONTEXT, SUSPECT_CONTEXT, ACK_CONTEXT = "alive", "suspected", "acknowledgement"
_ALIVE, _SUSPECT = 0, 1


@dataclass(frozen=True)
class Alive:
    """A node's own word that it is there, or (`left`) that it goes."""

    key: bytes
    incarnation: int
    left: bool
    signature: bytes
    at: SocketAddress | None = None

    @cached_property
    def node_id(self) -> NodeId:
        return NodeId.of_key(self.key)

    @property
    def signer(self) -> bytes:
        return self.key

    def is_older_than(self, other: Alive) -> bool:
        return (self.incarnation, self.left) < (other.incarnation, other.left)

    def seen_at(self, at: SocketAddress | None) -> Alive:
        """The same word, with the address at which it is passed on."""
        return self if at == self.at else replace(self, at=at)

    def check(self, mesh: Digest) -> None:
        """PeerError unless its node has signed it."""
        signed = _alive_body(mesh, self.incarnation, self.left)
        verify(self.key, ALIVE_CONTEXT, signed, self.signature)

    def pack(self) -> bytes:
        host, port = self.at or ("", 0)
        return pack([_ALIVE, self.key, self.incarnation, self.left, self.signature, host, port])


@dataclass(frozen=True)
class Suspect:
    """A member's word that it cannot reach a node in that incarnation."""

    subject: NodeId
    incarnation: int
    key: bytes
    signature: bytes

    @cached_property
    def node_id(self) -> NodeId:
        """Who says so."""
        return NodeId.of_key(self.key)

    @property
    def signer(self) -> bytes:
        return self.key

    def check(self, mesh: Digest) -> None:
        """PeerError unless the accuser has signed it."""
        signed = _suspect_body(mesh, self.subject, self.incarnation)
        verify(self.key, SUSPECT_CONTEXT, signed, self.signature)

    def pack(self) -> bytes:
        return pack([_SUSPECT, bytes(self.subject), self.incarnation, self.key, self.signature])


Word = Alive | Suspect


@dataclass(frozen=True)
class Acknowledgement:
    """The answer of a node to whoever chose the nonce, passed on or not."""

    nonce: bytes
    key: bytes
    incarnation: int
    signature: bytes

    @cached_property
    def node_id(self) -> NodeId:
        return NodeId.of_key(self.key)

    def check(self, mesh: Digest) -> None:
        """PeerError unless the node has signed it."""
        verify(self.key, ACK_CONTEXT, _ack_body(mesh, self.nonce, self.incarnation), self.signature)


def say_alive(identity: Identity, mesh: Digest, incarnation: int, *, left: bool = False) -> Alive:
    signature = identity.sign(ALIVE_CONTEXT, _alive_body(mesh, incarnation, left))
    return Alive(identity.public, incarnation, left, signature)


def say_suspect(identity: Identity, mesh: Digest, subject: NodeId, incarnation: int) -> Suspect:
    signature = identity.sign(SUSPECT_CONTEXT, _suspect_body(mesh, subject, incarnation))
    return Suspect(subject, incarnation, identity.public, signature)


def acknowledge(
    identity: Identity, mesh: Digest, nonce: bytes, incarnation: int
) -> Acknowledgement:
    signature = identity.sign(ACK_CONTEXT, _ack_body(mesh, nonce, incarnation))
    return Acknowledgement(nonce, identity.public, incarnation, signature)


def parse_word(raw: bytes) -> Word:
    """WireError for all that is none; says nothing about signatures."""
    fields = Fields.parse(raw, "word", limit_bytes=WORD_MAX_BYTES)
    word = _parse_alive(fields) if fields.integer(0, 1) == _ALIVE else _parse_suspect(fields)
    fields.end()
    return word


def _parse_alive(fields: Fields) -> Alive:
    key = fields.blob(KEY_BYTES)
    incarnation, left = fields.integer(0, INCARNATION_MAX), fields.boolean()
    signature = fields.blob(SIGNATURE_BYTES)
    at = (fields.text(limit=64), fields.integer(0, 65535))
    if at[0] and not is_usable(at):
        raise WireError("a word with an address that cannot be one")
    return Alive(key, incarnation, left, signature, at if at[0] else None)


def _parse_suspect(fields: Fields) -> Suspect:
    subject = NodeId(fields.blob(ID_BYTES))
    incarnation = fields.integer(0, INCARNATION_MAX)
    return Suspect(subject, incarnation, fields.blob(KEY_BYTES), fields.blob(SIGNATURE_BYTES))


def _alive_body(mesh: Digest, incarnation: int, left: bool) -> bytes:
    return pack([bytes(mesh), incarnation, left])


def _suspect_body(mesh: Digest, subject: NodeId, incarnation: int) -> bytes:
    return pack([bytes(mesh), bytes(subject), incarnation])


def _ack_body(mesh: Digest, nonce: bytes, incarnation: int) -> bytes:
    return pack([bytes(mesh), nonce, incarnation])
