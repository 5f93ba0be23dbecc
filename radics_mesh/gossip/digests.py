"""What a node holds, as others can compare it: names, versions, and sums over buckets. Sans-IO.

An *item* stands for the newest record of one fact by one publisher. Its *version* is a hash of what
the record says, without what changes all the time and is told again anyway (a load, a rate): so
two nodes that know the same compare equal although one has heard a later renewal. All items are
sorted into BUCKETS by their names; a bucket's *sum* is the XOR of its names and versions.

Layouts: a name, a version: 8 bytes; a tag (of a publisher, of a fact): 4; an item
  name, version, sequence (8 bytes, big-endian), publisher's tag, fact's tag: ITEM_BYTES
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.ids import NodeId
from radics_mesh.knowledge.book import Entry
from radics_mesh.records import RECORD_MAX_BYTES, Kind, Record

NAME_BYTES, TAG_BYTES, SUM_BYTES = 8, 4, 6
BUCKETS = 64
ITEM_BYTES = 32
_ITEM = struct.Struct(">8s8sQ4s4s")
# What is told with every renewal, and is no news.
_VOLATILE = frozenset({"load", "memory_free", "messages", "neighbours", "rate", "vms"})
_REMEMBERED = 16384


@dataclass(frozen=True)
class Item:
    name: bytes
    version: bytes
    sequence: int
    publisher: bytes
    fact: bytes

    @property
    def bucket(self) -> int:
        return self.name[0] % BUCKETS

    def pack(self) -> bytes:
        return _ITEM.pack(self.name, self.version, self.sequence, self.publisher, self.fact)

    def is_of(self, scope: frozenset[bytes]) -> bool:
        """Whether a scope has it: tags of publishers and of facts; an empty one has all."""
        return not scope or self.publisher in scope or self.fact in scope


def parse_items(raw: bytes) -> list[Item]:
    """WireError when it is not a whole number of items."""
    if len(raw) % ITEM_BYTES:
        raise WireError("items of another length")
    return [Item(*fields) for fields in _ITEM.iter_unpack(raw)]


def publisher_tag(node: NodeId) -> bytes:
    return _hash(b"publisher", node)[:TAG_BYTES]


def fact_tag(kind: Kind, subject: str) -> bytes:
    return _hash(b"fact", kind.value.encode(), subject.encode())[:TAG_BYTES]


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"\0".join(parts), digest_size=8).digest()


class Index:
    """The items of records; each is computed once."""

    def __init__(self) -> None:
        self._items: dict[bytes, Item] = {}

    def item(self, record: Record) -> Item:
        # A signature stands for its record, and is unique.
        known = self._items.get(record.signature)
        if known is None:
            if len(self._items) >= _REMEMBERED:
                self._items.clear()
            known = self._items[record.signature] = _item(record)
        return known

    def of(self, entries: Iterable[Entry]) -> dict[bytes, tuple[Item, Entry]]:
        """By name."""
        items = ((self.item(entry.record), entry) for entry in entries)
        return {item.name: (item, entry) for item, entry in items}


def name_in(raw: bytes) -> bytes | None:
    """The name that a packed record claims, not checked; None for what is no record."""
    try:
        envelope = Fields.parse(raw, "record", limit_bytes=RECORD_MAX_BYTES)
        for _ in range(3):  # age, signature, chain
            envelope.any()
        said = Fields.parse(envelope.blob(), "record")
        said.integer()
        kind, subject, key = said.text(), said.text(), said.blob()
    except WireError:
        return None
    return _name(kind, subject, NodeId.of_key(key))


def _name(kind: str, subject: str, publisher: NodeId) -> bytes:
    return _hash(kind.encode(), subject.encode("utf-8", "surrogatepass"), publisher)


def _item(record: Record) -> Item:
    kind, subject, publisher = record.slot
    said = sorted((k, v) for k, v in record.body.items() if k not in _VOLATILE)
    return Item(
        name=_name(kind.value, subject, publisher),
        version=_hash(pack([record.withdrawn, said])),
        sequence=record.sequence,
        publisher=publisher_tag(publisher),
        fact=fact_tag(kind, subject),
    )


def sums(items: Iterable[Item]) -> bytes:
    """One for each bucket, one after the other."""
    added = [0] * BUCKETS
    for item in items:
        added[item.bucket] ^= int.from_bytes(_hash(item.name, item.version)[:SUM_BYTES], "big")
    return b"".join(one.to_bytes(SUM_BYTES, "big") for one in added)


def differing(ours: bytes, theirs: bytes) -> set[int]:
    """The buckets in which two nodes know something else."""
    return {
        bucket
        for bucket in range(BUCKETS)
        if ours[bucket * SUM_BYTES :][:SUM_BYTES] != theirs[bucket * SUM_BYTES :][:SUM_BYTES]
    }
