"""Blocks after the primary one (RFC 5050 section 4.5.2), and the endpoint identifiers they name.

Layout: type byte, SDNV flags, [SDNV count and that many pairs of SDNV dictionary offsets], SDNV
length, data. Endpoint identifiers stand in the primary block's dictionary as two offsets, scheme
and scheme-specific part; with an empty dictionary (CBHE, RFC 6260) the pair is an `ipn:` node and
service number, 0,0 meaning `dtn:none`. A Block holds the identifiers themselves, so that a hop may
re-pack the dictionary.

Previous hop (RFC 6259): scheme NUL ssp NUL. Age: one SDNV, microseconds. Copies (of this project,
for spray-and-wait): one SDNV, how many copies of the bundle the receiver may hand on.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from radics_mesh.dtn.wire import sdnv
from radics_mesh.dtn.wire.content import Content, FileBytes, Joined
from radics_mesh.errors import WireError
from radics_mesh.ids import NONE_EID, Eid

PAYLOAD = 1
INTEGRITY = 3
CONFIDENTIALITY = 4
PREVIOUS_HOP = 5
AGE_OF_OTHERS = 10  # IBR-DTN's and DTN2's number for Age; elsewhere a custody block (CTEB)
AGE = 20
# Of the private numbers, 192 to 255, IBR-DTN uses 193, 198, 199, 202 and 242.
COPIES = 205  # how many copies the receiver may hand on (radics_mesh.dtn.routes.spray)
CHAIN = 222  # a membership or ownership chain (radics_mesh.dtn.trust.chains)

IN_EVERY_FRAGMENT = 0x01
REPORT_IF_UNPROCESSABLE = 0x02
DELETE_BUNDLE_IF_UNPROCESSABLE = 0x04
LAST = 0x08
DISCARD_IF_UNPROCESSABLE = 0x10
FORWARDED_UNPROCESSED = 0x20
HAS_REFERENCES = 0x40

_REFERENCES_MAX = 64
_CBHE = re.compile(r"ipn:(0|[1-9][0-9]{0,19})\.(0|[1-9][0-9]{0,19})")


@dataclass(frozen=True, slots=True)
class Block:
    """One block. `flags` never hold LAST and HAS_REFERENCES: they follow from where it stands."""

    kind: int
    flags: int
    data: bytes
    references: tuple[Eid, ...] = ()

    @property
    def content(self) -> Content:
        """The data, wherever it is."""
        return self.data


class LargeBlock(Block):
    """A block whose data is in a file. `data` reads it all: whoever can, goes through `content`."""

    __slots__ = ("_file",)
    _file: FileBytes | Joined

    def __init__(
        self,
        kind: int,
        flags: int,
        file: FileBytes | Joined,
        references: tuple[Eid, ...] = (),
    ) -> None:
        for name, value in (("kind", kind), ("flags", flags), ("references", references)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_file", file)

    @property
    def data(self) -> bytes:
        return bytes(self._file)

    @property
    def content(self) -> Content:
        return self._file


def payload(content: bytes | FileBytes, flags: int = 0, references: tuple[Eid, ...] = ()) -> Block:
    kind = Block if isinstance(content, bytes) else LargeBlock
    return kind(PAYLOAD, flags, content, references)  # type: ignore[arg-type]  # each its own


def with_content(block: Block, content: Content) -> Block:
    """The block with other data, in memory or not."""
    if isinstance(content, bytes):
        return Block(block.kind, block.flags, content, block.references)
    return LargeBlock(block.kind, block.flags, content, block.references)


def number(data: bytes, offset: int) -> tuple[int, int]:
    """An SDNV of a complete bundle: running out of bytes is malformed here."""
    if offset < len(data) and (first := data[offset]) < 128:  # nearly all of them
        return first, offset + 1
    taken = sdnv.decode(data, offset)
    if taken is None:
        raise WireError("bundle: ends within a number")
    return taken


class Names:
    """A received dictionary: finds the EID behind a pair of numbers."""

    def __init__(self, dictionary: bytes) -> None:
        self._dictionary = dictionary

    def eid(self, first: int, second: int) -> Eid:
        """WireError when the numbers point at no endpoint identifier."""
        return _eid(self._dictionary, first, second)


@functools.lru_cache(maxsize=1024)
def _eid(dictionary: bytes, first: int, second: int) -> Eid:
    """Remembered: the bundles of one flow all have the same dictionary."""
    if not dictionary:  # RFC 6260 section 2.2
        return NONE_EID if first == second == 0 else Eid(f"ipn:{first}.{second}")
    return Eid(f"{_string(dictionary, first)}:{_string(dictionary, second)}")


def _string(dictionary: bytes, offset: int) -> str:
    end = dictionary.find(b"\0", offset)
    if end < 0:
        raise WireError("bundle: an offset points outside the dictionary")
    try:
        return dictionary[offset:end].decode("ascii")
    except UnicodeDecodeError as error:
        raise WireError("bundle: an endpoint identifier that is not ASCII") from error


class Dictionary:
    """A dictionary to send: every string once; empty when all the EIDs compress (RFC 6260).

    A bundle that mixes `ipn:` with other schemes cannot be compressed as a whole.
    """

    def __init__(self, eids: Iterable[Eid]) -> None:
        self._pairs: dict[Eid, bytes] = {}
        self.packed = b""
        unique = dict.fromkeys(eids)
        compressed = [(eid, _compress(eid)) for eid in unique]
        if all(pair is not None for _, pair in compressed):
            self._pairs = {eid: pair for eid, pair in compressed if pair is not None}
        else:
            self._pack(unique)

    def _pack(self, eids: Iterable[Eid]) -> None:
        offsets: dict[str, int] = {}
        packed = bytearray()
        for eid in eids:
            for string in (eid.scheme, eid.ssp):
                if string not in offsets:
                    offsets[string] = len(packed)
                    packed += string.encode("ascii") + b"\0"
            self._pairs[eid] = sdnv.encode(offsets[eid.scheme]) + sdnv.encode(offsets[eid.ssp])
        self.packed = bytes(packed)

    def pair(self, eid: Eid) -> bytes:
        """The two SDNVs that stand for an EID that was given to the constructor."""
        return self._pairs[eid]


@functools.lru_cache(maxsize=1024)
def packed(eids: tuple[Eid, ...]) -> Dictionary:
    """Remembered, as `_eid`."""
    return Dictionary(eids)


def _compress(eid: Eid) -> bytes | None:
    if eid == NONE_EID:
        return b"\0\0"
    match = _CBHE.fullmatch(eid)
    if match is None or (node := int(match[1])) > sdnv.MAX_VALUE:
        return None
    service = int(match[2])
    if service > sdnv.MAX_VALUE or node == service == 0:
        return None
    return sdnv.encode(node) + sdnv.encode(service)


def encode_head(block: Block, dictionary: Dictionary, *, last: bool) -> bytes:
    """All of a block but its data."""
    flags = block.flags & ~(LAST | HAS_REFERENCES)
    if last:
        flags |= LAST
    references = b""
    if block.references:
        flags |= HAS_REFERENCES
        pairs = b"".join(dictionary.pair(eid) for eid in block.references)
        references = sdnv.encode(len(block.references)) + pairs
    return b"".join(
        (
            bytes((block.kind,)),
            sdnv.encode(flags),
            references,
            sdnv.encode(len(block.content)),
        )
    )


def decode(data: bytes, offset: int, names: Names) -> tuple[Block, bool, int]:
    """(block, whether it is the last one, offset of what follows); WireError."""
    kind, flags, references, start, length = decode_head(data, offset, names)
    end = start + length
    if end > len(data):
        raise WireError("bundle: ends within a block")
    block = Block(kind, flags & ~(LAST | HAS_REFERENCES), data[start:end], references)
    return block, bool(flags & LAST), end


def decode_head(
    data: bytes, offset: int, names: Names
) -> tuple[int, int, tuple[Eid, ...], int, int]:
    """(type, flags as on the wire, references, offset of the data, its length); WireError."""
    if offset >= len(data):
        raise WireError("bundle: ends without a last block")
    kind = data[offset]
    flags, offset = number(data, offset + 1)
    references: tuple[Eid, ...] = ()
    if flags & HAS_REFERENCES:
        references, offset = _references(data, offset, names)
    length, offset = number(data, offset)
    return kind, flags, references, offset, length


def _references(data: bytes, offset: int, names: Names) -> tuple[tuple[Eid, ...], int]:
    count, offset = number(data, offset)
    if count > _REFERENCES_MAX:
        raise WireError(f"bundle: a block with {count} endpoint references")
    eids = []
    for _ in range(count):
        first, offset = number(data, offset)
        second, offset = number(data, offset)
        eids.append(names.eid(first, second))
    return tuple(eids), offset


def previous_hop(eid: Eid) -> Block:
    """RFC 6259: who sends the bundle over this hop. A node that cannot read it drops the block."""
    data = f"{eid.scheme}\0{eid.ssp}\0".encode("ascii")
    return Block(PREVIOUS_HOP, DISCARD_IF_UNPROCESSABLE, data)


def read_previous_hop(block: Block) -> Eid:
    """The EID in a previous-hop block, in either of RFC 6259's forms; WireError."""
    if block.references:
        return block.references[0]
    parts = block.data.split(b"\0")
    if len(parts) < 2:
        raise WireError("previous hop: not two strings")
    try:
        return Eid(f"{parts[0].decode('ascii')}:{parts[1].decode('ascii')}")
    except UnicodeDecodeError as error:
        raise WireError("previous hop: not ASCII") from error


def age(age_us: int) -> Block:
    """How old the bundle is, for nodes without a clock: every fragment needs it."""
    return Block(AGE, IN_EVERY_FRAGMENT, sdnv.encode(min(age_us, sdnv.MAX_VALUE)))


def copies(count: int) -> Block:
    """A node that cannot read it has one copy."""
    return Block(COPIES, DISCARD_IF_UNPROCESSABLE, sdnv.encode(count))


def read_copies(block: Block | None) -> int:
    """0 without a block; WireError for one that is no SDNV."""
    if block is None:
        return 0
    taken = sdnv.decode(block.data)
    if taken is None or taken[1] != len(block.data):
        raise WireError("copies: not one number")
    return taken[0]


def read_age(block: Block) -> int | None:
    """Microseconds, None for a block that is no Age; WireError for an Age that is no SDNV.

    Number 10 is taken for IBR-DTN's Age when it is one SDNV, and is left alone otherwise.
    """
    if block.kind not in (AGE, AGE_OF_OTHERS):
        return None
    try:
        taken = sdnv.decode(block.data)
    except WireError:
        taken = None
    if taken is not None and taken[1] == len(block.data):
        return taken[0]
    if block.kind == AGE:
        raise WireError("age: not one number")
    return None
