"""What this node knows of the mesh, as text for its guests (guest_lib/client/mesh.c reads it).

Lines of fields between tabs: a node's is "node", name, EID, architecture, cores, CPU share in use,
bytes free for guests, VMs, round trip in s or "-", age of this in s, "here" or "-"; a source's is
"source", name, publisher's name, age. What does not fit into one message is left out: nodes far
away first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from radics_mesh.control_shapes.mesh import NodeRow, SourceRow
from radics_mesh.ids import NodeId
from radics_mesh.vmm import abi

_SOURCES_MAX_BYTES = abi.MESSAGE_MAX // 2
_UNPRINTABLE = re.compile(r"[\0-\x1f\x7f]")


def mesh_text(nodes: Iterable[NodeRow], sources: Iterable[SourceRow]) -> bytes:
    """At most abi.MESSAGE_MAX bytes, whole lines."""
    nearest = sorted(nodes, key=lambda row: (not row["self"], _distance_s(row)))
    of_sources = _fitting(map(_source_line, sources), _SOURCES_MAX_BYTES)
    return _fitting(map(_node_line, nearest), abi.MESSAGE_MAX - len(of_sources)) + of_sources


def _fitting(lines: Iterable[str], room: int) -> bytes:
    text = bytearray()
    for line in lines:
        raw = line.encode() + b"\n"
        if len(text) + len(raw) > room:
            break
        text += raw
    return bytes(text)


def _distance_s(row: NodeRow) -> float:
    return math.inf if row["rtt_s"] is None else row["rtt_s"]


def _node_line(row: NodeRow) -> str:
    rtt = "-" if row["rtt_s"] is None else f"{row['rtt_s']:.6f}"
    fields = (
        _word(row["name"], 63),
        NodeId.parse(row["id"]).eid,
        _word(row["arch"], 15),
        f"{row['cores']}\t{row['load']:.3f}\t{row['memory_free']}\t{row['vms']}",
        f"{rtt}\t{row['age_s']:.1f}",
        "here" if row["self"] else "-",
    )
    return "\t".join(("node", *fields))


def _source_line(row: SourceRow) -> str:
    name, publisher = _word(row["name"], 255), _word(row["publisher"], 63)
    return f"source\t{name}\t{publisher}\t{row['age_s']:.1f}"


def _word(text: str, limit_bytes: int) -> str:
    """What others call themselves, as one field: never empty, no tab in it, whole characters."""
    word = _UNPRINTABLE.sub("?", text).encode()[:limit_bytes].decode("utf-8", "ignore")
    return word or "?"
