"""What a node tells its guests of the mesh: bounded, and one field is one field."""

from __future__ import annotations

from typing import Any, cast

from radics_mesh.control_shapes.mesh import NodeRow, SourceRow
from radics_mesh.ids import NodeId
from radics_mesh.node.mesh_text import mesh_text
from radics_mesh.vmm import abi


def node(number: int, **changes: Any) -> NodeRow:
    row = {
        "id": NodeId(number.to_bytes(20)).text,
        "name": f"node{number}",
        "arch": "x86_64",
        "cores": 4,
        "load": 0.25,
        "memory_free": 1 << 20,
        "vms": 2,
        "rtt_s": None,
        "age_s": 3.0,
        "self": False,
        **changes,
    }
    return cast(NodeRow, row)


def source(name: str) -> SourceRow:
    return cast(SourceRow, {"name": name, "publisher": "node1", "age_s": 1.0})


def test_this_node_then_the_nearest_then_sources() -> None:
    nodes = [node(1), node(2, rtt_s=0.2), node(3, rtt_s=0.1), node(4, self=True)]
    lines = mesh_text(nodes, [source("text")]).decode().splitlines()
    assert [line.split("\t")[1] for line in lines] == ["node4", "node3", "node2", "node1", "text"]
    eid = NodeId((3).to_bytes(20)).eid
    fields = (eid, "x86_64", "4", "0.250", str(1 << 20), "2", "0.100000", "3.0", "-")
    assert lines[1].split("\t") == ["node", "node3", *fields]
    assert lines[0].endswith("\t-\t3.0\there")
    assert lines[4] == "source\ttext\tnode1\t1.0"


def test_names_are_others_and_stay_one_field() -> None:
    [line] = mesh_text([node(1, name="a\tb\nc" + "é" * 100, arch="")], []).decode().splitlines()
    fields = line.split("\t")
    assert fields[1].startswith("a?b?céé")
    assert len(fields[1].encode()) <= 63
    assert fields[3] == "?"


def test_a_big_mesh_is_cut_at_a_line() -> None:
    text = mesh_text(
        [node(n, rtt_s=n / 1000) for n in range(1, 5000)],
        [source("s" * 200 + str(n)) for n in range(1000)],
    )
    assert abi.MESSAGE_MAX - 1000 < len(text) <= abi.MESSAGE_MAX
    lines = text.decode().splitlines()
    assert text.endswith(b"\n")
    assert lines[0].startswith("node\tnode1\t")
    assert len([line for line in lines if line.startswith("source")]) > 100
