from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import pack
from radics_mesh.ids import NodeId
from radics_mesh.knowledge import index
from radics_mesh.records import Kind
from tests.members import member


def test_what_stands_in_each_directory() -> None:
    found = index.children(["camera/hall/door", "camera/hall/attic", "camera/door", "clock"])
    assert found == {
        "": ["camera/", "clock"],
        "camera/": ["door", "hall/"],
        "camera/hall/": ["attic", "door"],
    }


def test_many_names_are_cut_into_records_that_fit() -> None:
    names = sorted(f"sensor-{number}" for number in range(300))
    cut = index.parts(names)
    assert [name for part in cut for name in part] == names
    assert all(len(pack(part)) <= index.PART_BYTES + 5 for part in cut)
    endless = index.parts([f"{number:0199}" for number in range(1000)])
    assert len(endless) == index.PARTS_MAX


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["door", "hall/"], {"a/door", "a/hall/"}),
        (["", "/", "x/y", "*", "\n", 7, None, b"door"], set()),
        ("door", set()),
        (None, set()),
    ],
)
def test_what_others_say_is_taken_as_far_as_it_can_be(names: object, expected: set[str]) -> None:
    assert index.named({"names": names}, "a/") == expected


@pytest.mark.parametrize(("said", "count"), [(3, 2), (0, 0), (10**9, 15), ("9", 0), (True, 0)])
def test_the_number_of_parts_is_bounded(said: object, count: int) -> None:
    assert len(index.further_parts({"parts": said})) == count


def test_a_page_keeps_so_many_and_the_rest_knows_it() -> None:
    nodes = [member(number)[0].node_id for number in range(40)]
    staying = [node for node in nodes if index.stays(node, nodes, "source::camera/")]
    assert len(staying) == index.SPLIT


@given(st.binary(min_size=20, max_size=20))
def test_the_bits_of_a_page_are_those_of_the_id(raw: bytes) -> None:
    node = NodeId(raw)
    bits = "".join(index.bit(node, depth) for depth in range(160))
    assert int(bits, 2).to_bytes(20, "big") == raw
    assert len(index.part_subject(Kind.SOURCE, "d" * 200, node, 15).encode()) <= 255
