from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.dht.crawl import gather_dict


async def test_gathering_runs_side_by_side_and_keeps_the_order(
    autojump_clock: MockClock,
) -> None:
    async def after(seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    with trio.fail_after(3.5):
        found = await gather_dict({"slow": after(3), "fast": after(1), "none": after(0)})
    assert list(found.items()) == [("slow", 3), ("fast", 1), ("none", 0)]
    assert await gather_dict({}) == {}


async def test_a_cancelled_look_up_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    ended = []

    async def linger(number: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(number)

    with trio.move_on_after(1):
        await gather_dict({number: linger(number) for number in range(3)})
        pytest.fail("not cancelled")
    assert sorted(ended) == [0, 1, 2]
