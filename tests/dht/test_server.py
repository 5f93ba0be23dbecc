from __future__ import annotations

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.dht import rpc
from radics_mesh.errors import PeerError
from tests.dht.world import TTL_S, World, at, fact, fact_key, node_id

CATS = fact_key("cats")


def purr(owner: int, sequence: int) -> bytes:
    return fact(node_id(owner), sequence, "cats: purr")


def hold(world: World, number: int, value: bytes) -> None:
    world.nodes[number].storage[CATS] = value


async def test_a_value_is_found_from_everywhere(world: World, clock: MockClock) -> None:
    await world.mesh(30)
    assert await world.nodes[3].put(CATS, purr(3, 1)) == 8
    for dht in world.nodes.values():
        with trio.fail_after(1):
            assert await dht.get(CATS) == [purr(3, 1)]


async def test_a_tenth_of_all_datagrams_is_lost(world: World, clock: MockClock) -> None:
    world.network.loss = 0.1
    await world.mesh(20)
    assert await world.nodes[3].put(CATS, purr(3, 1)) >= 6
    for dht in world.nodes.values():
        with trio.fail_after(10):
            assert await dht.get(CATS) == [purr(3, 1)]
    assert sum(dht.counters["retransmitted"] for dht in world.nodes.values()) > 0


async def test_a_third_of_the_nodes_dies(world: World, clock: MockClock) -> None:
    await world.mesh(20)
    await world.nodes[3].put(CATS, purr(3, 1))
    for number in (0, 2, 5, 8, 11, 14):
        await world.kill(number)
    for dht in world.nodes.values():
        with trio.fail_after(10):
            assert await dht.get(CATS) == [purr(3, 1)]


async def test_nothing_is_found_nowhere(world: World, clock: MockClock) -> None:
    await world.mesh(5)
    assert await world.nodes[2].get(CATS) == []


async def test_alone(world: World, clock: MockClock) -> None:
    dht = await world.start(0)
    assert await dht.put(CATS, purr(0, 1)) == 0
    assert await dht.get(CATS) == [purr(0, 1)]


async def test_an_own_value_must_pass_the_judge_too(world: World, clock: MockClock) -> None:
    dht = await world.start(0)
    with pytest.raises(PeerError):
        await dht.put(fact_key("dogs"), purr(0, 1))


async def test_publishers_are_merged_and_their_newest_win(world: World, clock: MockClock) -> None:
    await world.mesh(10)
    hold(world, 1, purr(100, 1))
    hold(world, 2, purr(100, 2))
    hold(world, 3, purr(200, 7))
    # Which three holders show their values first is luck; what is missing is repaired then.
    await world.nodes[7].get(CATS)
    await trio.sleep(1)
    found = await world.nodes[7].get(CATS)
    assert sorted(found) == sorted([purr(100, 2), purr(200, 7)])


async def test_holders_of_old_values_are_repaired(world: World, clock: MockClock) -> None:
    await world.mesh(4)
    hold(world, 1, purr(100, 1))
    hold(world, 2, purr(100, 2))
    assert await world.nodes[3].get(CATS) == [purr(100, 2)]
    await trio.sleep(1)
    assert world.nodes[1].storage[CATS] == [purr(100, 2)]
    assert world.nodes[3].counters["repairs"] > 0


async def test_a_newcomer_is_given_what_it_should_hold(world: World, clock: MockClock) -> None:
    await world.mesh(3)
    await world.nodes[1].put(CATS, purr(1, 1))
    late = await world.start(9, bootstrap=[0])
    await trio.sleep(5)
    assert late.storage.get(CATS) == [purr(1, 1)]


async def test_a_restarted_node_is_given_back_what_it_held(world: World, clock: MockClock) -> None:
    await world.mesh(3)
    await world.nodes[1].put(CATS, purr(1, 1))
    await world.kill(0)
    back = await world.start(0, bootstrap=[1, 2])
    await trio.sleep(1)
    assert back.storage.get(CATS) == [purr(1, 1)]


async def test_an_emptied_table_refills_when_a_partition_heals(
    world: World, clock: MockClock
) -> None:
    for number in range(6):
        # Nobody is told addresses: what they met is all they have.
        await world.start(number, bootstrap=[0] if number else [])
    await trio.sleep(5)
    for dht in world.nodes.values():
        dht._bootstrap = ()
    world.network.partition(*([at(number)] for number in range(6)))
    await trio.sleep(600)
    for dht in world.nodes.values():
        await dht.get(CATS)
    await trio.sleep(60)
    for dht in world.nodes.values():
        await dht.get(CATS)
        assert dht.contacts() == {}
    world.network.heal()
    await trio.sleep(20)
    assert all(len(dht.contacts()) == 5 for dht in world.nodes.values())


async def test_a_restarted_node_finds_back_by_its_book(
    world: World, clock: MockClock, tmp_path: Path
) -> None:
    await world.mesh(3)
    await world.start(7, bootstrap=[0], book=tmp_path / "book")
    await trio.sleep(10)
    await world.kill(7)
    await world.kill(0)
    back = await world.start(7, book=tmp_path / "book")
    await trio.sleep(5)
    assert {node_id(1), node_id(2)} <= set(back.contacts())


async def test_a_known_node_at_a_new_address(world: World, clock: MockClock) -> None:
    await world.mesh(3)
    await world.kill(2)
    await world.start(9, bootstrap=[0], id_number=2)
    await trio.sleep(10)
    assert world.nodes[0].contacts()[node_id(2)] == at(9)
    assert world.nodes[0].counters["contacts_moved"] == 1


async def test_an_id_is_not_moved_away_from_who_still_answers(
    world: World, clock: MockClock
) -> None:
    await world.mesh(3)
    await world.start(9, bootstrap=[0], id_number=2)
    await trio.sleep(10)
    assert world.nodes[0].contacts()[node_id(2)] == at(2)


async def test_another_node_at_a_known_address(world: World, clock: MockClock) -> None:
    await world.mesh(3)
    await world.kill(2)
    await world.start(2, bootstrap=[0], id_number=9)
    await trio.sleep(5)
    await world.nodes[1].get(CATS)
    await world.nodes[0].get(CATS)
    assert node_id(2) not in world.nodes[0].contacts()
    assert world.nodes[0].contacts()[node_id(9)] == at(2)


async def test_a_caller_under_another_name_is_asked_and_not_believed(
    world: World, clock: MockClock
) -> None:
    await world.mesh(3)
    call = rpc.pack_call(bytes(20), "find_node", [bytes(node_id(9)), bytes(20)])
    world.nodes[0].protocol.handle(call, at(2))
    await trio.sleep(1)
    assert world.nodes[0].contacts()[node_id(2)] == at(2)
    assert node_id(9) not in world.nodes[0].contacts()


async def test_who_cannot_be_sent_to_fails_at_once(world: World, clock: MockClock) -> None:
    """A - B - C, and C stores through B: no call of A's waits for C."""
    a = await world.start(0, bootstrap=[1], reach=[1])
    await world.start(1)
    c = await world.start(2, bootstrap=[1], reach=[1])
    await trio.sleep(5)
    assert node_id(2) in a.heard()
    await c.put(CATS, purr(2, 1))
    with trio.fail_after(0.5):
        assert await a.get(CATS) == [purr(2, 1)]
    assert a.counters["unreachable"] > 0
    assert node_id(2) not in a.contacts()


async def test_a_value_is_sought_along_a_line(world: World, clock: MockClock) -> None:
    """0 - 1 - 2 - 3 - 4: what 4 stores is at 3 only, and 0 can ask 1 only."""
    for number in range(5):
        await world.start(
            number, bootstrap=[number - 1] if number else [], reach=[number - 1, number + 1]
        )
    await trio.sleep(20)
    await world.nodes[4].put(CATS, purr(4, 1))
    with trio.fail_after(10):
        assert await world.nodes[0].get(CATS) == [purr(4, 1)]
    with trio.fail_after(10):
        assert await world.nodes[0].get(fact_key("dogs")) == []


async def test_the_dead_are_not_waited_for_again_and_again(world: World, clock: MockClock) -> None:
    await world.mesh(3)
    await world.kill(1)
    await world.kill(2)
    for _ in range(3):
        await world.nodes[0].get(CATS)
    with trio.fail_after(0.1):
        await world.nodes[0].get(CATS)
    assert world.nodes[0].contacts() == {}


async def test_lies_about_nodes_are_harmless(world: World, clock: MockClock) -> None:
    """One member answers every look-up with made-up nodes and stores what it likes."""
    await world.mesh(8)
    liar = world.nodes[5].protocol
    made_up = [[node_id(1000 + n), "10.9.9.9", n + 1] for n in range(rpc.NODES_MAX)]
    liar._procedures["find_node"] = lambda sender, fields: made_up
    liar._procedures["find_value"] = lambda sender, fields: {
        "value": rpc.pack_values([b"junk", purr(3, 9)[:-1] + b"x"])
    }
    assert await world.nodes[3].put(CATS, purr(3, 1)) >= 5
    with trio.fail_after(60):
        assert await world.nodes[2].get(CATS) == [purr(3, 1)]


async def test_malformed_answers_are_failed_calls(world: World, clock: MockClock) -> None:
    await world.mesh(2)
    for procedures in (world.nodes[1].protocol._procedures,):
        for name in ("ping", "find_node", "find_value", "store"):
            procedures[name] = lambda sender, fields: {"value": 7}
    assert await world.nodes[0].get(CATS) == []
    assert await world.nodes[0].put(CATS, purr(0, 1)) == 0
    assert world.nodes[0].counters["malformed_answers"] > 0


async def test_what_is_taken_back_is_found_nowhere_after_the_next_publication(
    world: World, clock: MockClock
) -> None:
    """Also not by the word of holders that were away when it was taken back."""
    await world.mesh(12)
    await world.nodes[3].put(CATS, purr(3, 1))
    away = [at(number) for number in range(4, 10)]
    world.network.partition(away)
    await world.nodes[3].put(CATS, purr(3, 2))
    world.network.heal()
    await trio.sleep(10)
    await world.nodes[3].put(CATS, purr(3, 2))
    for dht in world.nodes.values():
        assert await dht.get(CATS) == [purr(3, 2)]


async def test_what_expired_is_told_by_nobody_beside_what_is_fresh(
    world: World, clock: MockClock
) -> None:
    await world.mesh(6)
    await world.nodes[3].put(CATS, purr(3, 1))
    await trio.sleep(TTL_S + 1)
    await world.nodes[4].put(CATS, purr(4, 1))
    for number in (0, 1, 2):
        assert await world.nodes[number].get(CATS) == [purr(4, 1)]
