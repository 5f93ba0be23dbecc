"""The convergence layer that docs/convergence-layers.md shows, between two real agents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_pair

from radics_mesh.errors import LinkError, WireError
from tests.dtn.world import Members, TrioClock, running, until

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "convergence-layers.md"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)  # our own document
    return names


async def test_bundles_go_both_ways_and_wait_when_it_breaks(
    tmp_path: Path, example: dict[str, Any]
) -> None:
    members = Members(TrioClock())
    a, b = members.me("a"), members.me("b")
    inbox_a, inbox_b = a.node_id.service("inbox"), b.node_id.service("inbox")
    async with running(a, tmp_path / "a") as at_a, running(b, tmp_path / "b") as at_b:
        at_a.agent.register(inbox_a, at_a.collect)
        at_b.agent.register(inbox_b, at_b.collect)
        there, from_there = memory_stream_pair()
        back, from_back = memory_stream_pair()
        layer_a = example["FrameLayer"](at_a.agent, b.node_id, there, back)
        layer_b = example["FrameLayer"](at_b.agent, a.node_id, from_back, from_there)
        ended = []

        async def run(layer: Any) -> None:
            with pytest.raises(LinkError):
                await layer.run()
            ended.append(layer)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, layer_a)
            nursery.start_soon(run, layer_b)
            for number in range(20):
                await at_a.agent.send(inbox_b, b"%d" % number)
                await at_b.agent.send(inbox_a, b"%d" % number)
            await at_a.received(20)
            await at_b.received(20)
            await until(lambda: not len(at_a.store) and not len(at_b.store))
            for stream in (there, from_there, back, from_back):
                await trio.aclose_forcefully(stream)
        assert len(ended) == 2
        assert at_a.agent.contacts() == at_b.agent.contacts() == []
        await at_a.agent.send(inbox_b, b"waits")
        assert len(at_a.store) == 1


@pytest.mark.parametrize("sent", [bytes(4), b"\xff" * 4])
async def test_what_is_no_frame_ends_it(
    tmp_path: Path, example: dict[str, Any], sent: bytes
) -> None:
    members = Members(TrioClock())
    a, b = members.me("a"), members.me("b")
    async with running(a, tmp_path) as at_a:
        hand, incoming = memory_stream_pair()
        await hand.send_all(sent)
        layer = example["FrameLayer"](at_a.agent, b.node_id, memory_stream_pair()[0], incoming)
        with pytest.raises(WireError):
            await layer.run()
        assert at_a.agent.contacts() == []
