"""The datagrams by which records are compared and passed on. Sans-IO.

Forms (msgpack):
  digest   [0, scope (tags), sums, aging (names), answers]   this I hold of what matters to me
  items    [1, items]       these I hold: in answer to a digest, or because they are news
  want     [2, names]       send me these
  record   [3, record]      packed, with its age
"""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.gossip.digests import (
    BUCKETS,
    ITEM_BYTES,
    NAME_BYTES,
    SUM_BYTES,
    TAG_BYTES,
    Item,
    parse_items,
)
from radics_mesh.records import RECORD_MAX_BYTES

SCOPE_MAX = 128
AGING_MAX = 8
ITEMS_MAX = 32
NAMES_MAX = 64
_DATAGRAM_MAX_BYTES = RECORD_MAX_BYTES + 8
_DIGEST, _ITEMS, _WANT, _RECORD = range(4)


@dataclass(frozen=True)
class Digest:
    """`aging`: held, but soon or already stale. `answers`: it answers another one."""

    scope: frozenset[bytes]
    sums: bytes
    aging: tuple[bytes, ...]
    answers: bool

    def pack(self) -> bytes:
        scope, aging = b"".join(sorted(self.scope)), b"".join(self.aging)
        return pack([_DIGEST, scope, self.sums, aging, self.answers])


@dataclass(frozen=True)
class Items:
    items: tuple[Item, ...]

    def pack(self) -> bytes:
        return pack([_ITEMS, b"".join(item.pack() for item in self.items)])


@dataclass(frozen=True)
class Want:
    names: tuple[bytes, ...]

    def pack(self) -> bytes:
        return pack([_WANT, b"".join(self.names)])


@dataclass(frozen=True)
class Carried:
    record: bytes

    def pack(self) -> bytes:
        return pack([_RECORD, self.record])


Message = Digest | Items | Want | Carried


def parse(datagram: bytes) -> Message:
    """WireError for all that is no message."""
    fields = Fields.parse(datagram, "records", limit_bytes=_DATAGRAM_MAX_BYTES)
    kind = fields.integer(_DIGEST, _RECORD)
    message: Message
    if kind == _DIGEST:
        message = Digest(
            frozenset(_cut(fields.blob(limit=SCOPE_MAX * TAG_BYTES), TAG_BYTES)),
            fields.blob(BUCKETS * SUM_BYTES),
            _cut(fields.blob(limit=AGING_MAX * NAME_BYTES), NAME_BYTES),
            fields.boolean(),
        )
    elif kind == _ITEMS:
        message = Items(tuple(parse_items(fields.blob(limit=ITEMS_MAX * ITEM_BYTES))))
    elif kind == _WANT:
        message = Want(_cut(fields.blob(limit=NAMES_MAX * NAME_BYTES), NAME_BYTES))
    else:
        message = Carried(fields.blob(limit=RECORD_MAX_BYTES))
    fields.end()
    return message


def _cut(raw: bytes, length: int) -> tuple[bytes, ...]:
    if len(raw) % length:
        raise WireError(f"not a whole number of {length} bytes")
    return tuple(raw[at : at + length] for at in range(0, len(raw), length))
