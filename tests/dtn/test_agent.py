"""Agents together: store and forward, delivery once, restarts, lifetimes, large bundles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from radics_mesh.clock import Wall
from radics_mesh.dtn.agent import Delivery
from radics_mesh.dtn.handling.endpoints import Elsewhere
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.trust.security import sign
from radics_mesh.dtn.wire.bundle import Fragment
from radics_mesh.errors import UsageError, WireError
from tests.dtn.bundles import plain
from tests.dtn.world import Members, TrioClock, connect, made, running, until


async def test_a_bundle_waits_in_b_for_c(tmp_path: Path, members: Members) -> None:
    """A → B while C is away; B restarts; C comes; C has it once, and signed by A."""
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = c.node_id.service("inbox")
    via_b = StaticRoutes({c.node_id: [b.node_id]})
    async with running(b, tmp_path / "b") as node_b, running(a, tmp_path / "a", via_b) as node_a:
        connect(node_a, node_b)
        sent = await node_a.agent.send(inbox, b"hello")
        await until(lambda: len(node_a.store) == 0)
        assert [held.bundle_id for held in node_b.store] == [sent]
        assert node_a.agent.counters["forwarded"] == 1
        assert node_a.agent.bytes_out == node_b.agent.bytes_in > 0
    async with running(b, tmp_path / "b") as node_b, running(c, tmp_path / "c") as node_c:
        node_c.agent.register(inbox, node_c.collect)
        connect(node_b, node_c)
        (delivery,) = await node_c.received(1)
        assert delivery == Delivery(sent, a.node_id.eid, inbox, b"hello", a.node_id, b"")
        await until(lambda: len(node_c.store) == 0 and len(node_b.store) == 0)


async def test_many_bundles_arrive_in_order_and_once(tmp_path: Path, members: Members) -> None:
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = c.node_id.service("inbox")
    via_b = StaticRoutes({c.node_id: [b.node_id]})
    async with (
        running(a, tmp_path / "a", via_b) as node_a,
        running(b, tmp_path / "b") as node_b,
        running(c, tmp_path / "c") as node_c,
    ):
        node_c.agent.register(inbox, node_c.collect)
        connect(node_a, node_b)
        connect(node_b, node_c)
        for number in range(100):
            await node_a.agent.send(inbox, b"%d" % number)
        delivered = await node_c.received(100)
        assert [int(d.payload) for d in delivered] == list(range(100))


async def test_local_delivery_touches_no_contact(tmp_path: Path, members: Members) -> None:
    async with running(members.me("a"), tmp_path) as node:
        inbox = node.id.service("inbox")
        await node.agent.send(inbox, b"early")
        assert [b.state for b in node.agent.bundles()] == ["unclaimed"]
        node.agent.register(inbox, node.collect)
        await node.agent.send(inbox, b"late")
        assert [d.payload for d in await node.received(2)] == [b"early", b"late"]
        assert node.agent.counters["forwarded"] == 0
        assert node.delivered[0].signer == node.id


async def test_expedited_bundles_go_first(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        inbox = b.node_id.service("inbox")
        for priority in (0, 1, 2):
            await node_a.agent.send(inbox, b"%d" % priority, priority=priority)
        node_b.agent.register(inbox, node_b.collect)
        connect(node_a, node_b)
        assert [d.payload for d in await node_b.received(3)] == [b"2", b"1", b"0"]


async def test_a_replay_is_taken_and_forgotten(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    raw = made(a, b.node_id.service("inbox"))
    async with running(b, tmp_path) as node:
        await node.agent.receive(raw, a.node_id)
        await node.agent.receive(raw, a.node_id)  # while it is held
        node.agent.register(b.node_id.service("inbox"), node.collect)
        await node.received(1)
        await node.agent.receive(raw, a.node_id)  # after it was delivered
    async with running(b, tmp_path) as node:
        await node.agent.receive(raw, a.node_id)  # after a restart
        assert node.agent.counters["duplicate"] == 1
        assert len(node.store) == 0


async def test_the_same_stamp_is_the_same_bundle(tmp_path: Path, members: Members) -> None:
    async with running(members.me("a"), tmp_path) as node:
        inbox = node.id.service("inbox")
        first = await node.agent.send(inbox, b"x", stamp=(1, 7))
        assert await node.agent.send(inbox, b"x", stamp=(1, 7)) == first
        node.agent.register(inbox, node.collect)
        await node.received(1)
        assert await node.agent.send(inbox, b"x", stamp=(1, 7)) == first
        await wait_all_tasks_blocked()
        assert len(node.delivered) == 1
        assert node.agent.counters["sent"] == 1


async def test_a_handler_that_is_cancelled_gets_the_bundle_again(
    tmp_path: Path, members: Members
) -> None:
    me = members.me("a")
    inbox = me.node_id.service("inbox")
    in_hands = trio.Event()

    async def hang(delivery: Delivery) -> None:
        in_hands.set()
        await trio.sleep_forever()

    async with running(me, tmp_path) as node:
        node.agent.register(inbox, hang)
        await node.agent.send(inbox, b"x")
        await in_hands.wait()
    async with running(me, tmp_path) as node:
        node.agent.register(inbox, node.collect)
        assert [d.payload for d in await node.received(1)] == [b"x"]


async def test_what_a_closing_handler_gives_back_waits_for_the_next(
    tmp_path: Path, members: Members
) -> None:
    in_hands, leave = trio.Event(), trio.Event()

    async def give_back(delivery: Delivery) -> None:
        in_hands.set()
        await leave.wait()
        raise Elsewhere

    async with running(members.me("a"), tmp_path) as node:
        inbox = node.id.service("inbox")
        first = node.agent.register(inbox, give_back)
        await node.agent.send(inbox, b"x")
        await in_hands.wait()
        first.close()
        node.agent.register(inbox, node.collect)
        leave.set()
        assert [d.payload for d in await node.received(1)] == [b"x"]


async def test_a_handlers_refusal_drops_the_bundle(tmp_path: Path, members: Members) -> None:
    async def refuse(delivery: Delivery) -> None:
        raise WireError("no sense in it")

    async with running(members.me("a"), tmp_path) as node:
        node.agent.register(node.id.service("inbox"), refuse)
        await node.agent.send(node.id.service("inbox"), b"x")
        await until(lambda: len(node.store) == 0)
        assert node.agent.counters["dropped_by_handler"] == 1
        assert node.agent.counters["delivered"] == 0


async def test_an_endpoint_is_registered_once(tmp_path: Path, members: Members) -> None:
    async with running(members.me("a"), tmp_path) as node:
        registration = node.agent.register(node.id.service("inbox"), node.collect)
        with pytest.raises(UsageError):
            node.agent.register(node.id.service("inbox"), node.collect)
        registration.close()
        registration.close()
        await node.agent.send(node.id.service("inbox"), b"x")
        assert [b.state for b in node.agent.bundles()] == ["unclaimed"]
        node.agent.register(node.id.service("inbox"), node.collect)
        await node.received(1)


async def test_a_bundle_expires_while_it_waits(
    tmp_path: Path, members: Members, real_time_jumps: MockClock
) -> None:
    me, away = members.me("a"), members.me("b").identity.eid
    async with running(me, tmp_path) as node:
        await node.agent.send(away, b"long", lifetime_s=1000)
        await node.agent.send(away, b"short", lifetime_s=100)
        real_time_jumps.jump(101)
        await until(lambda: len(node.store) == 1)
        assert node.agent.counters["expired"] == 1
        (left,) = node.agent.bundles()
        assert left.age_s >= 101
        assert left.remaining_s <= 899


async def test_age_grows_from_hop_to_hop(
    tmp_path: Path, members: Members, real_time_jumps: MockClock
) -> None:
    a, b = members.me("a"), members.me("b")
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        await node_a.agent.send(b.identity.eid, b"x", lifetime_s=1000)
        real_time_jumps.jump(400)
        connect(node_a, node_b)
        await until(lambda: len(node_b.store) == 1)
        (summary,) = node_b.agent.bundles()
        assert 400 <= summary.age_s < 420


async def test_a_node_without_a_clock_stamps_zero(tmp_path: Path, members: Members) -> None:
    class Unset(TrioClock):
        def wall(self) -> Wall:
            return Wall(5.0)

    me = replace(members.me("a"), clock=Unset())
    async with running(me, tmp_path) as node:
        first, second = [await node.agent.send(me.identity.eid, b"x") for _ in range(2)]
        assert first.created == second.created == 0
        assert first.sequence != second.sequence


async def test_a_fragment_is_carried_and_waits_for_its_siblings(
    tmp_path: Path, members: Members
) -> None:
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = c.node_id.service("inbox")
    parts = [
        sign(
            replace(plain(a.identity.eid, inbox, payload), fragment=Fragment(offset, 9)),
            a.identity,
            a.chain,
        )
        for offset, payload in ((0, b"abc"), (3, b"def"))
    ]
    async with running(b, tmp_path / "b") as node_b, running(c, tmp_path / "c") as node_c:
        node_c.agent.register(inbox, node_c.collect)
        connect(node_b, node_c)
        for part in parts:
            await node_b.agent.receive(part.encode(), a.node_id)
        await until(lambda: len(node_c.store) == 2 and len(node_b.store) == 0)
        assert {str(held.bundle_id) for held in node_c.store} == {str(part.id) for part in parts}
        assert node_c.delivered == []


async def test_a_large_bundle_crosses_two_hops(tmp_path: Path, members: Members) -> None:
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = c.node_id.service("inbox")
    payload = bytes(range(256)) * 12_000
    via_b = StaticRoutes({c.node_id: [b.node_id]})
    async with (
        running(a, tmp_path / "a", via_b) as node_a,
        running(b, tmp_path / "b") as node_b,
        running(c, tmp_path / "c") as node_c,
    ):
        node_c.agent.register(inbox, node_c.collect)
        connect(node_a, node_b)
        connect(node_b, node_c)
        await node_a.agent.send(inbox, payload)
        (delivery,) = await node_c.received(1)
        assert delivery.payload == payload
        await until(lambda: not (len(node_a.store) or len(node_b.store) or len(node_c.store)))
        await node_b.store.flushed()
        await node_b.store.flushed()  # files go after the commit
        assert list((tmp_path / "b" / "large").iterdir()) == []
