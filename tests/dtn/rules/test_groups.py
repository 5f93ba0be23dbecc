"""Bundles for many: members on several nodes, copies over every link, each node has it once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trio.testing import MockClock

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.agent import Delivery
from radics_mesh.dtn.rules.fragments import cut
from radics_mesh.dtn.rules.groups import Copies
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.trust.security import sign
from radics_mesh.dtn.wire.bundle import CUSTODY, MUST_NOT_FRAGMENT, SINGLETON, Bundle, Fragment
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.ids import Eid
from tests.dtn.bundles import plain
from tests.dtn.world import Members, connect, running, until

NEWS = Eid("dtn://group.news/today")


async def test_every_member_on_every_node_has_it_once(tmp_path: Path, members: Members) -> None:
    """A triangle and a tail: copies meet, and the node at the tail hears of it too."""
    names = ("a", "b", "c", "d")
    a, b, c, d = (members.me(name) for name in names)
    async with (
        running(a, tmp_path / "a") as node_a,
        running(b, tmp_path / "b") as node_b,
        running(c, tmp_path / "c") as node_c,
        running(d, tmp_path / "d") as node_d,
    ):
        nodes = (node_a, node_b, node_c, node_d)
        connect(node_a, node_b)
        connect(node_b, node_c)
        connect(node_c, node_a)
        connect(node_c, node_d)
        for node in nodes:
            if node is not node_b:  # no member there: it carries all the same
                node.agent.register(NEWS, node.collect)
        second: list[Delivery] = []

        async def also(delivery: Delivery) -> None:
            second.append(delivery)

        node_d.agent.register(NEWS, also)
        sent = await node_a.agent.send(NEWS, b"rain")
        await node_a.agent.send(Eid("dtn://group.other/today"), b"for nobody here")
        await until(lambda: all(len(node.store) == 2 for node in nodes) and bool(second))
        for node in (node_a, node_c, node_d):
            (delivery,) = await node.received(1)
            assert (delivery.bundle_id, delivery.payload, delivery.signer) == (
                sent,
                b"rain",
                a.node_id,
            )
        assert not node_b.delivered
        assert len(second) == 1
        await until(lambda: not any(c.in_flight for n in nodes for c in n.agent.contacts()))
        # Every link has carried each of the two once or, where they met, once each way.
        assert sum(node.agent.counters["forwarded"] for node in nodes) <= 2 * 2 * 4


async def test_who_joins_later_and_after_a_restart(tmp_path: Path, members: Members) -> None:
    a = members.me("a")
    async with running(a, tmp_path) as node:
        await node.agent.send(NEWS, b"rain")
    async with running(a, tmp_path) as node:
        node.agent.register(NEWS, node.collect)
        await node.received(1)
        node.agent.register(NEWS, node.collect)  # too late for this one
        await node.agent.send(NEWS, b"sun")
        assert sorted(d.payload for d in await node.received(3)) == [b"rain", b"sun", b"sun"]
    async with running(a, tmp_path) as node:
        node.agent.register(NEWS, node.collect)
        await node.agent.send(NEWS, b"snow")
        assert [d.payload for d in await node.received(1)] == [b"snow"]
        assert len(node.store) == 3


async def test_it_stays_until_it_expires(
    tmp_path: Path, members: Members, mock_clock: MockClock
) -> None:
    mock_clock.rate = 1.0
    async with (
        running(members.me("a"), tmp_path / "a") as node_a,
        running(members.me("b"), tmp_path / "b") as node_b,
    ):
        await node_a.agent.send(NEWS, b"rain", lifetime_s=100)
        mock_clock.jump(50)
        node_b.agent.register(NEWS, node_b.collect)
        connect(node_a, node_b)
        await node_b.received(1)
        mock_clock.jump(51)
        await until(lambda: not len(node_a.store) and not len(node_b.store))


async def test_what_a_groups_bundle_may_not_be(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    async with running(a, tmp_path) as node:
        with pytest.raises(UsageError):
            await node.agent.send(NEWS, b"x", custody=True)
        await node.agent.send(NEWS, b"x")
        (held,) = node.store
        assert held.flags & (SINGLETON | MUST_NOT_FRAGMENT) == MUST_NOT_FRAGMENT
        raw = await node.store.read(held)
        assert raw is not None
        assert Bundle.parse(raw).flags == held.flags
        single = replace(plain(b.identity.eid, NEWS), flags=SINGLETON)
        with pytest.raises(PeerError):
            await node.agent.receive(sign(single, b.identity, b.chain).encode(), b.node_id)
        # Another implementation may have cut one, or asked for custody.
        many = replace(plain(b.identity.eid, NEWS, sequence=2), flags=CUSTODY)
        with pytest.raises(UsageError):
            cut(many, [3])
        piece = sign(replace(many, fragment=Fragment(0, 100)), b.identity, b.chain)
        with pytest.raises(PeerError, match="a fragment of a bundle for many"):
            await node.agent.receive(piece.encode(), b.node_id)
        assert await node.agent.receive(sign(many, b.identity, b.chain).encode(), b.node_id)
        assert not node.agent.counters["custody_taken"]
        assert not any(one.is_administrative for one in node.store)


def test_copies() -> None:
    copies: Copies[str] = Copies()
    one = Held(
        bundle_id=plain().id,
        destination=NEWS,
        priority=1,
        lifetime_s=1,
        age_us=0,
        received=Monotonic(1.0),
        previous=None,
        signer=None,
        key=7,
    )
    assert not copies.begin(one, [])
    assert copies.begin(one, ["x", "y"])
    assert not copies.begin(one, ["z"])
    assert not copies.served(one, "x", processed=True)
    assert copies.served(one, "y", processed=False)
    assert copies.begin(one, ["z"])
    assert not copies.served(one, "z", processed=False)
