"""Whom a node's record names."""

from __future__ import annotations

from radics_mesh.codec import Fields
from radics_mesh.errors import WireError
from radics_mesh.ids import NodeId
from radics_mesh.records import Record

NEIGHBOURS_MAX = 32


def named_neighbours(record: Record) -> set[NodeId]:
    """The nodes that a node record calls its neighbours, as far as it is well-formed."""
    listed = record.body.get("neighbours")
    named = set()
    for item in listed[:NEIGHBOURS_MAX] if isinstance(listed, list) else ():
        try:
            named.add(NodeId.parse(Fields(item, "neighbour").text()))
        except WireError:
            continue
    return named
