"""Records that one node has and another lacks: compared, passed on, never more than was asked."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Collection
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Monotonic
from radics_mesh.codec import pack
from radics_mesh.errors import MeshError, WireError
from radics_mesh.gossip import entropy as entropy_module
from radics_mesh.gossip import entropy_messages as messages
from radics_mesh.gossip.digests import Index, differing, publisher_tag, sums
from radics_mesh.gossip.entropy import Entropy
from radics_mesh.knowledge.book import Entry, RecordBook
from radics_mesh.link import SocketAddress
from radics_mesh.membership import Verifier
from radics_mesh.records import RECORD_MAX_BYTES, Kind, Record, sign
from tests.gossip.world import at
from tests.members import MESH, START, member


def record(
    number: int,
    sequence: int,
    *,
    kind: Kind = Kind.SOURCE,
    subject: str = "camera",
    ttl_s: int = 60,
    withdrawn: bool = False,
    **body: object,
) -> Record:
    identity, chain = member(number)
    if kind is Kind.NODE:
        subject = identity.node_id.text
    return sign(
        identity,
        chain,
        kind,
        subject,
        sequence=sequence,
        ttl_s=ttl_s,
        body=body,
        withdrawn=withdrawn,
    )


class Shelf:
    """A book of records, as gossip sees it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.book = RecordBook(Verifier(MESH))
        self.wants: frozenset[bytes] = frozenset()
        self._clock = clock

    def held(self) -> Collection[Entry]:
        return self.book.everything(Monotonic(self._clock()))

    def learn(self, raw: bytes) -> bool:
        try:
            return self.book.hold(self.book.parse(raw, START), Monotonic(self._clock()))
        except MeshError:
            return False

    def scope(self) -> frozenset[bytes]:
        return self.wants


class Shelves:
    """Numbered nodes that all reach each other, with some loss; time jumps to what is next."""

    def __init__(self, count: int, loss: float = 0.0) -> None:
        self.now = 0.0
        self.loss = loss
        self.random = Random(1)
        self.bytes = 0
        self.most = 0
        self.shelves = [Shelf(lambda: self.now) for _ in range(count)]
        self.nodes = [
            Entropy(shelf, proved=lambda address: True, random=Random(number), now=0.0)
            for number, shelf in enumerate(self.shelves)
        ]
        for number, node in enumerate(self.nodes):
            node.peers = [at(other) for other in range(count) if other != number]
        self._ties = itertools.count()
        self._heap: list[tuple[float, int, int, bytes, SocketAddress]] = []

    def put(self, number: int, one: Record) -> None:
        assert self.shelves[number].learn(one.pack(0.0))
        self.nodes[number].stir()

    def run(self, until: float, stop: Callable[[], bool] = lambda: False) -> bool:
        while self.now < until:
            due = min(node.deadline for node in self.nodes)
            arriving = self._heap[0][0] if self._heap else until
            self.now = min(max(self.now, min(due, arriving)), until)
            while self._heap and self._heap[0][0] <= self.now:
                _, _, number, datagram, source = heapq.heappop(self._heap)
                self.nodes[number].receive(datagram, source, self.now)
                self._carry(number)
            for number, node in enumerate(self.nodes):
                if node.deadline <= self.now:
                    node.tick(self.now)
                    self._carry(number)
            if stop():
                return True
        return stop()

    def _carry(self, number: int) -> None:
        outgoing, self.nodes[number].outgoing = self.nodes[number].outgoing, []
        for datagram, address in outgoing:
            self.bytes += len(datagram) + 69
            self.most = max(self.most, len(datagram))
            if self.random.random() >= self.loss:
                due = self.now + self.random.uniform(0.01, 0.08)
                target = int(address[0].rpartition(".")[2])
                heapq.heappush(self._heap, (due, next(self._ties), target, datagram, at(number)))

    def holds(self, number: int, one: Record) -> bool:
        held = self.shelves[number].book.entry(*one.slot, Monotonic(self.now))
        return held is not None and held.record.sequence >= one.sequence


def test_news_reaches_twenty_nodes_in_rounds_of_the_logarithm() -> None:
    world = Shelves(20)
    world.run(2.0)
    one = record(1, 1, rate=5.0)
    world.put(3, one)
    # ceil(log2 20) rounds of half a second, and the question and answer of the last.
    assert world.run(2.0 + 5 * 0.5 + 0.5, lambda: all(world.holds(n, one) for n in range(20)))
    withdrawal = record(1, 2, withdrawn=True)
    world.put(7, withdrawal)
    assert world.run(world.now + 3.0, lambda: all(world.holds(n, withdrawal) for n in range(20)))
    assert world.most <= RECORD_MAX_BYTES + 8


def test_what_news_missed_the_next_comparisons_bring() -> None:
    world = Shelves(2)
    world.run(30.0)
    ours = [record(1, n, subject=f"s{n}") for n in range(1, 100)]
    theirs = [record(2, n, subject=f"s{n}", ttl_s=600) for n in range(1, 40)]
    # Known before it starts, and so no news to it.
    for one in ours:
        world.shelves[0].learn(one.pack(0.0))
    for one in theirs:
        world.shelves[1].learn(one.pack(500.0))
    for node in world.nodes:
        node._look()
        node._news.clear()
    everything = [*ours, *theirs]

    def equal() -> bool:
        return all(world.holds(n, one) for n in range(2) for one in everything)

    assert world.run(world.now + 120, equal)
    # The age that a record had gathered came along, and that it is stale by now is seen.
    held = world.shelves[0].book.entry(*theirs[0].slot, Monotonic(world.now))
    assert held is not None
    assert held.age_s >= 500.0
    world.run(world.now + 100)
    known = world.shelves[0].book.entries(Kind.SOURCE, "s1", Monotonic(world.now))
    assert [entry.stale for entry in known] == [True, True]


def test_a_third_of_the_datagrams_may_be_lost() -> None:
    world = Shelves(10, loss=0.3)
    world.run(5.0)
    some = [record(n, 1, subject=f"s{n}") for n in range(10)]
    for number, one in enumerate(some):
        world.put(number, one)
    assert world.run(65.0, lambda: all(world.holds(n, one) for n in range(10) for one in some))


def test_equal_books_are_compared_for_little() -> None:
    world = Shelves(2)
    for n in range(1, 200):
        for shelf in world.shelves:
            shelf.learn(record(1, n, subject=f"s{n}", ttl_s=86400).pack(0.0))
    world.run(200.0)
    before, began = world.bytes, world.now
    world.run(began + 600)
    assert (world.bytes - before) / 2 / 600 < 60  # bytes a second and node


def test_renewals_are_no_news_until_the_old_ones_grow_old() -> None:
    world = Shelves(2)
    first = record(1, 1, kind=Kind.NODE, name="a", load=0.1)
    world.put(0, first)
    assert world.run(5.0, lambda: world.holds(1, first))
    world.run(10.0)
    renewed = record(1, 2, kind=Kind.NODE, name="a", load=0.9)
    before = world.nodes[0].counters["records_out"]
    world.put(0, renewed)
    world.run(world.now + 10)
    assert world.nodes[0].counters["records_out"] == before
    assert world.run(100.0, lambda: world.holds(1, renewed))
    moved = record(1, 3, kind=Kind.NODE, name="a", load=0.9, addresses=[["10.0.0.9", 5050]])
    world.put(0, moved)
    assert world.run(world.now + 2, lambda: world.holds(1, moved))


def test_of_a_large_book_only_what_matters_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entropy_module, "WHOLE_MAX", 2)
    world = Shelves(2)
    mine = [record(1, n, subject=f"s{n}") for n in range(3)]
    for one in mine:
        world.shelves[1].learn(one.pack(0.0))
    world.shelves[1].wants = frozenset({publisher_tag(member(2)[0].node_id)})
    near, far = record(2, 1, subject="near"), record(3, 1, subject="far")
    world.put(0, near)
    world.put(0, far)
    world.run(60.0)
    assert world.holds(1, near)
    assert not world.holds(1, far)


def test_forged_records_are_refused_and_asked_for_ever_more_rarely() -> None:
    world = Shelves(2)
    true = record(1, 1)
    world.run(5.0)
    forged = replace(true, signature=bytes(64))
    # A liar: its own book is asked to hold what nobody parsed.
    liar = world.shelves[0].book
    liar.hold(forged, Monotonic(5.0))
    world.nodes[0].stir()
    world.run(600.0)
    assert not world.holds(1, true)
    assert 1 <= world.nodes[1].counters["wanted"] < 20


def test_strangers_get_nothing() -> None:
    shelf = Shelf(lambda: 0.0)
    shelf.learn(record(1, 1).pack(0.0))
    node = Entropy(shelf, proved=lambda address: False, random=Random(1), now=0.0)
    item = Index().item(record(1, 1))
    for one in (
        messages.Digest(frozenset(), bytes(384), (), False),
        messages.Want((item.name,)),
        messages.Items((item,)),
    ):
        node.receive(one.pack(), at(9), 0.0)
    assert node.outgoing == []
    assert node.counters["unproved"] == 3


def test_who_wants_without_end_is_sent_so_much_and_no_more() -> None:
    shelf = Shelf(lambda: 0.0)
    shelf.learn(record(1, 1).pack(0.0))
    node = Entropy(shelf, proved=lambda address: True, random=Random(1), now=0.0)
    want = messages.Want((Index().item(record(1, 1)).name,) * 64).pack()
    for _ in range(10):
        node.receive(want, at(9), 0.0)
    assert len(node.outgoing) == entropy_module.BURST


# --- forms ------------------------------------------------------------------------------------


def test_sums_tell_in_which_bucket_two_books_differ() -> None:
    index = Index()
    items = [index.item(record(1, n, subject=f"s{n}")) for n in range(50)]
    assert not differing(sums(items), sums(reversed(items)))
    assert differing(sums(items), sums(items[1:])) == {items[0].bucket}
    changed = index.item(record(1, 99, subject="s0", format="lines"))
    assert differing(sums(items), sums([changed, *items[1:]])) == {items[0].bucket}


def test_messages_come_back_from_their_wire_form() -> None:
    item = Index().item(record(1, 7))
    for one in (
        messages.Digest(frozenset({b"abcd", b"efgh"}), bytes(384), (item.name,), True),
        messages.Items((item, item)),
        messages.Want((item.name,)),
        messages.Carried(record(1, 7).pack(3.0)),
    ):
        assert messages.parse(one.pack()) == one


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_wire_error(raw: bytes) -> None:
    try:
        messages.parse(raw)
    except WireError:
        return


@pytest.mark.parametrize(
    "value",
    [
        [0, b"abc", bytes(384), b"", False],
        [0, b"", bytes(383), b"", False],
        [1, bytes(31)],
        [1, bytes(32 * 33)],
        [2, bytes(7)],
        [3, bytes(1401)],
        [3, b"", 1],
        [4, b""],
    ],
)
def test_what_does_not_follow_the_form_is_a_wire_error(value: list[object]) -> None:
    with pytest.raises(WireError):
        messages.parse(pack(value))
