"""What nodes tell each other about mesh keys, in bundles and in their records.

  [kind, chain, ids, [[statement, sealed key], ...]]     kind 2 asks, 1 answers that, 0 brings news

A question and an answer name the keys whose statements their sender holds, and show its chain of
invitations: so that the other can tell it from a revoked node, and knows whom to seal to. News have
neither. In a node's own record `mesh_key` is [epoch, beginning of the key id] of its newest.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from radics_mesh.codec import Fields, pack
from radics_mesh.identity import seal
from radics_mesh.keyring import LIVE_MAX, MeshKey
from radics_mesh.membership import CHAIN_MAX_BYTES
from radics_mesh.records import Record
from radics_mesh.rotations import KEY_ID_BYTES, SECRET_BYTES, STATEMENT_MAX_BYTES

# Ids in a question; a node holds fewer.
_IDS_MAX = 64
_BOX_BYTES = SECRET_BYTES + 48
_MESSAGE_MAX_BYTES = LIVE_MAX * (STATEMENT_MAX_BYTES + _BOX_BYTES + 16) + CHAIN_MAX_BYTES + 2048
# A packed statement and its key, sealed.
Box = tuple[bytes, bytes]


class Kind(enum.IntEnum):
    NEWS = 0
    ANSWER = 1
    QUESTION = 2


@dataclass(frozen=True)
class Message:
    kind: Kind
    chain: bytes = b""
    ids: frozenset[bytes] = frozenset()
    boxes: tuple[Box, ...] = ()

    def pack(self) -> bytes:
        boxes = [list(box) for box in self.boxes]
        return pack([int(self.kind), self.chain, sorted(self.ids), boxes])

    @classmethod
    def parse(cls, payload: bytes) -> Message:
        """WireError for all that is none; says nothing about what is in the boxes."""
        fields = Fields.parse(payload, "mesh keys", limit_bytes=_MESSAGE_MAX_BYTES)
        kind = Kind(fields.integer(Kind.NEWS, Kind.QUESTION))
        chain = fields.blob(limit=CHAIN_MAX_BYTES)
        items = fields.items(limit=_IDS_MAX)
        ids = frozenset(Fields([item], "mesh key's id").blob(KEY_ID_BYTES) for item in items)
        boxes = tuple(map(_box, fields.items(limit=LIVE_MAX)))
        fields.end()
        return cls(kind, chain, ids, boxes)


def _box(item: object) -> Box:
    pair = Fields(item, "mesh key")
    box = pair.blob(limit=STATEMENT_MAX_BYTES), pair.blob(_BOX_BYTES)
    pair.end()
    return box


def boxed(key: MeshKey, public: bytes) -> Box:
    """A key whose statement is held, so that only the holder of `public` can read it."""
    assert key.rotation is not None
    return key.rotation.pack(), seal(public, key.secret)


def said_in(record: Record) -> tuple[int, bytes] | None:
    """Epoch and beginning of the id of what a node says that it holds; None: it says nothing."""
    said = record.body.get("mesh_key")
    if not isinstance(said, (list, tuple)) or len(said) != 2:
        return None
    epoch, name = said
    if type(epoch) is not int or not isinstance(name, bytes):
        return None
    return epoch, name
