"""Bundles (RFC 5050 section 4): the primary block, the blocks after it, and a bundle's identity.

Primary block: version 6, SDNV flags, SDNV length of what follows in it, then SDNVs: four EIDs
(destination, source, report-to, custodian) as pairs, creation time and sequence, lifetime (s),
dictionary length; the dictionary; for a fragment two more SDNVs, offset and total length.

A Bundle holds meanings, not bytes: dictionaries are re-packed by every hop. What this module
writes is strict; what it reads may have padded numbers, reserved flags and unknown blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from radics_mesh.dtn.wire import blocks, sdnv
from radics_mesh.dtn.wire.blocks import Block, Dictionary, LargeBlock, Names, number, packed
from radics_mesh.dtn.wire.content import Content, FileBytes, Joined, joined, rest, stretch
from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import NONE_EID, Eid

VERSION = 6

FRAGMENT = 0x01
ADMINISTRATIVE = 0x02
MUST_NOT_FRAGMENT = 0x04
CUSTODY = 0x08
SINGLETON = 0x10
ACKNOWLEDGEMENT_WANTED = 0x20  # from the application that gets it
PRIORITY_SHIFT = 7
# RFC 5050 section 4.2: 0 bulk, 1 normal, 2 expedited; 3 is reserved and treated as expedited.
BULK, NORMAL, EXPEDITED = 0, 1, 2
# What a bundle is that asks for nothing.
ORDINARY = SINGLETON | NORMAL << PRIORITY_SHIFT

# Which status reports are wanted (RFC 5050 section 4.2).
REPORT_RECEPTION = 0x4000
REPORT_CUSTODY = 0x8000
REPORT_FORWARDING = 0x1_0000
REPORT_DELIVERY = 0x2_0000
REPORT_DELETION = 0x4_0000
REPORTS = 0x7_C000

_BLOCKS_MAX = 64
# Of a bundle in a file: a primary block or a block's head is not longer, and all blocks but the
# payload, which are in memory, have not more.
_HEAD_BYTES = 1 << 16
_OTHERS_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class BundleId:
    """What makes a bundle that bundle (RFC 5050 section 4.5.1); the last two for fragments only."""

    source: Eid
    created: int
    sequence: int
    offset: int | None = None
    length: int | None = None

    def __str__(self) -> str:
        """`source created.sequence` and, for a fragment, ` offset+length`."""
        whole = f"{self.source} {self.created}.{self.sequence}"
        return whole if self.offset is None else f"{whole} {self.offset}+{self.length}"

    @classmethod
    def parse(cls, text: str) -> BundleId:
        """Inverse of str(); WireError."""
        source, _, rest = text.partition(" ")
        stamp, _, part = rest.partition(" ")
        created, _, sequence = stamp.partition(".")
        offset, _, length = part.partition("+")
        try:
            whole = cls(Eid(source), int(created), int(sequence))
            return replace(whole, offset=int(offset), length=int(length)) if part else whole
        except ValueError as error:
            raise WireError(f"not a bundle's identity: {text[:80]!r}") from error

    @property
    def whole(self) -> BundleId:
        """Of a fragment, the bundle that it was cut from."""
        return self if self.offset is None else BundleId(self.source, self.created, self.sequence)


@dataclass(frozen=True, slots=True)
class Fragment:
    """Where this payload stands in the whole (bytes)."""

    offset: int
    total: int


@dataclass(frozen=True, slots=True)
class Bundle:
    """`flags` never hold FRAGMENT: it follows from `fragment`. `created` is DTN time, 0 unknown."""

    destination: Eid
    source: Eid
    created: int
    sequence: int
    lifetime_s: int
    blocks: tuple[Block, ...]
    flags: int = ORDINARY
    report_to: Eid = NONE_EID
    custodian: Eid = NONE_EID
    fragment: Fragment | None = None

    @property
    def id(self) -> BundleId:
        if self.fragment is None:
            return BundleId(self.source, self.created, self.sequence)
        place = self.fragment.offset, len(self.content)
        return BundleId(self.source, self.created, self.sequence, *place)

    @property
    def payload(self) -> bytes:
        """Empty when there is no payload block (RFC 5050 allows that)."""
        return bytes(self.content)

    @property
    def content(self) -> Content:
        """The payload, in memory or in a file."""
        block = self.block(blocks.PAYLOAD)
        return block.content if block else b""

    @property
    def priority(self) -> int:
        return min(self.flags >> PRIORITY_SHIFT & 3, EXPEDITED)

    @property
    def age_us(self) -> int | None:
        """What the Age block says, None without one."""
        ages = [age for block in self.blocks if (age := blocks.read_age(block)) is not None]
        return max(ages, default=None)

    def block(self, kind: int) -> Block | None:
        """The first block of a type."""
        for block in self.blocks:  # a generator would take twice as long
            if block.kind == kind:
                return block
        return None

    def with_blocks(self, changed: tuple[Block, ...]) -> Bundle:
        return replace(self, blocks=changed)

    def encode(self) -> bytes:
        """The bytes that go on the wire."""
        return b"".join([bytes(part) for part in self._parts()])

    def encoded(self) -> bytes | Joined:
        """The same, but what is in a file stays there."""
        return joined(self._parts())

    def _parts(self) -> list[Content]:
        if not self.blocks:
            raise UsageError("a bundle has at least one block besides the primary one")
        own = self.destination, self.source, self.report_to, self.custodian
        referred = (eid for block in self.blocks for eid in block.references)
        dictionary = packed((*own, *referred))
        last = self.blocks[-1]
        parts: list[Content] = [self._primary(own, dictionary)]
        for block in self.blocks:
            parts.append(blocks.encode_head(block, dictionary, last=block is last))
            parts.append(block.content)
        return parts

    def _primary(self, eids: tuple[Eid, ...], dictionary: Dictionary) -> bytes:
        flags = self.flags & ~FRAGMENT | (FRAGMENT if self.fragment else 0)
        rest = [dictionary.pair(eid) for eid in eids]
        rest += map(sdnv.encode, (self.created, self.sequence, self.lifetime_s))
        rest += (sdnv.encode(len(dictionary.packed)), dictionary.packed)
        if self.fragment:
            rest += map(sdnv.encode, (self.fragment.offset, self.fragment.total))
        body = b"".join(rest)
        return bytes((VERSION,)) + sdnv.encode(flags) + sdnv.encode(len(body)) + body

    @classmethod
    def parse(cls, data: Content) -> Bundle:
        """The one complete bundle that `data` is; WireError. Of one in a file the payload stays
        there; LinkError when it cannot be read."""
        if isinstance(data, FileBytes):
            return _parse_file(data)
        data = bytes(data)
        primary, end = _Primary.of(data)
        found = _parse_blocks(data, end, primary.names)
        bundle = primary.bundle(found)
        _check_fragment(bundle, len(bundle.content))
        return bundle

    @classmethod
    def parse_part(cls, data: Content) -> tuple[Bundle, int]:
        """The bundle that begins with `data`: the blocks before its payload, of that as much as is
        there, nothing behind it; and how long its payload is to be. WireError when the payload
        does not even begin."""
        primary, offset = _Primary.of(data[:_HEAD_BYTES])
        found: list[Block] = []
        while True:
            window = data[offset : offset + _HEAD_BYTES]
            kind, flags, references, start, length = blocks.decode_head(window, 0, primary.names)
            offset += start
            there = min(length, len(data) - offset)
            empty = Block(kind, flags & ~(blocks.LAST | blocks.HAS_REFERENCES), b"", references)
            content = stretch(data, offset, there)
            if kind != blocks.PAYLOAD:
                content = bytes(content[:_OTHERS_MAX_BYTES])
            found.append(blocks.with_content(empty, content))
            if kind == blocks.PAYLOAD and there:
                break
            if there < length or flags & blocks.LAST or length > _OTHERS_MAX_BYTES:
                raise WireError("bundle: ends before its payload")
            _check_count(found)
            offset += length
        bundle = primary.bundle(tuple(found))
        _check_fragment(bundle, length)
        return bundle, length


class _Primary:
    """A primary block being read; `data` ends where it must end."""

    def __init__(self, data: bytes, offset: int, flags: int) -> None:
        self._flags = flags
        values = []
        size_bytes = len(data)
        for _ in range(12):
            if offset < size_bytes and data[offset] < 128:  # as `number`, without a call
                value, offset = data[offset], offset + 1
            else:
                value, offset = number(data, offset)
            values.append(value)
        end = offset + values[11]
        if end > len(data):
            raise WireError("bundle: the dictionary is longer than its block")
        self.names = Names(data[offset:end])
        self._values = values
        self._fragment: Fragment | None = None
        if flags & FRAGMENT:
            start, end = number(data, end)
            total, end = number(data, end)
            self._fragment = Fragment(start, total)
        if end != len(data):
            raise WireError("bundle: the primary block's length is wrong")

    @classmethod
    def of(cls, head: bytes) -> tuple[_Primary, int]:
        """(the block that it begins with, where that ends); WireError."""
        if not head or head[0] != VERSION:
            raise WireError("bundle: not version 6")
        flags, offset = number(head, 1)
        length, offset = number(head, offset)
        end = offset + length
        if end > len(head):
            raise WireError("bundle: ends within the primary block, or that is too large")
        return cls(head[:end], offset, flags), end

    def bundle(self, found: tuple[Block, ...]) -> Bundle:
        value, eid = self._values, self.names.eid
        return Bundle(
            destination=eid(value[0], value[1]),
            source=eid(value[2], value[3]),
            report_to=eid(value[4], value[5]),
            custodian=eid(value[6], value[7]),
            created=value[8],
            sequence=value[9],
            lifetime_s=value[10],
            blocks=found,
            flags=self._flags & ~FRAGMENT,
            fragment=self._fragment,
        )


def with_block_in_front(raw: Content, block: Block) -> bytes | Joined:
    """An encoded bundle with one more block, which refers to no EIDs; nothing is parsed anew."""
    head = raw[:_HEAD_BYTES]
    _, offset = number(head, 1)
    length, offset = number(head, offset)
    end = offset + length
    own = blocks.encode_head(block, packed(()), last=False)
    return joined([raw[:end], own, block.content, rest(raw, end)])


def _parse_file(file: FileBytes) -> Bundle:
    """Reads the primary block and all others but the payload."""
    primary, end = _Primary.of(file[:_HEAD_BYTES])
    bundle = primary.bundle(_parse_blocks_of(file, end, primary.names))
    _check_fragment(bundle, len(bundle.content))
    return bundle


def _parse_blocks_of(file: FileBytes, offset: int, names: Names) -> tuple[Block, ...]:
    found: list[Block] = []
    last, others_bytes = False, 0
    while not last:
        window = file[offset : offset + _HEAD_BYTES]
        kind, flags, references, start, length = blocks.decode_head(window, 0, names)
        if offset + start + length > len(file):
            raise WireError("bundle: ends within a block")
        flags, last = flags & ~(blocks.LAST | blocks.HAS_REFERENCES), bool(flags & blocks.LAST)
        data = file.part(offset + start, length)
        if kind == blocks.PAYLOAD:
            found.append(LargeBlock(kind, flags, data, references))
        else:
            others_bytes += length
            if others_bytes > _OTHERS_MAX_BYTES:
                raise WireError("bundle: more than that beside the payload is not taken")
            found.append(Block(kind, flags, bytes(data), references))
        offset += start + length
        _check_count(found)
    return _checked(found, offset, len(file))


def _parse_blocks(data: bytes, offset: int, names: Names) -> tuple[Block, ...]:
    found: list[Block] = []
    last = False
    while not last:
        block, last, offset = blocks.decode(data, offset, names)
        found.append(block)
        _check_count(found)
    return _checked(found, offset, len(data))


def _check_count(found: list[Block]) -> None:
    if len(found) > _BLOCKS_MAX:
        raise WireError(f"bundle: more than {_BLOCKS_MAX} blocks")


def _checked(found: list[Block], end: int, size_bytes: int) -> tuple[Block, ...]:
    if end != size_bytes:
        raise WireError("bundle: bytes after the last block")
    if sum(block.kind == blocks.PAYLOAD for block in found) > 1:  # RFC 5050 section 4
        raise WireError("bundle: two payload blocks")
    return tuple(found)


def _check_fragment(bundle: Bundle, payload_bytes: int) -> None:
    place = bundle.fragment
    if place and place.offset + payload_bytes > place.total:
        raise WireError("bundle: a fragment that reaches past its whole")
