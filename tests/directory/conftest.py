from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.link_memory import MemoryNetwork
from tests.members import Members


@pytest.fixture
def clock() -> MockClock:
    return MockClock(autojump_threshold=0)


@pytest.fixture
async def members(
    clock: MockClock, nursery: trio.Nursery, tmp_path: Path
) -> AsyncIterator[Members]:
    yield Members(nursery, MemoryNetwork(Random(7), delay_s=(0.01, 0.08)), tmp_path)
    nursery.cancel_scope.cancel()
