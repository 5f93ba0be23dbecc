"""What two nodes say to each other when a VM changes hands, and its wire form.

Every message is one msgpack array [version, type, vm id, ...] in one bundle, whose integrity block
says who sent it; none is believed from anyone but the node whose word it must be. Ownership chains
inside are verified down to the VM's birth when a message is decoded. What is said to a node whose
key is known is sealed to it: [version, "sealed", vm id, box with the whole message].

  OFFER    attempt, chain, terms              source: have you room?
  RESERVE  attempt, public key, has image     target: yes, for a time
  REFUSE   attempt, reason                    target: no (also: not any more)
  FROZEN   attempt, chain, terms, snapshot    source: parked; this is what you will need
  STAGED   attempt, snapshot                  target: I have it, whole and durable
  ABORT    attempt                            source: forget it
  RELEASE  chain                              source: it is yours
  ACK      epoch, chain digest                target: it is mine, durably
  MISSING  blob digest, pieces                target: send these pieces (none named: all)
  PIECE    blob digest, index, count, bytes   source: one piece of an image or a manifest
  LISTING  attempt, map digest, base, part, parts, bytes    source: these pages it has by now, as
           what changed since `base`; with the snapshot's digest it is the last, and its manifest
  LACKS    attempt, map digest, indices       target: of these pages, in order, I lack these
  PAGES    pack                               source: pages
  HIGHER   chain                              anybody: another branch of the VM counts
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.identity import KEY_BYTES, Identity, seal
from radics_mesh.ids import Digest, VmId
from radics_mesh.ownership import CHAIN_MAX_BYTES, Ownership

VERSION = 2
PIECE_BYTES = 1 << 20
PIECES_MAX = 1 << 16
_MESSAGE_MAX_BYTES = PIECE_BYTES + 4096
_SEALED_MAX_BYTES = _MESSAGE_MAX_BYTES + 1024
_PIECES_NAMED_MAX = 1024
# Of one listing; so long that any guest's memory can be listed.
LISTING_PARTS_MAX = 1 << 10


@dataclass(frozen=True)
class Terms:
    """What the guest needs from a host."""

    arch: str
    # The CPU that programs see; a guest's memory only fits a host that shows the same one.
    baseline: str
    memory_bytes: int
    image_bytes: int
    # 0 before the guest is frozen.
    snapshot_bytes: int = 0

    def fields(self) -> list[object]:
        return [
            self.arch,
            self.baseline,
            self.memory_bytes,
            self.image_bytes,
            self.snapshot_bytes,
        ]

    @classmethod
    def of_fields(cls, value: object) -> Terms:
        fields = Fields(value, "terms")
        terms = cls(
            arch=fields.text(limit=32),
            baseline=fields.text(limit=64),
            memory_bytes=fields.integer(1, 1 << 48),
            image_bytes=fields.integer(0, 1 << 40),
            snapshot_bytes=fields.integer(0, 1 << 48),
        )
        fields.end()
        return terms


@dataclass(frozen=True)
class Offer:
    vm_id: VmId
    attempt: int
    chain: Ownership
    terms: Terms


@dataclass(frozen=True)
class Reserve:
    vm_id: VmId
    attempt: int
    key: bytes
    has_image: bool


@dataclass(frozen=True)
class Refuse:
    vm_id: VmId
    attempt: int
    reason: str


@dataclass(frozen=True)
class Frozen:
    vm_id: VmId
    attempt: int
    chain: Ownership
    terms: Terms
    snapshot: Digest


@dataclass(frozen=True)
class Staged:
    vm_id: VmId
    attempt: int
    snapshot: Digest


@dataclass(frozen=True)
class Abort:
    vm_id: VmId
    attempt: int


@dataclass(frozen=True)
class Release:
    vm_id: VmId
    chain: Ownership


@dataclass(frozen=True)
class Ack:
    vm_id: VmId
    epoch: int
    chain_digest: Digest


@dataclass(frozen=True)
class Missing:
    vm_id: VmId
    digest: Digest
    pieces: tuple[int, ...] = ()


@dataclass(frozen=True)
class Piece:
    vm_id: VmId
    digest: Digest
    index: int
    count: int
    data: bytes


@dataclass(frozen=True)
class Listing:
    """A part of what `pagemap.encode` made. `digest`: of the map, or of the snapshot if it is the
    last. `base`: digest of the map that it builds on; None: on nothing."""

    vm_id: VmId
    attempt: int
    digest: Digest
    base: Digest | None
    part: int
    parts: int
    data: bytes


@dataclass(frozen=True)
class Lacks:
    """`indices`: `pagemap.encode_indices` of the listing's pages, ascending."""

    vm_id: VmId
    attempt: int
    digest: Digest
    indices: bytes


@dataclass(frozen=True)
class Pages:
    """`pack`: as radics_mesh.vmm.pagepack makes it."""

    vm_id: VmId
    pack: bytes


@dataclass(frozen=True)
class Higher:
    vm_id: VmId
    chain: Ownership


Message = (
    Offer
    | Reserve
    | Refuse
    | Frozen
    | Staged
    | Abort
    | Release
    | Ack
    | Missing
    | Piece
    | Listing
    | Lacks
    | Pages
    | Higher
)


def encode(message: Message, key: bytes = b"") -> bytes:
    """`key`: of the node that alone shall read it."""
    name, body = _ENCODERS[type(message)]
    packed = pack([VERSION, name, bytes(message.vm_id), *body(message)])
    if not key:
        return packed
    return pack([VERSION, _SEALED, bytes(message.vm_id), seal(key, packed)])


def decode(data: bytes, reader: Identity | None = None) -> Message:
    """WireError for malformed bytes, PeerError for a chain whose signatures do not hold, or for
    what is sealed to another node than `reader`."""
    fields = Fields.parse(data, "hand-off message", limit_bytes=_SEALED_MAX_BYTES)
    if fields.integer() != VERSION:
        raise WireError("hand-off message of another version")
    name = fields.text(limit=16)
    if name == _SEALED and reader is not None:
        vm_id, sealed = VmId(fields.blob(20)), fields.blob(limit=_SEALED_MAX_BYTES)
        fields.end()
        message = decode(reader.unseal(sealed))
        if message.vm_id != vm_id:
            raise WireError("hand-off message about another VM than it says outside")
        return message
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise WireError(f"hand-off message of an unknown type {name!r}")
    message = decoder(VmId(fields.blob(20)), fields)
    fields.end()
    return message


_SEALED = "sealed"
_ENCODERS: dict[type[Message], tuple[str, Callable[[object], list[object]]]] = {}
_DECODERS: dict[str, Callable[[VmId, Fields], Message]] = {}


def _wire(
    kind: type[Message],
    name: str,
    body: Callable[..., list[object]],
    decoder: Callable[[VmId, Fields], Message],
) -> None:
    _ENCODERS[kind] = (name, body)
    _DECODERS[name] = decoder


def _attempt(fields: Fields) -> int:
    return fields.integer(1, 1 << 53)


def _own_chain(vm_id: VmId, fields: Fields) -> Ownership:
    chain = Ownership.parse(fields.blob(limit=CHAIN_MAX_BYTES))
    if chain.vm_id != vm_id:
        raise WireError("hand-off message with the ownership of another VM")
    return chain


def _pieces(fields: Fields) -> tuple[int, ...]:
    items = fields.items(limit=_PIECES_NAMED_MAX)
    if not all(type(item) is int and 0 <= item < PIECES_MAX for item in items):
        raise WireError("hand-off message: not piece numbers")
    return tuple(item for item in items if isinstance(item, int))


def _decode_listing(vm_id: VmId, fields: Fields) -> Listing:
    attempt, digest = _attempt(fields), Digest(fields.blob(32))
    base = fields.blob(limit=32)
    if len(base) not in (0, 32):
        raise WireError("hand-off message: no digest")
    part, parts = fields.integer(0, LISTING_PARTS_MAX), fields.integer(1, LISTING_PARTS_MAX)
    if part >= parts:
        raise WireError(f"part {part} of {parts}")
    data = fields.blob(limit=PIECE_BYTES)
    return Listing(vm_id, attempt, digest, Digest(base) if base else None, part, parts, data)


def _decode_piece(vm_id: VmId, fields: Fields) -> Piece:
    digest = Digest(fields.blob(32))
    index, count = fields.integer(0, PIECES_MAX), fields.integer(1, PIECES_MAX)
    if index >= count:
        raise WireError(f"piece {index} of {count}")
    return Piece(vm_id, digest, index, count, fields.blob(limit=PIECE_BYTES))


_wire(
    Offer,
    "offer",
    lambda m: [m.attempt, m.chain.pack(), m.terms.fields()],
    lambda v, f: Offer(v, _attempt(f), _own_chain(v, f), Terms.of_fields(f.any())),
)
_wire(
    Reserve,
    "reserve",
    lambda m: [m.attempt, m.key, m.has_image],
    lambda v, f: Reserve(v, _attempt(f), f.blob(KEY_BYTES), f.boolean()),
)
_wire(
    Refuse,
    "refuse",
    lambda m: [m.attempt, m.reason[:200]],
    lambda v, f: Refuse(v, _attempt(f), f.text(limit=1000)),
)
_wire(
    Frozen,
    "frozen",
    lambda m: [m.attempt, m.chain.pack(), m.terms.fields(), bytes(m.snapshot)],
    lambda v, f: Frozen(
        v, _attempt(f), _own_chain(v, f), Terms.of_fields(f.any()), Digest(f.blob(32))
    ),
)
_wire(
    Staged,
    "staged",
    lambda m: [m.attempt, bytes(m.snapshot)],
    lambda v, f: Staged(v, _attempt(f), Digest(f.blob(32))),
)
_wire(Abort, "abort", lambda m: [m.attempt], lambda v, f: Abort(v, _attempt(f)))
_wire(
    Release,
    "release",
    lambda m: [m.chain.pack()],
    lambda v, f: Release(v, _own_chain(v, f)),
)
_wire(
    Ack,
    "ack",
    lambda m: [m.epoch, bytes(m.chain_digest)],
    lambda v, f: Ack(v, f.integer(1, 1 << 32), Digest(f.blob(32))),
)
_wire(
    Missing,
    "missing",
    lambda m: [bytes(m.digest), list(m.pieces[:_PIECES_NAMED_MAX])],
    lambda v, f: Missing(v, Digest(f.blob(32)), _pieces(f)),
)
_wire(
    Higher,
    "higher",
    lambda m: [m.chain.pack()],
    lambda v, f: Higher(v, _own_chain(v, f)),
)
_wire(
    Piece,
    "piece",
    lambda m: [bytes(m.digest), m.index, m.count, m.data],
    _decode_piece,
)
_wire(
    Listing,
    "listing",
    lambda m: [m.attempt, bytes(m.digest), bytes(m.base or b""), m.part, m.parts, m.data],
    _decode_listing,
)
_wire(
    Lacks,
    "lacks",
    lambda m: [m.attempt, bytes(m.digest), m.indices],
    lambda v, f: Lacks(v, _attempt(f), Digest(f.blob(32)), f.blob(limit=PIECE_BYTES)),
)
_wire(
    Pages,
    "pages",
    lambda m: [m.pack],
    lambda v, f: Pages(v, f.blob(limit=PIECE_BYTES)),
)
