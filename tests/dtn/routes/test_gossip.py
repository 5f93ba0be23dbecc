"""Each module through real agents, real stores and real signatures: a mule, and nobody's loops."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from radics_mesh.config import Route
from radics_mesh.dtn.agent import Contact
from radics_mesh.dtn.gossip import Gossip
from radics_mesh.dtn.routes.allotted import Allotted
from radics_mesh.dtn.routes.choice import Surroundings, table_of
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.ids import NodeId
from tests.dtn.world import HandClock, Members, Node, connect, running, until


class Routed:
    """A node with a routing table of its own."""

    def __init__(self, node: Node, table: RoutingTable, allotted: Allotted) -> None:
        self.node = node
        self.table = table
        self.allotted = allotted

    @property
    def id(self) -> NodeId:
        return self.node.id

    @property
    def waiting(self) -> int:
        """Bundles of applications that are held here."""
        bundles = self.node.agent.bundles()
        return sum(not one.destination.endswith("/routing") for one in bundles)


class Land:
    """Nodes that are made as they are needed, all with the same routes."""

    def __init__(self, directory: Path, nursery: trio.Nursery) -> None:
        self.clock = HandClock()
        self._members = Members(self.clock)
        self._directory = directory
        self._nursery = nursery

    async def node(self, name: str, *routes: str) -> Routed:
        made: Routed = await self._nursery.start(self._run, name, routes)
        return made

    async def _run(
        self,
        name: str,
        routes: tuple[str, ...],
        *,
        task_status: trio.TaskStatus[Routed] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        me = self._members.me(name)
        allotted = Allotted(self._directory / f"{name}-copies.db")
        around = Surroundings(
            me.node_id, StaticRoutes(), lambda name: self.id_of(name), self.clock, allotted
        )
        table = table_of([Route.parse(text) for text in routes], around)
        async with AsyncExitStack() as stack:
            stack.callback(allotted.close)
            directory = self._directory / name
            node = await stack.enter_async_context(
                running(me, directory, table, noted=allotted.flushed)
            )
            gossip = Gossip(
                own=me.node_id,
                agent=node.agent,
                table=table,
                clock=self.clock,
                noted=allotted.flushed,
            )
            await node.nursery.start(gossip.run)
            node.agent.register(me.node_id.service("in"), node.collect)
            task_status.started(Routed(node, table, allotted))
            await trio.sleep_forever()

    def id_of(self, name: str) -> NodeId:
        return self._members.me(name).node_id


@pytest.fixture
def land(tmp_path: Path, nursery: trio.Nursery) -> Land:
    return Land(tmp_path, nursery)


def part(contacts: tuple[Contact, Contact]) -> None:
    for contact in contacts:
        contact.close()


async def meet(one: Routed, other: Routed, done: Callable[[], bool]) -> None:
    """They are in contact until something has happened."""
    contacts = connect(one.node, other.node)
    await until(done)
    part(contacts)


@pytest.mark.parametrize("route", ["*=epidemic", "*=spray:copies=4"])
async def test_a_mule_that_never_met_the_target(land: Land, route: str) -> None:
    """The mule itself has no such route: it answers, takes a copy, and meets the target."""
    a, mule, b = await land.node("a", route), await land.node("mule"), await land.node("b")
    await a.node.agent.send(b.id.service("in"), b"over the hills")
    await meet(a, mule, lambda: mule.waiting == 1)
    assert a.waiting == 1
    await meet(mule, b, lambda: len(b.node.delivered) == 1)
    assert b.node.delivered[0].payload == b"over the hills"
    assert mule.waiting == 0


async def test_link_state_gives_a_mule_nothing(land: Land) -> None:
    a, mule = await land.node("a"), await land.node("mule")
    await a.node.agent.send(land.id_of("b").service("in"), b"stays")
    contacts = connect(a.node, mule.node)
    await a.node.agent.send(mule.id.service("in"), b"goes")
    await mule.node.received(1)
    part(contacts)
    assert (a.waiting, mule.waiting) == (1, 0)


async def test_copies_go_once_what_arrived_is_known(land: Land) -> None:
    """A gives copies to two mules; one delivers, and tells the other one, who tells A."""
    names = ("a", "m", "n", "b")
    a, m, n, b = [await land.node(name, "*=epidemic") for name in names]
    await a.node.agent.send(b.id.service("in"), b"once")
    await meet(a, m, lambda: m.waiting == 1)
    await meet(a, n, lambda: n.waiting == 1)
    await meet(m, b, lambda: m.waiting == 0 and len(b.node.delivered) == 1)
    await meet(m, n, lambda: n.waiting == 0)
    await meet(n, a, lambda: a.waiting == 0)
    assert len(b.node.delivered) == 1
    assert n.node.agent.counters["needless"] == 1


async def test_nobody_gets_what_he_holds(land: Land) -> None:
    """Three in a triangle: each copy crosses each link at most once, and none goes round."""
    nodes = [await land.node(name, "*=epidemic") for name in ("a", "b", "c")]
    await nodes[0].node.agent.send(land.id_of("far").service("in"), b"wait for it")
    for first, second in ((0, 1), (1, 2), (2, 0)):
        connect(nodes[first].node, nodes[second].node)
    await until(lambda: all(one.waiting == 1 for one in nodes))
    assert all(one.table.spreads for one in nodes)
    for one in nodes:
        counters = one.node.agent.counters
        assert counters["forwarded"] - counters["received"] <= 2


async def test_custody_outlives_the_word_that_it_has_arrived(land: Land) -> None:
    """Who answers for a bundle keeps it until a signal comes, whatever a member says."""
    a, m = await land.node("a", "*=epidemic"), await land.node("m", "*=epidemic")
    b = land.id_of("b").service("in")
    kept = await a.node.agent.send(b, b"mine", custody=True)
    other = await a.node.agent.send(b, b"anybody's")
    for one in (kept, other):
        m.table.neighbours.arrived(one, land.clock.monotonic() + 100)  # type: ignore[arg-type]
    await meet(a, m, lambda: not a.node.agent.holds(other))
    assert a.node.agent.holds(kept)


async def test_copies_left_survive_a_restart(land: Land, tmp_path: Path) -> None:
    a, m = await land.node("a", "*=spray:copies=8"), await land.node("m")
    sent = await a.node.agent.send(land.id_of("b").service("in"), b"spread me")
    await meet(a, m, lambda: m.waiting == 1)
    again = Allotted(tmp_path / "a-copies.db")
    assert again.left == {sent: 4}
    again.close()


async def test_who_is_given_copies_knows_how_many(land: Land, tmp_path: Path) -> None:
    a, m, n = [await land.node(name, "*=spray:copies=8") for name in ("a", "m", "n")]
    sent = await a.node.agent.send(land.id_of("b").service("in"), b"spread me")
    await meet(a, m, lambda: m.waiting == 1)
    await meet(m, n, lambda: n.waiting == 1)
    for one, left in ((a, 4), (m, 2), (n, 2)):
        await one.allotted.flushed()
        held = one.node.store.find(sent)
        assert held is not None
        module = one.table.of(held.destination)
        assert module.copies_of(held) == left  # type: ignore[attr-defined]


async def test_prophet_hands_copies_to_who_meets_the_target(land: Land) -> None:
    """M has met B, N has not: M gets a copy."""
    a, m, n, b = [await land.node(name, "*=prophet") for name in ("a", "m", "n", "b")]
    await b.node.agent.send(m.id.service("in"), b"hello")
    await meet(m, b, lambda: len(m.node.delivered) == 1)
    land.clock.now += 60
    await a.node.agent.send(b.id.service("in"), b"by way of m")
    await meet(a, n, lambda: n.table.neighbours._arrived == {} and a.node.agent.bytes_in > 0)
    assert n.waiting == 0
    await meet(a, m, lambda: m.waiting == 1)
    await meet(m, b, lambda: len(b.node.delivered) == 1)


async def test_a_plan_leads_by_a_node_that_was_never_met(land: Land, tmp_path: Path) -> None:
    plan = tmp_path / "plan.txt"
    start = land.clock.wall()
    plan.write_text(
        f"contact {start} {start + 60} a mule 1M\ncontact {start + 100} {start + 160} mule b 1M\n"
    )
    names = ("a", "mule", "other", "b")
    a, mule, other, b = [await land.node(name, f"*=plan:{plan}") for name in names]
    await a.node.agent.send(b.id.service("in"), b"on schedule")
    contacts = connect(a.node, other.node)
    await meet(a, mule, lambda: mule.waiting == 1)
    part(contacts)
    assert (a.waiting, other.waiting) == (0, 0)
    land.clock.now += 100
    await meet(mule, b, lambda: len(b.node.delivered) == 1)


async def test_by_endpoint(land: Land) -> None:
    """One endpoint's bundles are spread, the others wait for the node itself."""
    b = land.id_of("b")
    a, m = await land.node("a", f"{b.service('alarm')}=epidemic", "*=direct"), await land.node("m")
    await a.node.agent.send(b.service("alarm"), b"!")
    await a.node.agent.send(b.service("in"), b"...")
    await meet(a, m, lambda: m.waiting == 1)
    assert a.waiting == 2
