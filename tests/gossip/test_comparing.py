"""Failure detector and anti-entropy together, over sealed datagrams in memory: a partition."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import trio
import trio.testing

from radics_mesh.clock import Monotonic
from radics_mesh.gossip.comparing import Comparing
from radics_mesh.gossip.liveness import Liveness
from radics_mesh.link import TAG_RECORDS, TAG_SWIM, SealedDatagrams
from radics_mesh.link_memory import MemoryNetwork
from radics_mesh.records import Record
from tests.dht.world import TrioClock
from tests.gossip.test_entropy import Shelf, record
from tests.gossip.world import MESH, at, identity

COUNT = 4
HALF = [at(number) for number in range(COUNT // 2)]


async def start(nursery: trio.Nursery, network: MemoryNetwork, number: int) -> Node:
    link = SealedDatagrams(network.link(at(number)), bytes(32))
    liveness = Liveness(
        link=link.channel(TAG_SWIM),
        identity=identity(number),
        mesh=MESH,
        clock=TrioClock(),
        acquaintances=lambda: [at(0)],
        random=Random(number),
    )
    shelf = Shelf(trio.current_time)
    comparing = Comparing(
        link=link.channel(TAG_RECORDS),
        liveness=liveness,
        holdings=shelf,
        clock=TrioClock(),
        random=Random(100 + number),
    )
    nursery.start_soon(link.run)
    await nursery.start(liveness.run)
    await nursery.start(comparing.run)
    return Node(liveness, comparing, shelf)


class Node:
    def __init__(self, liveness: Liveness, comparing: Comparing, shelf: Shelf) -> None:
        self.liveness = liveness
        self.comparing = comparing
        self.shelf = shelf

    def state(self, one: Record) -> None:
        assert self.shelf.learn(one.pack(0.0))
        self.comparing.stir()

    def sequence(self, one: Record) -> int:
        held = self.shelf.book.entry(*one.slot, Monotonic(trio.current_time()))
        return -1 if held is None else held.record.sequence

    @property
    def sees(self) -> int:
        return len(self.liveness.reachable())


async def until(condition: Callable[[], bool], within_s: float) -> None:
    """`within_s` is simulated time."""
    with trio.fail_after(within_s):
        while True:
            if condition():
                return
            await trio.sleep(0.5)


async def test_halves_that_meet_again_end_with_the_newest_of_both(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    network = MemoryNetwork(Random(1), delay_s=(0.01, 0.08), loss=0.1)
    nodes = [await start(nursery, network, number) for number in range(COUNT)]
    await until(lambda: all(node.sees == COUNT - 1 for node in nodes), 60)
    # A VM, say: stated by one node, and known to all.
    stated = record(1, 1, subject="vm")
    nodes[1].state(stated)
    await until(lambda: all(node.sequence(stated) == 1 for node in nodes), 10)
    network.partition(HALF)
    await until(lambda: all(node.sees == COUNT // 2 - 1 for node in nodes), 60)
    nodes[1].state(record(1, 2, subject="vm", withdrawn=True))
    there = record(3, 1, subject="new", ttl_s=600)
    nodes[3].state(there)
    await trio.sleep(60)
    assert [node.sequence(stated) for node in nodes] == [2] * 2 + [1] * 2
    assert [node.sequence(there) for node in nodes] == [-1] * 2 + [1] * 2
    # What the other half knows of it has expired meanwhile, and says so.
    old = nodes[2].shelf.book.entry(*stated.slot, Monotonic(trio.current_time()))
    assert old is not None
    assert old.stale
    network.heal()
    await until(lambda: all(node.sees == COUNT - 1 for node in nodes), 30)
    await until(lambda: all(node.sequence(stated) == 2 for node in nodes), 30)
    await until(lambda: all(node.sequence(there) == 1 for node in nodes), 30)
    nursery.cancel_scope.cancel()
