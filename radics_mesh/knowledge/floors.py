"""How new a record must be at least that is not in the book, by kind and publisher. Sans-IO.

A publisher numbers everything that it signs in one growing sequence, and whatever it still means it
signs anew every third of its life. So when a record is forgotten for its age, all that the same
publisher had signed before has been renewed since or is over too, and one number bars it all: no
withdrawn record comes back when its withdrawal is forgotten, whoever kept a copy of it.
"""

from __future__ import annotations

from collections import OrderedDict

from radics_mesh.codec import Fields
from radics_mesh.errors import WireError
from radics_mesh.ids import NodeId
from radics_mesh.records import Kind, Record

FLOORS_MAX = 8192


class Floors:
    def __init__(self) -> None:
        self._below: OrderedDict[tuple[Kind, NodeId], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._below)

    def bars(self, record: Record) -> bool:
        """Whether it is from before something that was forgotten."""
        return record.sequence <= self._below.get((record.kind, record.publisher), -1)

    def forgotten(self, record: Record) -> None:
        """From now on bar it, and what is older. The number least recently raised gives way."""
        slot = (record.kind, record.publisher)
        self._below[slot] = max(record.sequence, self._below.get(slot, -1))
        self._below.move_to_end(slot)
        if len(self._below) > FLOORS_MAX:
            self._below.popitem(last=False)

    def dump(self) -> list[object]:
        """For msgpack."""
        return [[kind.value, bytes(node), below] for (kind, node), below in self._below.items()]

    def load(self, rows: list[object]) -> None:
        """Take back what `dump` gave; rows that are something else are left out."""
        for row in rows:
            try:
                fields = Fields(row, "floor")
                slot = (Kind(fields.text()), NodeId(fields.blob(20)))
                self._below[slot] = fields.integer(0, 1 << 62)
            except (WireError, ValueError):
                continue
