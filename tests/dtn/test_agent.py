"""Agents together: store and forward, delivery once, restarts, refusals, expiry, moving VMs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import structlog.testing
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from radics_mesh.clock import Wall
from radics_mesh.config import Foreign
from radics_mesh.dtn.agent import Delivery
from radics_mesh.dtn.handling.contact import IN_FLIGHT_MAX
from radics_mesh.dtn.handling.endpoints import Elsewhere
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.rules.processing import depart, originate
from radics_mesh.dtn.trust.security import sign
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import Bundle, Fragment
from radics_mesh.errors import CapacityError, LinkError, PeerError, UsageError, WireError
from radics_mesh.ids import Digest, Eid, NodeId
from radics_mesh.me import Me
from radics_mesh.ownership import born
from tests.dtn.bundles import plain
from tests.dtn.world import Members, Node, TrioClock, carry, connect, nowhere, running, until
from tests.patience import PATIENCE_S

IBR = Foreign(Eid("dtn://ibr/"), None, "192.0.2.1", ("echo",))


@pytest.fixture
def members() -> Members:
    return Members(TrioClock())


def made(sender: Me, to: Eid, payload: bytes = b"hello", sequence: int = 1) -> bytes:
    """What a neighbour would put on the wire."""
    bundle = originate(
        sender,
        to,
        payload,
        source=sender.identity.eid,
        stamp=(1, sequence),
        lifetime_s=3600,
        ownership=b"",
        priority=1,
    )
    return depart(bundle, sender.identity.eid, 0).encode()


# --- journeys ---


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


# --- delivered once ---


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


# --- virtual machines ---


async def test_bundles_follow_a_vm(tmp_path: Path, members: Members) -> None:
    """To A while the VM is there; when it leaves for B what waits goes after it, through A."""
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    vm = born(a.identity, "vm", Digest.of(b"image"), bytes(16))
    inbox = Eid(f"{vm.vm_id.eid}in")
    at: dict[str, NodeId] = {"vm": a.node_id}

    def locate(eid: Eid) -> NodeId | None:
        return at["vm"] if eid.vm_id == vm.vm_id else None

    paused = trio.Event()

    async def pause(delivery: Delivery) -> None:
        paused.set()
        await trio.sleep_forever()

    async with (
        running(a, tmp_path / "a", locate=locate) as node_a,
        running(b, tmp_path / "b", locate=locate) as node_b,
        running(c, tmp_path / "c", locate=locate) as node_c,
    ):
        for other in (node_b, node_c):
            connect(node_a, other)
        registration = node_a.agent.register(vm.vm_id.eid, node_a.collect, prefix=True)
        await node_c.agent.send(inbox, b"one")
        await node_a.received(1)
        registration.close()
        at["vm"] = NodeId(bytes(20))  # on its way, nobody knows where
        await node_c.agent.send(inbox, b"two")
        node_a.agent.routes_changed()
        node_c.agent.routes_changed()
        await wait_all_tasks_blocked(0.01)
        assert len(node_b.delivered) == 0
        at["vm"] = b.node_id
        node_b.agent.register(vm.vm_id.eid, node_b.collect, prefix=True)
        connect(node_c, node_b)
        (delivery,) = await node_b.received(1)
        assert delivery.payload == b"two"
        assert delivery.signer == c.node_id


async def test_what_waited_for_a_vm_is_its_own_once_it_is_here(
    tmp_path: Path, members: Members
) -> None:
    me = members.me("a")
    vm = born(me.identity, "vm", Digest.of(b"image"), bytes(16))
    async with running(me, tmp_path) as node:
        for payload in (b"one", b"two"):
            await node.agent.send(Eid(f"{vm.vm_id.eid}in"), payload)
        assert [b.state for b in node.agent.bundles()] == ["waiting", "waiting"]
        node.agent.register(vm.vm_id.eid, node.collect, prefix=True)
        assert [d.payload for d in await node.received(2)] == [b"one", b"two"]


async def test_a_vm_that_moved_behind_the_sender(tmp_path: Path, members: Members) -> None:
    """A sent it to B, where the VM was; B sends it back, since that is the only way."""
    a, b = members.me("a"), members.me("b")
    vm = born(a.identity, "vm", Digest.of(b"image"), bytes(16))
    at = {"vm": b.node_id}

    def locate(eid: Eid) -> NodeId | None:
        return at["vm"]

    async with (
        running(a, tmp_path / "a", locate=locate) as node_a,
        running(b, tmp_path / "b", locate=locate) as node_b,
    ):
        connect(node_a, node_b)
        await node_a.agent.send(Eid(f"{vm.vm_id.eid}in"), b"x")
        await until(lambda: len(node_b.store) == 1 and len(node_a.store) == 0)
        at["vm"] = a.node_id
        node_a.agent.register(vm.vm_id.eid, node_a.collect, prefix=True)
        node_b.agent.routes_changed()
        assert [d.payload for d in await node_a.received(1)] == [b"x"]


async def test_a_bundle_that_crosses_itself_is_not_lost(tmp_path: Path, members: Members) -> None:
    """B has it and its acknowledgement was lost, the VM moves behind A: on the next contact each
    sends it to the other, and each has it already."""
    a, b = members.me("a"), members.me("b")
    vm = born(a.identity, "vm", Digest.of(b"image"), bytes(16))
    at_a, at_b = [b.node_id], [b.node_id]
    both = trio.Event()
    flying = 0

    async with (
        running(a, tmp_path / "a", locate=lambda eid: at_a[0]) as node_a,
        running(b, tmp_path / "b", locate=lambda eid: at_b[0]) as node_b,
    ):

        async def unheard(raw: bytes) -> None:
            await node_b.agent.receive(raw, a.node_id)
            raise LinkError("the acknowledgement was lost")

        async def crossing(to: Node, by: Me, raw: bytes) -> None:
            nonlocal flying
            flying += 1
            if flying == 2:
                both.set()
            await both.wait()
            await to.agent.receive(raw, by.node_id)

        contact = node_a.agent.contact_up(b.node_id, unheard)
        await node_a.agent.send(Eid(f"{vm.vm_id.eid}in"), b"x")
        await until(lambda: contact.closed)
        at_b[0] = a.node_id
        node_a.agent.contact_up(b.node_id, partial(crossing, node_b, a))
        node_b.agent.contact_up(a.node_id, partial(crossing, node_a, b))
        with trio.fail_after(PATIENCE_S):
            await both.wait()
            await until(lambda: node_a.agent.counters["duplicate"] > 0)
            await until(lambda: node_b.agent.counters["duplicate"] > 0)
        await wait_all_tasks_blocked()
        assert len(node_a.store) + len(node_b.store) > 0
        node_a.agent.register(vm.vm_id.eid, node_a.collect, prefix=True)
        assert (await node_a.received(1))[0].payload == b"x"


async def test_a_vms_output_carries_its_ownership(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    vm = born(a.identity, "vm", Digest.of(b"image"), bytes(16))
    async with running(a, tmp_path / "a") as node_a, running(b, tmp_path / "b") as node_b:
        node_b.agent.register(b.node_id.service("inbox"), node_b.collect)
        connect(node_a, node_b)
        sent = await node_a.agent.send(
            b.node_id.service("inbox"),
            b"out",
            source=Eid(f"{vm.vm_id.eid}out"),
            stamp=(1, 42),
            ownership=vm.pack(),
        )
        (delivery,) = await node_b.received(1)
        assert delivery.bundle_id == sent
        assert delivery.vm_chain == vm.pack()
        assert delivery.signer == a.node_id


# --- contacts ---


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


# --- refusals ---


@pytest.mark.parametrize("kind", ["truncated", "tampered", "unsigned", "stranger", "expired"])
async def test_what_is_refused(tmp_path: Path, members: Members, kind: str) -> None:
    a, b = members.me("a"), members.me("b")
    to = b.node_id.service("inbox")
    good = made(a, to)
    stranger = Members(TrioClock()).me("a")
    bad = {
        "truncated": good[:-1],
        "tampered": good[:-1] + b"!",
        "unsigned": plain(a.identity.eid, to).encode(),
        "stranger": made(stranger, to),
        "expired": depart(Bundle.parse(good), a.identity.eid, 3600_000_000).encode(),
    }[kind]
    reason = {"truncated": "malformed", "tampered": "signature", "stranger": "signature"}
    async with running(b, tmp_path) as node:
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                with pytest.raises((WireError, PeerError)):
                    await node.agent.receive(bad, a.node_id)
        assert node.agent.counters[f"refused_{reason.get(kind, kind)}"] == 3
        assert len([entry for entry in logs if entry["event"] == "bundle refused"]) == 1
        assert len(node.store) == 0
        await node.agent.receive(good, a.node_id)  # and it goes on
        assert len(node.store) == 1
        with pytest.raises((WireError, PeerError)):
            await node.agent.receive(bad, a.node_id)


async def test_a_revoked_signer_is_refused(tmp_path: Path, members: Members) -> None:
    """Also one whose bundles were taken before, with its chain remembered from then."""
    a, b = members.me("a"), members.me("b")
    to = b.node_id.service("inbox")
    async with running(b, tmp_path) as node:
        await node.agent.receive(made(a, to), a.node_id)
        b.verifier.revoke(a.identity.public, b.mesh.genesis)
        with pytest.raises(PeerError, match="has been revoked"):
            await node.agent.receive(made(a, to, b"another"), a.node_id)
        assert len(node.store) == 1


async def test_a_full_store_refuses(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    async with running(b, tmp_path, quota_bytes=2000) as node:
        with pytest.raises(CapacityError):
            await node.agent.receive(made(a, b.identity.eid, bytes(2000)), a.node_id)
        assert node.agent.counters["refused_full"] == 1
        with pytest.raises(CapacityError):
            await node.agent.send(a.identity.eid, bytes(2000))


async def test_what_cannot_be_sent(tmp_path: Path, members: Members) -> None:
    async with running(members.me("a"), tmp_path) as node:
        other = members.me("b").identity.eid
        with pytest.raises(UsageError):
            await node.agent.send(other, b"x", source=other)
        with pytest.raises(UsageError):
            await node.agent.send(other, b"x", lifetime_s=0)
        with pytest.raises(UsageError):
            await node.agent.send(other, b"x", priority=3)
        assert len(node.store) == 0


async def test_a_bundle_whose_block_demands_it_is_deleted(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    bundle = Bundle.parse(made(a, b.identity.eid))
    demanding = Block(200, blocks.DELETE_BUNDLE_IF_UNPROCESSABLE, b"")
    async with running(b, tmp_path) as node:
        raw = bundle.with_blocks((demanding, *bundle.blocks)).encode()
        await node.agent.receive(raw, a.node_id)
        assert len(node.store) == 0
        assert node.agent.counters["deleted"] == 1


# --- lifetimes ---


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


# --- fragments and large bundles ---


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


# --- foreign peers ---


async def test_foreign_peers(tmp_path: Path, members: Members) -> None:
    me = members.me("a")
    echo = me.node_id.service("echo")
    out: list[bytes] = []

    async def take(raw: bytes) -> None:
        out.append(raw)

    async with running(me, tmp_path, locate=nowhere) as node:
        node.agent.register(echo, node.collect)
        node.agent.contact_up(IBR, take)
        await node.agent.receive(plain(Eid("dtn://ibr/app"), echo).encode(), IBR)
        (delivery,) = await node.received(1)
        assert delivery.signer is None
        assert delivery.source == "dtn://ibr/app"
        with pytest.raises(PeerError):
            await node.agent.receive(plain(destination=me.node_id.service("x")).encode(), IBR)
        await node.agent.send(Eid("dtn://ibr/app"), b"answer")
        await until(lambda: len(out) == 1)
        answer = Bundle.parse(out[0])
        assert answer.payload == b"answer"
        integrity = answer.block(blocks.INTEGRITY)
        assert integrity is not None
        assert not integrity.flags & blocks.DELETE_BUNDLE_IF_UNPROCESSABLE


async def test_a_damaged_bundle_does_not_stop_the_node(tmp_path: Path, members: Members) -> None:
    me = members.me("a")
    inbox = me.node_id.service("inbox")
    async with running(me, tmp_path) as node:
        await node.agent.send(inbox, bytes(3 << 20))
        await node.agent.send(inbox, b"sound")
        next((tmp_path / "large").iterdir()).write_bytes(b"rotten")
        node.agent.register(inbox, node.collect)
        assert [d.payload for d in await node.received(1)] == [b"sound"]
        assert node.store.counters["isolated"] == 1
