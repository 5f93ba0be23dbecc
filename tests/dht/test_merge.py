from __future__ import annotations

import itertools

from radics_mesh.dht.merge import Merge
from tests.dht.world import Facts, fact, fact_key, node_id

OLD, NEW, OTHER = (fact(node_id(*who), seq, "cats: purr") for *who, seq in ((1, 1), (1, 2), (2, 1)))


def _merge() -> Merge:
    return Merge(fact_key("cats"), Facts())


def test_the_newest_of_each_publisher_in_any_order() -> None:
    for order in itertools.permutations([OLD, NEW, OTHER]):
        merge = _merge()
        for holder, value in enumerate(order):
            assert merge.offer(holder, [value]) == 0
        assert sorted(merge.values()) == sorted([NEW, OTHER])


def test_it_knows_what_each_holder_lacks() -> None:
    merge = _merge()
    merge.offer("old", [OLD])
    merge.offer("new", [NEW, OTHER])
    assert sorted(merge.missing("old")) == sorted([NEW, OTHER])
    assert merge.missing("new") == []
    assert sorted(merge.missing("who said nothing")) == sorted([NEW, OTHER])


def test_what_does_not_count_is_counted() -> None:
    merge = _merge()
    assert merge.offer("liar", [b"junk", NEW[:-1] + b"x", fact(node_id(1), 3, "dogs: bark")]) == 3
    assert merge.values() == []
    assert Merge(fact_key("cats"), None).offer("early", [NEW]) == 1
