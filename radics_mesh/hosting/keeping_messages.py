"""What a VM's holder and the keepers of its checkpoints say to each other, and its wire form.

Each is one bundle, signed by its sender and sealed to its receiver: checkpoints are the memory of
programs. [version, type, vm id, ...]:

  KEEP     chain, mandate, turn, terms, snapshot, created    holder: keep this checkpoint
  KEPT     serial, snapshot, reason      keeper: I have it, durably; or why not. The serial is the
                                         highest that it has seen of this VM
  WANT     digest, pieces, base          keeper: send these pieces (none named: all); of a
                                         checkpoint what makes it of `base`, which the keeper has
                                         (empty: all of it), if the holder still knows that
  PART     digest, index, count, bytes   holder: one piece of the image or the checkpoint, or of
                                         what makes it (`radics_mesh.vmm.delta.name`)
  DROP     chain                         holder: the VM has ended; keep nothing of it
  DROPPED                                keeper: done
  LETTERS  chain, [[epoch, place, key, sender, service, payload]]
                                         holder: keep this mail, which no checkpoint of yours holds
                                         yet; or whoever took mail in a branch that counts no more,
                                         to the holder
  FILED    [[epoch, place]]              I have these, durably
"""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.hosting.copies import Copy, Name
from radics_mesh.hosting.papers import KEY_BYTES
from radics_mesh.hosting.policy import KEEPERS_MAX
from radics_mesh.identity import Identity, seal
from radics_mesh.ids import Digest, Eid, VmId
from radics_mesh.ownership import CHAIN_MAX_BYTES, Mandate, Ownership, parse_mandate
from radics_mesh.vmm import abi
from radics_mesh.vmm.handoff_messages import PIECE_BYTES, PIECES_MAX, Piece, Terms

VERSION = 1
SERVICE = "keeping"
_MAX_BYTES = PIECE_BYTES + CHAIN_MAX_BYTES + 4096
_NAMED_MAX = 1024
# In one message; the payloads together, unless it is one alone.
LETTERS_MAX, LETTERS_MAX_BYTES = 64, 64 << 10


@dataclass(frozen=True)
class Keep:
    """`turn`: how many keepers come before this one; `created`: Unix time of the checkpoint."""

    vm_id: VmId
    chain: Ownership
    mandate: Mandate
    turn: int
    terms: Terms
    snapshot: Digest
    created: int


@dataclass(frozen=True)
class Kept:
    vm_id: VmId
    serial: int
    snapshot: Digest
    reason: str = ""


@dataclass(frozen=True)
class Want:
    vm_id: VmId
    digest: Digest
    pieces: tuple[int, ...] = ()
    base: Digest | None = None


@dataclass(frozen=True)
class Part:
    piece: Piece

    @property
    def vm_id(self) -> VmId:
        return self.piece.vm_id


@dataclass(frozen=True)
class Drop:
    vm_id: VmId
    chain: Ownership


@dataclass(frozen=True)
class Dropped:
    vm_id: VmId


@dataclass(frozen=True)
class Letters:
    vm_id: VmId
    chain: Ownership
    letters: tuple[Copy, ...]


@dataclass(frozen=True)
class Filed:
    vm_id: VmId
    names: tuple[Name, ...]


Message = Letters | Filed | Keep | Kept | Want | Part | Drop | Dropped


def encode(message: Message, key: bytes) -> bytes:
    """Sealed to the node with that public key."""
    return seal(key, pack([VERSION, type(message).__name__.lower(), *_body(message)]))


def _body(message: Message) -> list[object]:
    vm_id = bytes(message.vm_id)
    match message:
        case Keep():
            return [
                vm_id,
                message.chain.pack(),
                message.mandate.fields(),
                message.turn,
                message.terms.fields(),
                bytes(message.snapshot),
                message.created,
            ]
        case Kept():
            return [vm_id, message.serial, bytes(message.snapshot), message.reason[:200]]
        case Want():
            base = bytes(message.base or b"")
            return [vm_id, bytes(message.digest), list(message.pieces[:_NAMED_MAX]), base]
        case Part(piece):
            return [vm_id, bytes(piece.digest), piece.index, piece.count, piece.data]
        case Drop():
            return [vm_id, message.chain.pack()]
        case Dropped():
            return [vm_id]
        case Letters():
            letters = [
                [one.epoch, one.place, one.key, one.sender, one.service, one.payload]
                for one in message.letters
            ]
            return [vm_id, message.chain.pack(), letters]
        case Filed():
            return [vm_id, [list(name) for name in message.names]]


def decode(data: bytes, reader: Identity) -> Message:
    """WireError for malformed bytes, PeerError for signatures that do not hold, or for what is
    sealed to another node."""
    fields = Fields.parse(reader.unseal(data), "keeping message", limit_bytes=_MAX_BYTES)
    fields.integer(VERSION, VERSION)
    name, vm_id = fields.text(limit=16), VmId(fields.blob(20))
    message = _parse(name, vm_id, fields)
    fields.end()
    return message


def _parse(name: str, vm_id: VmId, fields: Fields) -> Message:
    match name:
        case "keep":
            return _parse_keep(vm_id, fields)
        case "kept":
            serial, snapshot = fields.integer(0, 1 << 53), Digest(fields.blob(32))
            return Kept(vm_id, serial, snapshot, fields.text(limit=1000))
        case "want":
            return _parse_want(vm_id, fields)
        case "part":
            return _parse_part(vm_id, fields)
        case "drop":
            return Drop(vm_id, _chain(vm_id, fields))
        case "dropped":
            return Dropped(vm_id)
        case "letters":
            chain = _chain(vm_id, fields)
            return Letters(vm_id, chain, tuple(map(_letter, fields.items(limit=LETTERS_MAX))))
        case "filed":
            return Filed(vm_id, tuple(map(_name, fields.items(limit=LETTERS_MAX))))
        case _:
            raise WireError(f"keeping message of an unknown type {name!r}")


def _parse_keep(vm_id: VmId, fields: Fields) -> Keep:
    return Keep(
        vm_id,
        _chain(vm_id, fields),
        parse_mandate(fields.items(limit=3)),
        fields.integer(0, KEEPERS_MAX),
        Terms.of_fields(fields.any()),
        Digest(fields.blob(32)),
        fields.integer(0, 1 << 40),
    )


def _parse_want(vm_id: VmId, fields: Fields) -> Want:
    digest, pieces = Digest(fields.blob(32)), _numbers(fields.items(limit=_NAMED_MAX))
    base = fields.blob(limit=Digest.LENGTH)
    return Want(vm_id, digest, pieces, Digest(base) if base else None)


def _parse_part(vm_id: VmId, fields: Fields) -> Part:
    digest = Digest(fields.blob(32))
    index, count = fields.integer(0, PIECES_MAX), fields.integer(1, PIECES_MAX)
    if index >= count:
        raise WireError(f"piece {index} of {count}")
    return Part(Piece(vm_id, digest, index, count, fields.blob(limit=PIECE_BYTES)))


def _letter(value: object) -> Copy:
    fields = Fields(value, "letter")
    copy = Copy(
        epoch=fields.integer(1, 1 << 53),
        place=fields.integer(1, 1 << 53),
        key=fields.blob(limit=KEY_BYTES),
        sender=fields.text(),
        service=fields.text(),
        payload=fields.blob(limit=abi.MESSAGE_MAX),
    )
    fields.end()
    if len(copy.key) not in (0, KEY_BYTES):
        raise WireError("letter: a broken key")
    Eid(copy.sender)
    return copy


def _name(value: object) -> Name:
    fields = Fields(value, "letter's name")
    name = fields.integer(1, 1 << 53), fields.integer(1, 1 << 53)
    fields.end()
    return name


def _chain(vm_id: VmId, fields: Fields) -> Ownership:
    chain = Ownership.parse(fields.blob(limit=CHAIN_MAX_BYTES))
    if chain.vm_id != vm_id:
        raise WireError("keeping message with the ownership of another VM")
    return chain


def _numbers(items: list[object]) -> tuple[int, ...]:
    if not all(type(item) is int and 0 <= item < PIECES_MAX for item in items):
        raise WireError("keeping message: not piece numbers")
    return tuple(item for item in items if isinstance(item, int))
