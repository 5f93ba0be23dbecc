"""Nodes with several addresses, seen from outside, that change."""

from __future__ import annotations

import trio
from kademlia.node import Node
from trio.testing import MockClock

from radics_mesh.dht.homes import EACH_MAX, NODES_MAX, Homes
from radics_mesh.dht.witnesses import WORD_S, Witnesses
from radics_mesh.link_memory import MemoryLink
from tests.dht.world import World, at, fact, fact_key, node_id

CATS = fact_key("cats")
OUTSIDE = ("203.0.113.5", 40_000)


def purr(owner: int, sequence: int) -> bytes:
    return fact(node_id(owner), sequence, "cats: purr")


def test_one_witness_is_none() -> None:
    witnesses = Witnesses()
    witnesses.say(at(1), OUTSIDE, 0.0)
    # Another port of one host is the same witness, whatever it is called.
    witnesses.say((at(1)[0], 6000), OUTSIDE, 0.0)
    assert witnesses.believed(1.0) == []
    witnesses.say(at(2), OUTSIDE, 1.0)
    assert witnesses.believed(1.0) == [OUTSIDE]


def test_a_liar_adds_nothing_and_takes_nothing_away() -> None:
    witnesses = Witnesses()
    for number in (1, 2):
        witnesses.say(at(number), OUTSIDE, 0.0)
    witnesses.say(at(3), ("198.51.100.9", 1), 0.0)
    assert witnesses.believed(0.0) == [OUTSIDE]


def test_words_grow_old_and_a_move_ends_them() -> None:
    witnesses = Witnesses()
    for number in (1, 2):
        witnesses.say(at(number), OUTSIDE, 0.0)
    assert witnesses.believed(WORD_S) == []
    assert witnesses.believed(0.0) == [OUTSIDE]
    witnesses.forget()
    assert witnesses.believed(0.0) == []


def test_loopback_addresses_are_no_news() -> None:
    witnesses = Witnesses()
    for number in (1, 2):
        witnesses.say(at(number), ("127.0.0.1", 5050), 0.0)
    assert witnesses.believed(0.0) == []


def test_a_caller_is_told_an_address_of_its_own_family() -> None:
    homes = Homes()
    v4, v6 = ("203.0.113.5", 5050), ("2001:db9::5", 5050)
    homes.prove(node_id(1), v6)
    assert homes.for_caller(node_id(1), v4, ("2001:db9::9", 1)) == v6
    assert homes.for_caller(node_id(1), v4, ("203.0.113.9", 1)) == v4
    assert homes.for_caller(node_id(2), v4, ("2001:db9::9", 1)) == v4


def test_private_addresses_are_not_told_to_who_is_outside() -> None:
    homes = Homes()
    private = ("192.168.1.5", 5050)
    assert homes.for_caller(node_id(1), private, ("203.0.113.9", 1)) is None
    homes.prove(node_id(1), OUTSIDE)
    assert homes.for_caller(node_id(1), private, ("203.0.113.9", 1)) == OUTSIDE
    assert homes.for_caller(node_id(1), private, ("192.168.1.9", 1)) == private


def test_what_is_known_of_addresses_is_bounded() -> None:
    homes = Homes()
    for number in range(NODES_MAX + 10):
        homes.state(b"%020d" % number, [at(n) for n in range(20)])
    assert homes.others(b"%020d" % 1, at(0)) == []
    assert len(homes.others(b"%020d" % NODES_MAX, at(99))) == EACH_MAX


async def test_nodes_learn_as_whom_they_are_seen(world: World, clock: MockClock) -> None:
    await world.mesh(4)
    await trio.sleep(30)
    assert world.nodes[2].observed() == [at(2)]


def _link(world: World, number: int) -> MemoryLink:
    link = world.nodes[number]._link
    assert isinstance(link, MemoryLink)
    return link


async def test_a_new_lease_is_known_everywhere_within_seconds(
    world: World, clock: MockClock
) -> None:
    """The address changes under a running node: it stays who it is, and its records stay found."""
    await world.mesh(8)
    await world.nodes[5].put(CATS, purr(5, 1))
    world.network.move(_link(world, 5), at(77))
    world.nodes[5].moved()
    await trio.sleep(6)
    others = [dht for number, dht in world.nodes.items() if number != 5]
    assert all(dht.contacts()[node_id(5)] == at(77) for dht in others)
    assert len(world.nodes[5].contacts()) == 7
    for dht in world.nodes.values():
        with trio.fail_after(1):
            assert await dht.get(CATS) == [purr(5, 1)]


async def test_a_new_lease_that_nobody_was_told_of(world: World, clock: MockClock) -> None:
    """Without a word the next calls show it."""
    await world.mesh(6)
    world.network.move(_link(world, 5), at(77))
    await trio.sleep(90)
    assert world.nodes[0].contacts()[node_id(5)] == at(77)


async def test_everybody_gets_a_new_address_at_once(world: World, clock: MockClock) -> None:
    """A router that begins anew: no address that anybody knows is any good, but one is fixed."""
    await world.mesh(6)
    await world.nodes[5].put(CATS, purr(5, 1))
    for number in range(1, 6):
        world.network.move(_link(world, number), at(70 + number))
        world.nodes[number].moved()
    await trio.sleep(30)
    for number, dht in world.nodes.items():
        assert len(dht.contacts()) == 5, number
        assert await dht.get(CATS) == [purr(5, 1)]


async def test_where_a_record_says_it_is_is_tried_when_it_is_lost(
    world: World, clock: MockClock
) -> None:
    await world.mesh(2)
    zero, other = world.nodes[0], world.nodes[1]
    other._bootstrap = ()
    zero.learn(node_id(1), [at(1), at(88)])
    other.protocol.router.remove_contact(Node(node_id(0)))
    world.network.move(_link(world, 1), at(88))
    for _ in range(3):
        await zero.get(CATS)
    await trio.sleep(5)
    assert zero.contacts() == {node_id(1): at(88)}
