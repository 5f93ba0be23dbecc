from __future__ import annotations

from kademlia.node import Node

from radics_mesh.dht.frontier import ASKED_MAX, CREDIT, Frontier

TARGET = Node(bytes(20))


def node(distance: int, port: int | None = None) -> Node:
    return Node(distance.to_bytes(20, "big"), "10.0.0.1", port or distance)


def asked(frontier: Frontier) -> list[int]:
    return [one.long_id for one in iter(frontier.next, None)]


def test_the_closest_are_asked_first() -> None:
    frontier = Frontier(TARGET, 3, [node(5), node(2), node(9)])
    assert asked(frontier) == [2, 5, 9]


def test_who_lies_beyond_k_that_answered_is_not_asked() -> None:
    frontier = Frontier(TARGET, 2, [node(2), node(5), node(9)])
    for _ in range(2):
        one = frontier.next()
        assert one is not None
        frontier.answered(one)
    assert frontier.next() is None
    assert [one.long_id for one in frontier.nearest()] == [2, 5]


def test_a_word_is_good_for_two_until_they_answer() -> None:
    liar, honest = node(100), node(101)
    frontier = Frontier(TARGET, 8, [liar, honest])
    for one in (liar, honest):
        assert frontier.next() is one
        frontier.answered(one)
    frontier.hear(liar, [node(n) for n in range(1, 9)])
    frontier.hear(honest, [node(n) for n in range(11, 19)])
    assert asked(frontier) == [1, 2, 11, 12]
    assert CREDIT == 2
    for number in (11, 12):
        frontier.answered(node(number))
    assert asked(frontier) == [13, 14, 15, 16, 17, 18]


def test_who_failed_does_not_come_back_by_hearsay() -> None:
    frontier = Frontier(TARGET, 8, [node(1), node(2)])
    assert asked(frontier) == [1, 2]
    frontier.failed(node(1))
    frontier.answered(node(2))
    frontier.hear(node(2), [Node(node(1).id, "10.0.0.9", 9)])
    assert frontier.next(anybody=True) is None


def test_one_address_counts_once() -> None:
    frontier = Frontier(TARGET, 8, [node(50)])
    assert asked(frontier) == [50]
    frontier.answered(node(50))
    frontier.hear(node(50), [node(number, port=7) for number in range(1, 9)])
    assert len(asked(frontier)) == 1


def test_of_a_long_list_only_the_k_closest_count() -> None:
    frontier = Frontier(TARGET, 4, [node(1000)])
    frontier.answered(node(1000))
    frontier.hear(node(1000), [node(number) for number in range(1, 33)])
    found = 0
    while one := frontier.next(anybody=True):
        frontier.failed(one)
        found += 1
    assert found == 4


def test_a_look_up_ends_whatever_it_is_told() -> None:
    frontier = Frontier(TARGET, 200, [node(number) for number in range(1, 500)])
    assert len(asked(frontier)) == ASKED_MAX


def test_the_depth_is_how_far_the_word_went() -> None:
    frontier = Frontier(TARGET, 8, [node(9)])
    for number in (9, 5, 3):
        assert asked(frontier) == [number]
        frontier.answered(node(number))
        frontier.hear(node(number), [node(number - 2)] if number == 5 else [node(5)])
    assert frontier.depth == 3
