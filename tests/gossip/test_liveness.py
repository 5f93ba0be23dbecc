"""The failure detector's shell, over sealed datagrams in memory."""

from random import Random

import pytest
import trio
import trio.testing

from radics_mesh.gossip.liveness import Liveness
from radics_mesh.gossip.members import State
from radics_mesh.link import TAG_SWIM, SealedDatagrams
from radics_mesh.link_memory import MemoryNetwork
from tests.dht.world import TrioClock
from tests.gossip.world import MESH, at, identity


class Nodes:
    """Numbered nodes of one mesh; each is told of the one before it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = MemoryNetwork(Random(1), delay_s=(0.01, 0.08), loss=0.1)
        self.scopes: dict[int, trio.CancelScope] = {}
        self.links: dict[int, SealedDatagrams] = {}
        self._nursery = nursery

    async def start(self, number: int) -> Liveness:
        link = SealedDatagrams(self.network.link(at(number)), bytes(32))
        liveness = Liveness(
            link=link.channel(TAG_SWIM),
            identity=identity(number),
            mesh=MESH,
            clock=TrioClock(),
            acquaintances=lambda: [at(number - 1)] if number else [],
            random=Random(number),
        )
        self.scopes[number] = trio.CancelScope()
        self.links[number] = link
        await self._nursery.start(self._run, number, link, liveness)
        return liveness

    async def _run(
        self,
        number: int,
        link: SealedDatagrams,
        liveness: Liveness,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        with self.scopes[number]:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.run)
                await nursery.start(liveness.run)
                task_status.started()
        link.close()


@pytest.fixture
def nodes(autojump_clock: trio.testing.MockClock, nursery: trio.Nursery) -> Nodes:
    return Nodes(nursery)


async def until(liveness: Liveness, count: int, state: State) -> None:
    with trio.fail_after(60), liveness.changes() as changes:
        while sum(one.state is state for one in liveness.standings()) < count:
            await changes.receive()


async def test_nodes_meet_fail_and_leave(
    autojump_clock: trio.testing.MockClock, nodes: Nodes
) -> None:
    first, second = await nodes.start(0), await nodes.start(1)
    third = await nodes.start(2)
    for one in (first, second, third):
        await until(one, 2, State.ALIVE)
    await trio.sleep(5)
    # Somebody whose link breaks says nothing any more.
    nodes.network.partition([at(2)])
    await until(first, 1, State.UNREACHABLE)
    gone = first.standing(identity(2).node_id)
    assert gone is not None
    assert gone.heard_s is not None
    assert gone.heard_s > 2
    assert first.is_gone(identity(2).node_id)
    nodes.network.heal()
    await until(third, 2, State.ALIVE)
    await until(first, 2, State.ALIVE)
    nodes.scopes[2].cancel()
    await until(first, 1, State.LEFT)
    assert first.is_proved(at(1))
