"""Records: the one signed form of every advertised fact.

A record is a small signed statement by one node: of this kind, about this subject, with a sequence
number that only grows, good for so many seconds. The same bytes travel by DHT and inside bundles.
Expiry is never judged by wall clocks, which can be years apart: the envelope carries the age that
the record has gathered on its way, and each holder adds its own monotonic time.

Wire form (msgpack), at most RECORD_MAX_BYTES:
  [age (ms), signature, chain, statement]    statement = packed [version, kind, subject, key,
                                             sequence, ttl (s), withdrawn, body]
`age` is outside the signature: a peer may only make a record older, never younger than its own
receipt allows, and a record that claims to be younger than one held is judged by the one held.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from radics_mesh import paths
from radics_mesh.clock import Wall
from radics_mesh.codec import Fields, pack, unpack
from radics_mesh.errors import PeerError, UsageError, WireError
from radics_mesh.identity import KEY_BYTES, SIGNATURE_BYTES, Identity, verify
from radics_mesh.ids import NodeId
from radics_mesh.membership import CHAIN_MAX_BYTES, Certificate, Verifier, demand
from radics_mesh.roles import Role

VERSION = 1
RECORD_MAX_BYTES = 1400  # one datagram on every link; the chain alone may take up to 1000
TTL_MAX_S = 7 * 86400
SUBJECT_MAX_BYTES = 255
# The largest number in a body: what msgpack still takes after a round trip through a float.
NUMBER_MAX = 1 << 63
CONTEXT = "record"


class Kind(enum.StrEnum):
    """What a record may be about, and whose word counts (see `Record.check_subject`)."""

    NODE = "node"  # subject: node id text. addresses, architecture, capacity, load, neighbours
    SOURCE = "source"  # subject: source name (radics_mesh.paths). many may publish one name
    SERVICE = "service"  # subject: service name (the same). which endpoints answer to it
    INDEX = "index"  # subject: a directory of names (radics_mesh.knowledge.index); many publishers
    VM = "vm"  # subject: VM id text. name, host, epoch, ownership digest
    VM_NAME = "vm-name"  # subject: a VM's name. which VM ids bear it
    CHECKPOINT = "checkpoint"  # subject: VM id text. states of it that are kept; many keepers
    IMAGE = "image"  # subject: image digest in hex. size, architecture; many holders


# What a node states of itself needs no role.
_ROLES = {
    Kind.SOURCE: Role.PUBLISH,
    Kind.VM: Role.RUN,
    Kind.VM_NAME: Role.RUN,
    Kind.CHECKPOINT: Role.RUN,
    Kind.IMAGE: Role.RUN,
}


def check_may_state(member: Certificate, kind: Kind) -> None:
    """PeerError when the member's certificate lacks the role for such facts."""
    role = _ROLES.get(kind)
    if role is not None:
        demand(member, role, f"state {kind} records")


def dht_key(kind: Kind, subject: str) -> bytes:
    """The 160-bit key under which a record is stored."""
    raw = kind.value.encode("ascii") + b"\0" + subject.encode("utf-8")
    return hashlib.sha1(raw, usedforsecurity=False).digest()


@dataclass(frozen=True)
class Record:
    """A record whose signature and membership hold (made by `sign` or `parse` only).

    `age_s` is what it had gathered when it was signed or received; body values are msgpack types.
    """

    kind: Kind
    subject: str
    signer: bytes
    sequence: int
    ttl_s: int
    withdrawn: bool
    body: Mapping[str, object]
    statement: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    chain: bytes = field(repr=False)
    age_s: float = 0.0

    @property
    def publisher(self) -> NodeId:
        return NodeId.of_key(self.signer)

    @property
    def key(self) -> bytes:
        return dht_key(self.kind, self.subject)

    @property
    def slot(self) -> tuple[Kind, str, NodeId]:
        """What a newer record replaces: the same fact by the same publisher."""
        return (self.kind, self.subject, self.publisher)

    def pack(self, age_s: float) -> bytes:
        """The wire form, with the age it has gathered by now."""
        return pack([max(0, int(age_s * 1000)), self.signature, self.chain, self.statement])

    @classmethod
    def parse(cls, data: bytes, verifier: Verifier, now: Wall) -> Record:
        """WireError for malformed bytes, PeerError for a signer that may not say this."""
        envelope = Fields.parse(data, "record", limit_bytes=RECORD_MAX_BYTES)
        age_ms = envelope.integer(0, 1 << 48)
        signature = envelope.blob(SIGNATURE_BYTES)
        chain = envelope.blob(limit=CHAIN_MAX_BYTES)
        statement = envelope.blob(limit=RECORD_MAX_BYTES)
        envelope.end()
        record = _parse_statement(statement, signature, chain, age_ms / 1000)
        member = verifier.member(chain, now)
        if member.public != record.signer:
            raise PeerError("record signed by another key than its chain names")
        check_may_state(member, record.kind)
        verify(record.signer, CONTEXT, statement, signature)
        record.check_subject()
        return record

    def check_subject(self) -> None:
        """Nobody but a node speaks for that node, and names are names. (VM records: ownership, in
        the directory.)"""
        if self.kind is Kind.NODE and self.subject != self.publisher.text:
            raise PeerError("a node record about another node")
        if self.kind in (Kind.SOURCE, Kind.SERVICE) and (wrong := paths.fault(self.subject)):
            raise PeerError(f"a {self.kind} record of a bad name: {wrong}")


def sign(
    identity: Identity,
    chain: bytes,
    kind: Kind,
    subject: str,
    *,
    sequence: int,
    ttl_s: int,
    body: Mapping[str, object],
    withdrawn: bool = False,
) -> Record:
    """A new record; UsageError when it would not fit RECORD_MAX_BYTES."""
    statement = pack(
        [
            VERSION,
            kind.value,
            subject,
            identity.public,
            sequence,
            ttl_s,
            withdrawn,
            dict(body),
        ]
    )
    signature = identity.sign(CONTEXT, statement)
    record = _parse_statement(statement, signature, chain, 0.0)
    if len(record.pack(0)) > RECORD_MAX_BYTES - 8:
        raise UsageError(f"the {kind} record of {subject} is too long for one datagram")
    return record


def _parse_statement(statement: bytes, signature: bytes, chain: bytes, age_s: float) -> Record:
    fields = Fields(unpack(statement), "record statement")
    fields.integer(VERSION, VERSION)
    try:
        kind = Kind(fields.text(limit=16))
    except ValueError as error:
        raise WireError(f"record of an unknown kind: {error}") from error
    record = Record(
        kind=kind,
        subject=fields.text(limit=SUBJECT_MAX_BYTES),
        signer=fields.blob(KEY_BYTES),
        sequence=fields.integer(0, 1 << 62),
        ttl_s=fields.integer(1, TTL_MAX_S),
        withdrawn=fields.boolean(),
        body=fields.mapping(),
        statement=statement,
        signature=signature,
        chain=chain,
        age_s=age_s,
    )
    fields.end()
    _check_numbers(list(record.body.values()))
    return record


def _check_numbers(values: Sequence[object]) -> None:
    """Everybody computes with what is in a body, and shows it: NaN and 1e300 are no facts."""
    for value in values:
        if isinstance(value, (list, tuple)):
            _check_numbers(value)
        elif isinstance(value, dict):
            _check_numbers(list(value.values()))
        elif isinstance(value, (int, float)) and not abs(value) <= NUMBER_MAX:
            raise WireError(f"record with the number {value}")
