"""Records over bundles, between real agents: at a contact, and for a node that is away."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from radics_mesh.clock import Monotonic
from radics_mesh.codec import pack
from radics_mesh.errors import MeshError
from radics_mesh.gossip.record_bundles import SERVICE, RecordBundles
from radics_mesh.ids import NodeId
from radics_mesh.knowledge.book import Entry, RecordBook
from radics_mesh.me import Me
from radics_mesh.records import Kind, Record, sign
from tests.dtn.world import Members, Node, TrioClock, connect, running, until

MEMBERS = Members(TrioClock())


def record(name: str, sequence: int, subject: str) -> Record:
    me = MEMBERS.me(name)
    return sign(me.identity, me.chain, Kind.SOURCE, subject, sequence=sequence, ttl_s=600, body={})


class Shelf:
    """A book of records, as gossip sees it; no VM is in it, and so no proof."""

    def __init__(self, me: Me) -> None:
        self.book = RecordBook(me.verifier)
        self._clock = me.clock

    def held(self) -> Collection[Entry]:
        return self.book.everything(self._clock.monotonic())

    def learn(self, raw: bytes) -> bool:
        try:
            one = self.book.parse(raw, self._clock.wall())
            return self.book.hold(one, self._clock.monotonic())
        except MeshError:
            return False

    def scope(self) -> frozenset[bytes]:
        return frozenset()

    def proof(self, entry: Entry) -> bytes | None:
        return None

    def learn_proof(self, packed: bytes) -> None:
        raise AssertionError("there are no VMs here")

    def names(self) -> set[tuple[str, int]]:
        return {(entry.record.subject, entry.record.sequence) for entry in self.held()}


@asynccontextmanager
async def site(
    name: str, path: Path, *, reached: bool = False, gone: Collection[str] = ()
) -> AsyncIterator[tuple[Node, Shelf, RecordBundles]]:
    (path / name).mkdir()
    me = MEMBERS.me(name)
    shelf = Shelf(me)
    away: list[NodeId] = [MEMBERS.me(other).node_id for other in gone]
    async with running(me, path / name) as node:
        bundles = RecordBundles(
            own=me.node_id,
            agent=node.agent,
            holdings=shelf,
            clock=me.clock,
            reached=lambda peer: reached,
            gone=lambda: away,
            settle_s=0.0,
        )
        await node.nursery.start(bundles.run)
        yield node, shelf, bundles


async def test_neighbours_that_only_bundles_reach_end_with_the_same(tmp_path: Path) -> None:
    async with site("a", tmp_path) as (a, at_a, _), site("b", tmp_path) as (b, at_b, _):
        old, new = record("c", 1, "both"), record("c", 2, "both")
        at_a.learn(old.pack(0.0))
        at_b.learn(new.pack(100.0))
        for n in range(100):
            at_a.learn(record("d", n, f"a{n}").pack(0.0))
            at_b.learn(record("e", n, f"b{n}").pack(0.0))
        connect(a, b)
        await until(lambda: at_a.names() == at_b.names() and len(at_a.names()) == 201)
        held = at_a.book.entry(*new.slot, Monotonic(a.me.clock.monotonic()))
        assert held is not None
        assert held.age_s >= 100.0


async def test_who_is_reached_by_datagrams_gets_no_bundles(tmp_path: Path) -> None:
    async with (
        site("a", tmp_path, reached=True) as (a, at_a, of_a),
        site("b", tmp_path, reached=True) as (b, _, of_b),
    ):
        at_a.learn(record("c", 1, "x").pack(0.0))
        connect(a, b)
        b.agent.register(b.id.service("inbox"), b.collect)
        await a.agent.send(b.id.service("inbox"), b"after")
        await b.received(1)
        assert of_a.counters["asked"] == of_b.counters["asked"] == 0


async def test_a_question_waits_for_who_is_away_until_somebody_carries_it(tmp_path: Path) -> None:
    async with (
        site("a", tmp_path, reached=True, gone=["b"]) as (a, at_a, of_a),
        site("b", tmp_path, reached=True) as (b, at_b, _),
    ):
        at_a.learn(record("c", 1, "x").pack(0.0))
        at_b.learn(record("c", 2, "y").pack(0.0))
        await of_a._ask_the_gone()
        await of_a._ask_the_gone()  # not again so soon
        assert of_a.counters["asked"] == 1
        connect(a, b)
        await until(lambda: at_a.names() == at_b.names() == {("x", 1), ("y", 2)})


async def test_what_is_bad_is_dropped_and_the_node_goes_on(tmp_path: Path) -> None:
    async with (
        site("a", tmp_path, reached=True) as (a, _, _),
        site("b", tmp_path, reached=True) as (b, at_b, of_b),
    ):
        connect(a, b)
        to = b.id.service(SERVICE)
        good = record("c", 1, "x").pack(0.0)
        forged = good[:-1] + bytes((good[-1] ^ 1,))
        for payload in (
            b"",
            pack([3, b"", [], []]),
            pack([0, b"short", [], []]),
            pack([0, b"", [b"?"], []]),
            pack([0, b"", [bytes(2000)], []]),
        ):
            await a.agent.send(to, payload)
        await a.agent.send(to, pack([0, b"", [forged, good], []]))
        await until(lambda: at_b.names() == {("x", 1)})
        assert of_b.counters["records_in"] == 2
