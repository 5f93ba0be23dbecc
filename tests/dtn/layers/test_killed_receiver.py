"""SIGKILL of the receiver in the middle of a transfer: the rest comes, and nothing stays behind."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from radics_mesh.me import Me
from tests.dtn.layers.test_contacts import station
from tests.dtn.layers.test_parts import PAYLOAD, RealClock, files, relayed
from tests.dtn.world import Members, until
from tests.patience import PATIENCE_S

ROOT = Path(__file__).parents[3]


class Receiver:
    """The process and the lines that it says."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._said = b""

    async def line(self) -> str:
        assert self._process.stdout is not None
        with trio.fail_after(PATIENCE_S):
            while True:
                line, end, rest = self._said.partition(b"\n")
                if not end:
                    more = await self._process.stdout.receive_some()
                    assert more, "the receiver has ended"
                    self._said += more
                    continue
                self._said = rest
                if line.startswith(b"> "):  # not one of the log
                    return line[2:].decode()

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def receiver(directory: Path, me: Me) -> AsyncIterator[tuple[Receiver, int]]:
    told = (me.mesh.genesis.hex(), me.mesh.key.hex(), me.chain.hex())
    command = [sys.executable, "-m", "tests.dtn.layers.killed_driver", str(directory), *told]
    async with trio.open_nursery() as nursery:
        process = await nursery.start(
            partial(trio.run_process, command, stdout=subprocess.PIPE, cwd=ROOT, check=False)
        )
        started = Receiver(process)
        yield started, int(await started.line())
        nursery.cancel_scope.cancel()


async def test_the_rest_comes_after_a_kill(tmp_path: Path) -> None:
    members = Members(RealClock())
    a, b = members.me("a"), members.me("b")
    there = tmp_path / "b"
    async with (
        receiver(there, b) as (first, port),
        relayed(port) as (relay, address),
        station(a, tmp_path / "a", address) as at_a,
    ):
        await at_a.sees(b.node_id)
        relay.limit_bytes = relay.carried_bytes + len(PAYLOAD) // 2
        await at_a.node.agent.send(b.node_id.service("inbox"), PAYLOAD)
        await relay.at_limit.wait()
        session = at_a.contacts._lines[b.node_id].session
        await until(lambda: session.acked_bytes > len(PAYLOAD) // 3)
        await first.kill()
        async with receiver(there, b) as (second, port):
            relay.move(port)
            relay.cut()
            assert await second.line() == f"delivered {hashlib.sha256(PAYLOAD).hexdigest()}"
            assert await second.line() == "clean"
            await until(lambda: not len(at_a.node.store))
            assert at_a.node.agent.counters["cut"] == 1
            assert relay.carried_bytes < 1.4 * len(PAYLOAD)
            assert files(there) == []
            assert list((there / "large").iterdir()) == []
