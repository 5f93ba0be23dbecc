"""The end of a registration whose handler has a bundle."""

from __future__ import annotations

from pathlib import Path

import trio

from radics_mesh.dtn.agent import Delivery
from tests.dtn.world import HandClock, Members, running


async def test_who_ends_it_waits_for_the_handler_and_the_next_one_gets_the_bundle(
    tmp_path: Path,
) -> None:
    in_hands, steps = trio.Event(), list[str]()

    async def lingering(delivery: Delivery) -> None:
        in_hands.set()
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):  # as a write in a thread, which nothing cuts short
                await trio.sleep(0.02)
            steps.append("handler")

    async with running(Members(HandClock()).me("a"), tmp_path) as node:
        inbox = node.id.service("inbox")
        registration = node.agent.register(inbox, lingering)
        await node.agent.send(inbox, b"x")
        await in_hands.wait()
        await registration.end()
        steps.append("end")
        await registration.end()  # nothing is left to wait for
        assert steps == ["handler", "end"]
        node.agent.register(inbox, node.collect)
        assert [d.payload for d in await node.received(1)] == [b"x"]
        assert node.agent.counters["delivered"] == 1
