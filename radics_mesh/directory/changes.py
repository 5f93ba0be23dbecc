"""That a fact is news."""

from __future__ import annotations

from dataclasses import dataclass

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
