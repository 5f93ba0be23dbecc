from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from kademlia.node import Node

from radics_mesh.dht.table import ExactTable

ids = st.binary(min_size=20, max_size=20)
K = 4


class Doubts:
    def __init__(self) -> None:
        self.doubted: list[bytes] = []

    def crowd(self, node: Node) -> None:
        self.doubted.append(node.id)


def _table(own: bytes, others: list[bytes]) -> tuple[ExactTable, Doubts]:
    doubts = Doubts()
    table = ExactTable(doubts, K, Node(own))
    for number, node_id in enumerate(others):
        table.add_contact(Node(node_id, "10.0.0.1", number + 1))
    return table, doubts


@given(ids, st.sets(ids, max_size=40), ids)
def test_neighbours_are_exactly_the_closest(own: bytes, others: set[bytes], target: bytes) -> None:
    table, _ = _table(own, sorted(others - {own}))
    wanted = Node(target)
    known = sorted(table.contacts(), key=wanted.distance_to)
    closest = [node.id for node in known if node.id != target][:K]
    assert [node.id for node in table.find_neighbors(wanted)] == closest


@given(ids, st.sets(ids, min_size=1, max_size=60))
def test_buckets_hold_k_and_the_own_neighbourhood_is_complete(
    own: bytes, others: set[bytes]
) -> None:
    others -= {own}
    table, doubts = _table(own, sorted(others))
    assert all(len(bucket) <= K for bucket in table.buckets)
    assert all(bucket.has_in_range(node) for bucket in table.buckets for node in bucket.get_nodes())
    assert len(table) == len(others) or doubts.doubted


def test_the_last_id_of_a_bucket_belongs_to_it() -> None:
    table, _ = _table(bytes(20), [bytes([n]) + bytes(19) for n in range(1, 40)])
    for bucket in table.buckets:
        last = bucket.range[1].to_bytes(20, "big")
        assert table.buckets[table.get_bucket_for(Node(last))] is bucket


def test_a_contact_that_fails_makes_room_for_one_that_waited() -> None:
    far = [b"\xff" + bytes([n]) + bytes(18) for n in range(K + 1)]
    near = [bytes(19) + bytes([n]) for n in range(1, K + 1)]
    table, doubts = _table(bytes(20), near + far)
    assert doubts.doubted == [far[0]]
    table.remove_contact(Node(far[0]))
    assert table.contact(far[K]) is not None


def test_leaving_out_who_asks() -> None:
    table, _ = _table(bytes(20), [b"\x01" * 20, b"\x02" * 20])
    asking = Node(b"\x09" * 20, "10.0.0.1", 1)
    assert [n.port for n in table.find_neighbors(Node(b"\x01" * 20), exclude=asking)] == [2]
