"""A full store: whose share is used up, who waits, and who has to go for whom."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from radics_mesh.dtn.agent import Agent
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.storage.eviction import choose
from radics_mesh.dtn.storage.quotas import Quotas
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import CUSTODY, ORDINARY
from radics_mesh.errors import CapacityError
from radics_mesh.ids import Eid
from tests.dtn.storage.test_store import held, ignore
from tests.dtn.world import HandClock, Members, nowhere, running, until

A, B = Eid("dtn://a/x"), Eid("ipn:20.1")


def test_a_source_is_its_endpoints_together() -> None:
    quotas = Quotas(100, 30)
    quotas.take(A, 20)
    quotas.take(B, 30)
    quotas.check(Eid("dtn://a/y"), 10)
    for source, size in ((Eid("dtn://a/y"), 11), (Eid("ipn:20.2"), 1)):
        with pytest.raises(CapacityError, match=r"dtn://a |ipn:20 "):
            quotas.check(source, size)
    quotas.give_back(B, 30)
    quotas.check(Eid("ipn:20.2"), 30)
    assert (quotas.held_bytes, quotas.of(A), quotas.of(B)) == (20, 20, 0)


async def test_a_source_that_has_its_share_stops_nobody_else(tmp_path: Path) -> None:
    for _ in range(2):  # after a restart, too
        store = BundleStore.open(
            tmp_path, quota_bytes=100, source_quota_bytes=50, clock=HandClock(), live_max=1
        )
        with closing(store):
            if not len(store):
                await store.add(held(1), bytes(25), ignore)
                await store.add(held(2), bytes(25), ignore)
            with pytest.raises(CapacityError, match="dtn://a "):
                await store.add(held(3), bytes(1), ignore)
            other = replace(held(4), bundle_id=replace(held(4).bundle_id, source=B))
            assert await store.add(other, bytes(50), ignore)
            store.drop(other)


async def test_a_patient_sender_waits_for_room(tmp_path: Path) -> None:
    members = Members(HandClock())
    me, other = members.me("a"), members.me("b")
    async with running(me, tmp_path, quota_bytes=2000) as node, trio.open_nursery() as nursery:
        send = node.agent.send
        first = await send(other.node_id.service("x"), bytes(400))
        full = 2000 // next(h for h in node.store if h.bundle_id == first).size_bytes
        for _ in range(full - 1):
            await send(other.node_id.service("x"), bytes(400))
        with pytest.raises(CapacityError):
            await send(other.node_id.service("x"), bytes(400))
        for _ in range(full):
            nursery.start_soon(lambda: send(other.node_id.service("x"), bytes(400), patient=True))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(node.store) == full
        for waiting in list(node.store):
            node.store.drop(waiting)
        await until(lambda: node.agent.counters["sent"] == 2 * full)
        with pytest.raises(CapacityError, match="the quota"):
            await send(other.node_id.service("x"), bytes(4000), patient=True)


def test_the_least_worthy_go_and_none_if_that_is_not_enough() -> None:
    some = [replace(held(n), size_bytes=10, priority=n // 2) for n in range(4)]
    some[0].flags = ORDINARY | CUSTODY
    some[1].previous = None
    assert choose(some, 15, lambda one: True) == some[2:]
    assert choose(some, 5, lambda one: one is not some[2]) == some[3:]
    assert choose(some, 21, lambda one: True) == []


async def test_urgent_bundles_push_out_others_that_pass_through(tmp_path: Path) -> None:
    """Where it is allowed; not those of this node, and never what is as urgent."""
    members = Members(HandClock())
    a, b, c = (members.me(name) for name in "abc")
    raws: list[bytes] = []
    async with running(a, tmp_path / "a") as node:

        async def take(raw: bytes) -> None:
            raws.append(raw)

        node.agent.contact_up(c.node_id, take)
        for priority in (0, 0, 0, 1, 2):
            await node.agent.send(c.node_id.service("x"), bytes(1000), priority=priority)
            await until(lambda: not len(node.store))
    size = len(raws[0])
    for evicts in (False, True):
        store = BundleStore.open(
            tmp_path / f"b{evicts}", quota_bytes=4 * size, clock=b.clock, live_max=1
        )
        agent = Agent(
            me=b,
            store=store,
            router=StaticRoutes(),
            locate=nowhere,
            lifetime_s=60,
            evicts=evicts,
        )
        with closing(store):
            await agent.send(c.node_id.service("x"), bytes(1000), priority=0)
            for raw in raws[:3]:
                await agent.receive(raw, a.node_id)
            if not evicts:
                with pytest.raises(CapacityError):
                    await agent.receive(raws[4], a.node_id)
                continue
            for raw in raws[3:]:
                await agent.receive(raw, a.node_id)
            assert sorted(h.priority for h in store) == [0, 0, 1, 2]
            assert agent.counters["evicted"] == 2
            assert any(h.previous is None for h in store)
            with pytest.raises(CapacityError):  # a bulk bundle pushes out nobody
                await agent.receive(raws[0], a.node_id)
