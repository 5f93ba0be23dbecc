from collections.abc import AsyncIterator
from random import Random

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.link_memory import MemoryNetwork
from tests.dht.world import World


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


@pytest.fixture
async def world(clock: MockClock, nursery: trio.Nursery) -> AsyncIterator[World]:
    """Between 10 and 80 ms one way; stopped at the end of the test."""
    random = Random(1)
    network = MemoryNetwork(random, delay_s=(0.01, 0.08))
    yield World(nursery, network, random)
    nursery.cancel_scope.cancel()
