"""A little of `make fuzz-mesh`."""

from __future__ import annotations

from random import Random

import trio
from trio.testing import MockClock

from radics_mesh.dht import rpc
from radics_mesh.link_memory import MemoryNetwork
from tests.dht.world import at
from tests.hostile.fuzz import Datagrams, Target, run


async def test_no_datagram_raises_and_nothing_grows(autojump_clock: MockClock) -> None:
    counted = await run(4000, 2)
    assert counted["malformed"] > 100
    assert counted["seal_refused"] > 1000
    assert counted["served_ping"] > 10


def test_a_seed_gives_the_same_datagrams() -> None:
    one, other = Datagrams(Random(5)), Datagrams(Random(5))
    assert [one.make() for _ in range(50)] == [other.make() for _ in range(50)]


async def test_who_lacks_the_mesh_key_reaches_no_parser(autojump_clock: MockClock) -> None:
    """Not even with a datagram that is in order but for its seal."""
    target = Target(1)
    outsider = MemoryNetwork(Random(1)).link(at(7))
    call = rpc.pack_call(bytes(20), "ping", [bytes(20)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(target.sealed.run)
        await nursery.start(target.dht.run)
        for _ in range(500):
            target.network.forge(call, outsider.local, target.link.local)
        await trio.sleep(5)
        nursery.cancel_scope.cancel()
    assert target.sealed.counters["refused"] == 500
    assert target.dht.counters["datagrams_in"] == 0
    assert target.network.counters["sent"] == 500  # nothing came back
