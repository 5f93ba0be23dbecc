"""What two nodes' `images` services say to each other, one message a bundle.

Wire forms (msgpack arrays), all begin [version, type, image digest, ...]:
  1 DESCRIBE                  what is signed of it? have you got it?
  2 MANIFEST  signed manifest I have it, and this is what is signed of it
  3 LACK                      I have not got it (any more)
  4 WANT      [piece]         send these pieces
  5 PIECE     index, bytes
  6 PUSH      signed manifest, pin    take it from me
  7 TAKEN     reason          it is here now; or (a reason) it is not taken
"""

from __future__ import annotations

from dataclasses import dataclass, field

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.ids import DIGEST_BYTES, Digest
from radics_mesh.vmm.image_manifest import MANIFEST_MAX_BYTES, PIECE_BYTES

VERSION = 1
PIECES_MAX = 1 << 12
_SIGNED_MAX_BYTES = 2 * MANIFEST_MAX_BYTES
_WIRE_MAX_BYTES = _SIGNED_MAX_BYTES + 4096


@dataclass(frozen=True)
class Describe:
    image: Digest


@dataclass(frozen=True)
class Described:
    image: Digest
    signed: bytes = field(repr=False)


@dataclass(frozen=True)
class Lack:
    image: Digest


@dataclass(frozen=True)
class Want:
    image: Digest
    pieces: tuple[int, ...]


@dataclass(frozen=True)
class Piece:
    image: Digest
    index: int
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Push:
    image: Digest
    signed: bytes = field(repr=False)
    pin: bool


@dataclass(frozen=True)
class Taken:
    """`reason`: why it is not; empty when it is."""

    image: Digest
    reason: str = ""


Message = Describe | Described | Lack | Want | Piece | Push | Taken


def encode(message: Message) -> bytes:
    return pack([VERSION, _TYPES[type(message)], bytes(message.image), *_body(message)])


def _body(message: Message) -> list[object]:
    match message:
        case Described():
            return [message.signed]
        case Want():
            return [list(message.pieces)]
        case Piece():
            return [message.index, message.data]
        case Push():
            return [message.signed, message.pin]
        case Taken():
            return [message.reason[:200]]
    return []


def parse(data: bytes) -> Message:
    """WireError for anything that `encode` would not make."""
    fields = Fields.parse(data, "images message", limit_bytes=_WIRE_MAX_BYTES)
    fields.integer(VERSION, VERSION)
    kind = fields.integer(1, len(_TYPES))
    image = Digest(fields.blob(DIGEST_BYTES))
    message = _read(kind, image, fields)
    fields.end()
    return message


def _read(kind: int, image: Digest, fields: Fields) -> Message:
    match kind:
        case 1:
            return Describe(image)
        case 2:
            return Described(image, fields.blob(limit=_SIGNED_MAX_BYTES))
        case 3:
            return Lack(image)
        case 4:
            return Want(image, _numbers(fields.items(limit=PIECES_MAX)))
        case 5:
            return Piece(image, fields.integer(0, PIECES_MAX), fields.blob(limit=PIECE_BYTES))
        case 6:
            return Push(image, fields.blob(limit=_SIGNED_MAX_BYTES), fields.boolean())
    return Taken(image, fields.text(limit=1000))


def _numbers(items: list[object]) -> tuple[int, ...]:
    if not all(type(item) is int and 0 <= item < PIECES_MAX for item in items):
        raise WireError("images message: not piece numbers")
    return tuple(item for item in items if isinstance(item, int))


_TYPES: dict[type[Message], int] = {
    Describe: 1,
    Described: 2,
    Lack: 3,
    Want: 4,
    Piece: 5,
    Push: 6,
    Taken: 7,
}
