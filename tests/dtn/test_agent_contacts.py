"""Agents together: what contacts that break, are full or refuse do to what is in flight."""

from __future__ import annotations

from pathlib import Path

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from radics_mesh.dtn.handling.contact import IN_FLIGHT_MAX
from radics_mesh.errors import CapacityError, LinkError, PeerError
from tests.dtn.world import Members, carry, connect, running, until
from tests.patience import PATIENCE_S


async def test_what_a_broken_link_did_not_deliver_goes_by_the_next(
    tmp_path: Path, members: Members
) -> None:
    a, b = members.me("a"), members.me("b")
    tries = 0

    async def breaks(raw: bytes) -> None:
        nonlocal tries
        tries += 1
        raise LinkError("gone")

    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        node_b.agent.register(b.node_id.service("inbox"), node_b.collect)
        contact = node_a.agent.contact_up(b.node_id, breaks)
        await node_a.agent.send(b.node_id.service("inbox"), b"x")
        await until(lambda: contact.closed)
        assert node_a.agent.contacts() == []
        assert [s.state for s in node_a.agent.bundles()] == ["waiting"]
        assert tries == 1
        connect(node_a, node_b)
        await node_b.received(1)


async def test_several_are_in_flight_and_come_back_when_it_closes(
    tmp_path: Path, members: Members
) -> None:
    a, b = members.me("a"), members.me("b")
    flying = 0

    async def never_acknowledged(raw: bytes) -> None:
        nonlocal flying
        flying += 1
        await trio.sleep_forever()

    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        for number in range(IN_FLIGHT_MAX + 4):
            await node_a.agent.send(b.node_id.service("inbox"), b"%d" % number)
        contact = node_a.agent.contact_up(b.node_id, never_acknowledged)
        await until(lambda: flying == IN_FLIGHT_MAX)
        await wait_all_tasks_blocked()
        assert flying == IN_FLIGHT_MAX
        states = [s.state for s in node_a.agent.bundles()]
        assert states.count("in flight") == IN_FLIGHT_MAX
        contact.close()
        node_b.agent.register(b.node_id.service("inbox"), node_b.collect)
        connect(node_a, node_b)
        delivered = await node_b.received(IN_FLIGHT_MAX + 4)
        assert sorted(int(d.payload) for d in delivered) == list(range(IN_FLIGHT_MAX + 4))


async def test_a_full_neighbour_is_left_alone_for_a_while(
    tmp_path: Path, members: Members, real_time_jumps: MockClock
) -> None:
    a, b = members.me("a"), members.me("b")
    tries = 0

    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        take = carry(node_b, a.node_id)

        async def full_at_first(raw: bytes) -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise CapacityError("no room")
            await take(raw)

        await node_a.agent.send(b.node_id.service("inbox"), b"x")
        node_a.agent.contact_up(b.node_id, full_at_first)
        await until(lambda: node_a.agent.counters["neighbour_full"] == 1)
        assert [s.state for s in node_a.agent.bundles()] == ["waiting"]
        real_time_jumps.jump(1.0)
        await until(lambda: len(node_b.store) == 1)


async def test_what_was_in_flight_to_a_full_neighbour_is_one_refusal(
    tmp_path: Path, members: Members, real_time_jumps: MockClock
) -> None:
    """However many it refused at once: the contact rests no longer for that."""
    a, b = members.me("a"), members.me("b")
    full, refused = True, 0

    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        take = carry(node_b, a.node_id)

        async def full_at_first(raw: bytes) -> None:
            nonlocal refused
            if full:
                refused += 1
                await until(lambda: refused == IN_FLIGHT_MAX)
                raise CapacityError("no room")
            await take(raw)

        for number in range(IN_FLIGHT_MAX):
            await node_a.agent.send(b.node_id.service("inbox"), b"%d" % number)
        node_a.agent.contact_up(b.node_id, full_at_first)
        await until(lambda: refused == IN_FLIGHT_MAX)
        await until(lambda: [s.state for s in node_a.agent.bundles()].count("waiting") == refused)
        full = False
        real_time_jumps.jump(1.0)
        with trio.fail_after(PATIENCE_S):
            await until(lambda: len(node_b.store) == IN_FLIGHT_MAX)


async def test_a_refused_bundle_does_not_block_the_others(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        take = carry(node_b, a.node_id)

        async def choosy(raw: bytes) -> None:
            if b"bad" in raw:
                raise PeerError("not that one")
            await take(raw)

        for payload in (b"bad", b"good"):
            await node_a.agent.send(b.node_id.service("inbox"), payload)
        contact = node_a.agent.contact_up(b.node_id, choosy)
        await until(lambda: len(node_b.store) == 1)
        await until(lambda: node_a.agent.counters["refused_by_neighbour"] == 1)
        assert len(node_a.store) == 1
        contact.close()
        connect(node_a, node_b)
        await until(lambda: len(node_b.store) == 2)
