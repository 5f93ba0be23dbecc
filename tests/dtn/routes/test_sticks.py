"""Copies by way of a stick: for everybody, once each, and away when they have arrived."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from radics_mesh.dtn.layers import carried
from radics_mesh.dtn.routes.epidemic import Epidemic
from radics_mesh.dtn.routes.module import Module
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.routes.spray import Spray
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.errors import CapacityError
from radics_mesh.ids import NodeId
from tests.dtn.layers.test_carrier import carrier_of, files
from tests.dtn.world import Members, carry, connect, running, until


def spreading(own: NodeId, copies: int | None) -> RoutingTable:
    known = Neighbours()
    module: Module = Epidemic(own, known) if copies is None else Spray(own, known, copies)
    return RoutingTable(module, (), known)


async def test_copies_for_everybody_who_takes_the_stick(members: Members, tmp_path: Path) -> None:
    a, m, b = (members.me(name) for name in "amb")
    stick = tmp_path / "stick"
    stick.mkdir()
    async with (
        running(a, tmp_path / "a", spreading(a.node_id, None)) as at_a,
        running(m, tmp_path / "m") as at_m,
        running(b, tmp_path / "b") as at_b,
    ):
        at_b.agent.register(b.node_id.service("in"), at_b.collect)
        await at_a.agent.send(b.node_id.service("in"), b"by hand")
        assert len(at_a.agent.outgoing([m.node_id])) == 1
        assert (await carrier_of(at_a).write(stick)).written == 1
        assert (await carrier_of(at_m).take(stick)).taken == 1
        for _ in range(2):  # the receipt says once for all that M has it
            back = await carrier_of(at_a).write(stick)
            assert (back.confirmed, back.written, back.there) == (0, 0, 1)
            assert (await carrier_of(at_m).take(stick)).taken == 0
        assert at_a.agent.outgoing([m.node_id]) == []
        assert (await carrier_of(at_b).take(stick)).taken == 1
        await at_b.received(1)
        assert (await carrier_of(at_a).write(stick)).confirmed == 1
        assert len(at_a.store) == 0
        await carrier_of(at_a).write(stick)
        assert files(stick, carried.BUNDLE) == []


async def test_a_stick_takes_one_copy(members: Members, tmp_path: Path) -> None:
    """Of two copies M's is one; A's last one goes to nobody but B."""
    a, m, n = (members.me(name) for name in "amn")
    stick = tmp_path / "stick"
    stick.mkdir()
    async with (
        running(a, tmp_path / "a", spreading(a.node_id, 2)) as at_a,
        running(m, tmp_path / "m") as at_m,
    ):
        await at_a.agent.send(members.me("b").node_id.service("in"), b"by hand")
        await carrier_of(at_a).write(stick)
        await carrier_of(at_m).take(stick)
        await carrier_of(at_a).write(stick)
        assert len(at_a.store) == 1
        assert at_a.agent.outgoing([n.node_id]) == []
        assert len(at_a.agent.outgoing([members.me("b").node_id])) == 1


async def test_a_full_store_lets_go_of_copies_that_others_have(
    members: Members, tmp_path: Path
) -> None:
    """M is full with two of A's. The one that C has from M makes room, the other one does not."""
    a, m, c = (members.me(name) for name in "amc")
    far = members.me("far").node_id.service("in")
    table = spreading(m.node_id, None)
    async with (
        running(a, tmp_path / "a", spreading(a.node_id, None)) as at_a,
        running(m, tmp_path / "m", table, quota_bytes=5000, evicts=True) as at_m,
        running(c, tmp_path / "c") as at_c,
    ):
        first = await at_a.agent.send(far, bytes(1800))
        contacts = connect(at_a, at_m)
        at_a.agent.routes_changed()
        for node, peer in ((at_a, at_m), (at_m, at_a)):
            node.agent._waiting.table.neighbours.holds(peer.id, [])
            node.agent.routes_changed()
        await until(lambda: at_m.store.holds(first))
        link = at_m.agent.contact_up(c.node_id, carry(at_c, m.node_id))
        table.neighbours.holds(c.node_id, [])
        at_m.agent.routes_changed()
        await until(lambda: at_c.store.holds(first) and table.neighbours.has_given(first))
        link.close()
        second = await at_a.agent.send(far, bytes(1800))
        await until(lambda: at_m.store.holds(second))
        own = await at_m.agent.send(far, bytes(1800))
        assert not at_m.store.holds(first)
        assert at_m.store.holds(own)
        with pytest.raises(CapacityError):
            await at_m.agent.send(far, bytes(1800))
        assert at_m.store.holds(second)
        for contact in contacts:
            contact.close()


async def test_copies_that_cannot_be_noted_stay(members: Members, tmp_path: Path) -> None:
    """A full disk: no copy leaves, the node goes on, and tries again."""
    a, m = (members.me(name) for name in "am")
    failures = [CapacityError("cannot note copies: disk full")]

    async def noted() -> None:
        await trio.lowlevel.checkpoint()
        if failures:
            raise failures.pop()

    table = spreading(a.node_id, 8)
    async with (
        running(a, tmp_path / "a", table, noted=noted) as at_a,
        running(m, tmp_path / "m") as at_m,
    ):
        far = members.me("far").node_id.service("in")
        sent = await at_a.agent.send(far, b"spread me")
        held = at_a.store.find(sent)
        assert held is not None
        contacts = connect(at_a, at_m)
        table.neighbours.holds(m.node_id, [])
        at_a.agent.routes_changed()
        await until(lambda: at_a.agent.counters["neighbour_full"] == 1)
        assert table.of(far).copies_of(held) == 8  # type: ignore[attr-defined]
        await until(lambda: at_m.store.holds(sent))
        assert table.of(far).copies_of(held) == 4  # type: ignore[attr-defined]
        for contact in contacts:
            contact.close()
