"""Bundles (RFC 5050 section 4): the primary block, the blocks after it, and a bundle's identity.

Primary block: version 6, SDNV flags, SDNV length of what follows in it, then SDNVs: four EIDs
(destination, source, report-to, custodian) as pairs, creation time and sequence, lifetime (s),
dictionary length; the dictionary; for a fragment two more SDNVs, offset and total length.

A Bundle holds meanings, not bytes: dictionaries are re-packed by every hop. What this module
writes is strict; what it reads may have padded numbers, reserved flags and unknown blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from radics_mesh.dtn import blocks, sdnv
from radics_mesh.dtn.blocks import Block, Dictionary, Names, number
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
        place = self.fragment.offset, len(self.payload)
        return BundleId(self.source, self.created, self.sequence, *place)

    @property
    def payload(self) -> bytes:
        """Empty when there is no payload block (RFC 5050 allows that)."""
        block = self.block(blocks.PAYLOAD)
        return block.data if block else b""

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
        return next((block for block in self.blocks if block.kind == kind), None)

    def with_blocks(self, changed: tuple[Block, ...]) -> Bundle:
        return replace(self, blocks=changed)

    def encode(self) -> bytes:
        """The bytes that go on the wire."""
        if not self.blocks:
            raise UsageError("a bundle has at least one block besides the primary one")
        own = self.destination, self.source, self.report_to, self.custodian
        referred = (eid for block in self.blocks for eid in block.references)
        dictionary = Dictionary((*own, *referred))
        final = len(self.blocks) - 1
        return b"".join(
            (
                self._primary(own, dictionary),
                *(
                    blocks.encode(block, dictionary, last=place == final)
                    for place, block in enumerate(self.blocks)
                ),
            )
        )

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
    def parse(cls, data: bytes) -> Bundle:
        """The one complete bundle that `data` is; WireError."""
        if not data or data[0] != VERSION:
            raise WireError("bundle: not version 6")
        flags, offset = number(data, 1)
        length, offset = number(data, offset)
        end = offset + length
        if end > len(data):
            raise WireError("bundle: ends within the primary block")
        primary = _Primary(data[:end], offset, flags)
        found = _parse_blocks(data, end, primary.names)
        bundle = primary.bundle(found)
        _check_fragment(bundle)
        return bundle


class _Primary:
    """A primary block being read; `data` ends where it must end."""

    def __init__(self, data: bytes, offset: int, flags: int) -> None:
        self._flags = flags
        values = []
        for _ in range(12):
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


def with_block_in_front(raw: bytes, block: Block) -> bytes:
    """An encoded bundle with one more block, which refers to no EIDs; nothing is parsed anew."""
    _, offset = number(raw, 1)
    length, offset = number(raw, offset)
    end = offset + length
    return raw[:end] + blocks.encode(block, Dictionary(()), last=False) + raw[end:]


def _parse_blocks(data: bytes, offset: int, names: Names) -> tuple[Block, ...]:
    found: list[Block] = []
    last = False
    while not last:
        block, last, offset = blocks.decode(data, offset, names)
        found.append(block)
        if len(found) > _BLOCKS_MAX:
            raise WireError(f"bundle: more than {_BLOCKS_MAX} blocks")
    if offset != len(data):
        raise WireError("bundle: bytes after the last block")
    if sum(block.kind == blocks.PAYLOAD for block in found) > 1:  # RFC 5050 section 4
        raise WireError("bundle: two payload blocks")
    return tuple(found)


def _check_fragment(bundle: Bundle) -> None:
    place = bundle.fragment
    if place and place.offset + len(bundle.payload) > place.total:
        raise WireError("bundle: a fragment that reaches past its whole")
