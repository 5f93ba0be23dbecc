"""That a fact is news: told to whoever follows all of it, and to those who watch a part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import trio

from radics_mesh.broadcast import Broadcast
from radics_mesh.ids import NodeId
from radics_mesh.records import Kind

Slotted = tuple[Kind, str, NodeId]


@dataclass(frozen=True)
class Change:
    """A fact is news: stated, renewed, withdrawn, gone stale, or (a VM) handed on.

    `publisher` is who stated it, or the VM's new holder.
    """

    kind: Kind
    subject: str
    publisher: NodeId


class Changes:
    """A slow listener loses the oldest (see Broadcast); `first` is called with each, at once."""

    def __init__(self) -> None:
        self.first: Callable[[Change], None] = lambda change: None
        self._all: Broadcast[Change] = Broadcast()

    def tell(self, change: Change) -> None:
        self.first(change)
        self._all.tell(change)

    def listen(self) -> trio.MemoryReceiveChannel[Change]:
        return self._all.listen()
