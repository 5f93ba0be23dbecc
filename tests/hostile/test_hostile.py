"""Reduced `make hostile`: every attack at once in a small mesh; and what each must not do."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
import trio
from kademlia.node import Node
from trio.testing import MockClock

from radics_mesh.dht import rpc
from radics_mesh.dht.limits import BURST
from radics_mesh.errors import CapacityError
from radics_mesh.link_memory import MemoryNetwork
from radics_mesh.records import Kind, dht_key
from tests.dht.world import at
from tests.hostile.__main__ import hostile, run
from tests.hostile.attacks import many_faces, spoof, steal_names
from tests.hostile.world import Attack, HostileWorld, Member

World = Callable[[int, dict[int, Attack]], HostileWorld]


# What floods has tests of its own, and takes long to simulate.
_LIARS = ["garbage", "fakes", "thousand", "many faces", "silent", "roll back"]


def test_look_ups_beside_a_fifth_of_hostile_members() -> None:
    outcome, counted, held, _ = run(30, hostile(30, 0.2, 3, _LIARS), 20, 3)
    assert outcome.rate >= 0.9
    assert held < 500
    assert counted["store_PeerError"] + counted["store_far"] > 0


@pytest.fixture
async def make(nursery: trio.Nursery) -> AsyncIterator[World]:
    network = MemoryNetwork(Random(1), delay_s=(0.01, 0.08))
    yield lambda count, attacks: HostileWorld(nursery, network, count, attacks)
    nursery.cancel_scope.cancel()


def _call(name: str, *arguments: object) -> bytes:
    return rpc.pack_call(os.urandom(20), name, arguments)


async def test_ids_that_are_not_proved_get_nowhere(make: World, autojump_clock: MockClock) -> None:
    world = make(8, {3: steal_names, 4: many_faces})
    assert (await world.run(10)).rate == 1
    true = {one.dht.node.id: one.link.local for one in world.members.values()}
    for one in world.honest:
        assert all(true[node_id] == where for node_id, where in one.dht.contacts().items())
    assert world.counted()["other_ids"] > 0


async def test_a_bystander_gets_no_more_than_was_spent(
    make: World, autojump_clock: MockClock
) -> None:
    """Calls in its name: what comes to it is shorter than what made it come."""
    world = make(6, {2: spoof})
    bystander = world.network.link(at(9999))
    arrived, spent = 0, 0
    forge = world.network.forge

    def counted(data: bytes, source: tuple[str, int], destination: tuple[str, int]) -> None:
        nonlocal spent
        spent += len(data) * (source == at(9999))
        forge(data, source, destination)

    world.network.forge = counted  # type: ignore[method-assign]

    async def receive() -> None:
        nonlocal arrived
        while True:
            arrived += len((await bystander.receive())[0])

    world.nursery.start_soon(receive)
    await world.run(5)
    assert 0 < arrived <= spent


async def test_no_answer_outgrows_its_call_to_who_has_proved_nothing(
    make: World, autojump_clock: MockClock
) -> None:
    world = make(6, {})
    await world.run(1)
    one = world.members[1]
    for name in ("ping", "find_node", "find_value", "stun", "seek", "store", "prove"):
        for key in (one.key, bytes(20)):
            for flags in (0, rpc.PROVE, rpc.PROVE | rpc.HELLO):
                call = rpc.pack_call(
                    os.urandom(20), name, [os.urandom(20), key, b"\x90", 1], flags=flags
                )
                answer = one.dht.protocol.handle(call, ("10.6.6.6", 5050))
                assert answer is None or len(answer) <= len(call)


async def test_an_answer_waits_for_the_proof_and_then_comes(
    make: World, autojump_clock: MockClock
) -> None:
    world = make(6, {})
    await world.run(1)
    link = world.network.link(("10.6.6.6", 5050))
    one = world.members[1]
    await link.send(_call("find_node", bytes(20), one.key), one.link.local)
    with trio.fail_after(1):
        asked = rpc.parse((await link.receive())[0])
        assert isinstance(asked, rpc.Call)
        assert asked.name == "ping"
        await link.send(rpc.pack_answer(asked.message_id, bytes(20)), one.link.local)
        answer: rpc.Call | rpc.Answer = asked
        while isinstance(answer, rpc.Call):  # it is also asked to prove who it is
            answer = rpc.parse((await link.receive())[0])
    assert len(rpc.parse_nodes(answer.value)) == 5


async def test_who_floods_is_served_its_share(make: World, autojump_clock: MockClock) -> None:
    world = make(3, {})
    await world.run(1)
    one, flooder = world.members[1], world.members[2]
    before = one.dht.counters["served_ping"]
    for _ in range(5000):
        one.dht.protocol.handle(_call("ping", flooder.dht.node.id), flooder.link.local)
    assert one.dht.counters["served_ping"] - before <= BURST
    assert one.dht.counters["flooded"] >= 5000 - BURST
    assert await world.members[0].dht.get(one.key) == [one.record(2)]


async def test_made_up_addresses_cost_a_bounded_amount(
    make: World, autojump_clock: MockClock
) -> None:
    world = make(3, {})
    await world.run(1)
    one = world.members[1].dht
    for number in range(20_000):
        source = (f"10.{number >> 14}.{number >> 7 & 127}.{number & 127 | 1}", 1 + number % 60_000)
        one.protocol.handle(_call("find_value", os.urandom(20), os.urandom(20)), source)
    assert len(one.protocol.checks) <= 1024
    assert len(one.protocol.contacts.heard) <= 1024
    assert len(one.contacts()) == 2


async def _started(make: World) -> tuple[HostileWorld, Member]:
    world = make(2, {})
    await world.run(1)
    return world, world.members[1]


async def test_one_publisher_cannot_fill_a_store(make: World, autojump_clock: MockClock) -> None:
    world, one = await _started(make)
    refused = 0
    for number in range(400):
        subject = f"filler/{number}"
        record = world.members[0].record(1, subject)
        try:
            one.dht.storage[dht_key(Kind.SOURCE, subject)] = record
        except CapacityError:
            refused += 1
    assert refused >= 400 - 256
    assert len(one.dht.storage) < 300


async def test_nobody_is_who_another_one_says(make: World, autojump_clock: MockClock) -> None:
    """A node list that names an honest node under a liar's address: it is asked, and is not."""
    world, one = await _started(make)
    other = world.members[0]
    wrong = Node(other.dht.node.id, *one.link.local)
    assert await other.dht.protocol.call_find_node(wrong, Node(bytes(20))) == (False, None)
    assert other.dht.counters["other_ids"] == 1
