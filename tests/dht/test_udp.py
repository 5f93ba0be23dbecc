"""Real sockets: a mesh of ours, and ours together with a stock node."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from radics_mesh.clock import SystemClock
from radics_mesh.config import Address
from radics_mesh.dht import rpc
from radics_mesh.dht.server import Dht
from radics_mesh.ids import NodeId
from radics_mesh.link import TAG_DHT, SealedDatagrams, UdpLink
from tests.dht.world import Facts, fact, fact_key, node_id
from tests.world import until

CATS = fact_key("cats")


def _purr(owner: int) -> bytes:
    return fact(node_id(owner), 1, "cats: purr")


def _knows(dht: Dht, nodes: set[NodeId]) -> bool:
    return set(dht.contacts()) == nodes


async def _start(
    nursery: trio.Nursery,
    host: str,
    number: int,
    *,
    sealed: bool = True,
    bootstrap: Sequence[Address] = (),
) -> Dht:
    link = await UdpLink.open((host, 0))
    carrier = SealedDatagrams(link, bytes(32)) if sealed else None
    dht = Dht(
        link=carrier.channel(TAG_DHT) if carrier else link,
        node_id=node_id(number),
        clock=SystemClock(),
        bootstrap=bootstrap,
    )
    dht.serve(Facts())

    async def run(*, task_status: trio.TaskStatus[None]) -> None:
        try:
            async with trio.open_nursery() as inner:
                if carrier:
                    inner.start_soon(carrier.run)
                await inner.start(dht.run)
                task_status.started()
        finally:
            link.close()

    await nursery.start(run)
    return dht


@pytest.fixture
async def mesh(nursery: trio.Nursery) -> AsyncIterator[trio.Nursery]:
    yield nursery
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_five_nodes(mesh: trio.Nursery, host: str) -> None:
    with trio.fail_after(20):
        nodes = [await _start(mesh, host, 0)]
        first = Address(*nodes[0]._link.local)
        for number in range(1, 5):
            dht = await _start(mesh, host, number, bootstrap=[first])
            await dht.wait_joined()
            await dht._crawl_nodes(dht.node)
            nodes.append(dht)
        everyone = {node_id(number) for number in range(5)}
        for number, dht in enumerate(nodes):
            # Who was met is asked who it is before it counts.
            await until(partial(_knows, dht, everyone - {node_id(number)}))
        assert await nodes[2].put(CATS, _purr(2)) == 4
        for dht in nodes:
            assert await dht.get(CATS) == [_purr(2)]


async def test_by_host_name(mesh: trio.Nursery) -> None:
    with trio.fail_after(10):
        first = await _start(mesh, "127.0.0.1", 0)
        port = first._link.local[1]
        names = [Address("no such host", 1), Address("localhost", port)]
        dht = await _start(mesh, "127.0.0.1", 1, bootstrap=names)
        await dht.wait_joined()
        assert set(dht.contacts()) == {node_id(0)}


class StockNode:
    """The conversation with tests/dht/stock_node.py."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._read = b""
        self.port = 0

    async def line(self) -> str:
        assert self._process.stdout is not None
        while b"\n" not in self._read:
            received = await self._process.stdout.receive_some(65536)
            assert received, "the stock node ended"
            self._read += bytes(received)
        line, _, self._read = self._read.partition(b"\n")
        return line.decode()

    async def ask(self, command: str) -> str:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(command.encode() + b"\n")
        return await self.line()


@asynccontextmanager
async def _stock_node(nursery: trio.Nursery) -> AsyncIterator[StockNode]:
    process: trio.Process = await nursery.start(
        partial(
            trio.run_process,
            [sys.executable, "-m", "tests.dht.stock_node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
        )
    )
    node = StockNode(process)
    try:
        node.port = int(await node.line())
        yield node
    finally:
        assert process.stdin is not None
        await process.stdin.aclose()
        process.kill()


async def test_a_stock_node_and_ours_understand_each_other(mesh: trio.Nursery) -> None:
    with trio.fail_after(20):
        async with _stock_node(mesh) as stock:
            ours = await _start(mesh, "127.0.0.1", 1, sealed=False)
            assert await stock.ask(f"bootstrap {ours._link.local[1]}") == "1"
            await until(lambda: ("127.0.0.1", stock.port) in ours.contacts().values())
            # Theirs to ours: our store judges and merges, theirs keeps bytes.
            value = rpc.pack_values([_purr(7)])
            assert await stock.ask(f"set {CATS.hex()} {value.hex()}") == "True"
            assert ours.storage[CATS] == [_purr(7)]
            assert await stock.ask("get cats") == value.hex()
            # Ours to theirs.
            bark = fact(node_id(1), 1, "dogs: bark")
            assert await ours.put(fact_key("dogs"), bark) == 1
            assert await stock.ask("get dogs") == rpc.pack_values([bark]).hex()
            # A third of ours, who knows only the stock node, finds it all there.
            address = Address("127.0.0.1", stock.port)
            third = await _start(mesh, "127.0.0.1", 2, sealed=False, bootstrap=[address])
            await third.wait_joined()
            assert await third.get(fact_key("dogs")) == [bark]
            assert await third.get(CATS) == [_purr(7)]
