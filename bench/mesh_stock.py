"""The package `kademlia` as it is, on the same simulated wire: asyncio on a clock that jumps.

Its nodes run unchanged (k = 20, five seconds for an answer, nothing sent again, nothing sealed or
signed, a value put once); only the event loop's clock and its datagram transport are ours. It runs
in a process of its own, since radics_mesh.dht replaces a function of the package in place:

    python -m bench.mesh_stock --n 100 --seed 1        prints one JSON object
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import heapq
import itertools
import json
import logging
import math
import random
import selectors
import subprocess
import sys
import time
from collections.abc import Callable
from random import Random
from typing import Any

from kademlia.network import Server

# As bench.mesh_wire, which is Trio's.
DELAY_MS = (10, 80)
Address = tuple[str, int]
RECORD_BYTES = 600


class JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: where it would, the clock jumps."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing is left that could ever happen")
        self.now += max(0.0, timeout)
        return []


class Wire:
    def __init__(self, seed: str) -> None:
        self.loss = 0.0
        self.bytes = 0
        self.ends: dict[Address, Transport] = {}
        self.island: dict[Address, int] = {}
        self._random = Random(seed)
        self._due: list[tuple[int, int, bytes, Address, Address]] = []
        self._ties = itertools.count()

    def carry(self, data: bytes, source: Address, destination: Address) -> None:
        self.bytes += len(data)
        if self.island.get(source) != self.island.get(destination):
            return
        if self._random.random() < self.loss:
            return
        loop = asyncio.get_running_loop()
        due_ms = math.ceil(loop.time() * 1000) + self._random.randint(*DELAY_MS)
        heapq.heappush(self._due, (due_ms, next(self._ties), data, source, destination))
        loop.call_at(due_ms / 1000, self._deliver)

    def _deliver(self) -> None:
        _, _, data, source, destination = heapq.heappop(self._due)
        end = self.ends.get(destination)
        if end is not None:
            end.protocol.datagram_received(data, source)


class Transport(asyncio.DatagramTransport):
    def __init__(self, wire: Wire, local: Address, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self._wire, self._local = wire, local
        wire.ends[local] = self

    def sendto(self, data: Any, addr: Any = None) -> None:
        self._wire.carry(bytes(data), self._local, (addr[0], addr[1]))

    def close(self) -> None:
        self._wire.ends.pop(self._local, None)


class Loop(asyncio.SelectorEventLoop):
    def __init__(self, wire: Wire) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)
        self._wire = wire

    def time(self) -> float:
        return self._jumping.now

    async def create_datagram_endpoint(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], local_addr: Address, **_: Any
    ) -> tuple[Any, Any]:
        protocol = protocol_factory()
        transport = Transport(self._wire, local_addr, protocol)
        protocol.connection_made(transport)
        return transport, protocol


def address_of(number: int) -> Address:
    return f"10.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}", 5050


def value_of(number: int) -> bytes:
    return hashlib.sha512(b"%d" % number).digest() * (RECORD_BYTES // 64)


class Mesh:
    def __init__(self, wire: Wire, seed: str) -> None:
        self.wire = wire
        self.random = Random(seed)
        self.servers: dict[int, Server] = {}

    async def start(self, number: int, via: int | None) -> Server:
        host, port = address_of(number)
        server = Server(node_id=hashlib.sha1(b"stock %d" % number).digest())
        await server.listen(port, host)
        if via is not None:
            await server.bootstrap([address_of(via)])
        self.servers[number] = server
        return server

    async def grow(self, count: int) -> None:
        async def enter(number: int) -> None:
            via = self.random.choice(sorted(self.servers)) if self.servers else None
            await self.start(number, via)

        joining = []
        for number in range(count):
            joining.append(asyncio.ensure_future(enter(number)))
            await asyncio.sleep(0.1 if number else 1.0)
        await asyncio.gather(*joining)
        for number, server in self.servers.items():
            if len(self.servers) > 1:
                await server.set(f"fact {number}", value_of(number))

    def kill(self, number: int) -> None:
        self.servers.pop(number).stop()

    async def get(self, reader: int, wanted: int) -> tuple[bool, int, float]:
        loop = asyncio.get_running_loop()
        server, started = self.servers[reader], loop.time()
        moments = set()
        stock = type(server.protocol).call_find_value.__get__(server.protocol)

        def counted(peer: Any, target: Any) -> Any:
            moments.add(loop.time())
            return stock(peer, target)

        server.protocol.call_find_value = counted
        value = await server.get(f"fact {wanted}")
        return value == value_of(wanted), len(moments), loop.time() - started

    async def gets(self, count: int) -> list[tuple[bool, int, float]]:
        asked = []
        for _ in range(count):
            reader, wanted = self.random.sample(sorted(self.servers), 2)
            asked.append(asyncio.ensure_future(self.get(reader, wanted)))
            await asyncio.sleep(0.1)
        return await asyncio.gather(*asked)

    async def join(self) -> float:
        loop = asyncio.get_running_loop()
        number, started = max(self.servers) + 1, loop.time()
        wanted = self.random.choice(sorted(self.servers))
        await self.start(number, self.random.choice(sorted(self.servers)))
        while not (await self.get(number, wanted))[0]:  # noqa: ASYNC110 - users ask again
            await asyncio.sleep(0.05)
        took_s = loop.time() - started
        self.kill(number)
        return took_s


async def lookups(mesh: Mesh, given: argparse.Namespace) -> dict[str, Any]:
    await mesh.grow(given.n)
    await asyncio.sleep(30)
    cpu, sent = time.process_time(), mesh.wire.bytes
    await asyncio.sleep(given.steady)
    per_node_s = given.n * given.steady
    found: dict[str, Any] = {
        "cpu_ms": 1000 * (time.process_time() - cpu) / per_node_s,
        "traffic_bytes_per_s": (mesh.wire.bytes - sent) / per_node_s,
        "gets": {},
    }
    for loss in given.loss:
        mesh.wire.loss = loss
        found["gets"][str(loss)] = await mesh.gets(given.gets)
    mesh.wire.loss = 0.0
    found["joins_s"] = [await mesh.join() for _ in range(given.joins)]
    return found


async def killed(mesh: Mesh, given: argparse.Namespace) -> dict[str, Any]:
    """30 % at once; facts of those that live."""
    await mesh.grow(given.n)
    await asyncio.sleep(30)
    for number in mesh.random.sample(sorted(mesh.servers), given.n * 3 // 10):
        mesh.kill(number)
    return {"gets": await mesh.gets(given.gets)}


async def healed(mesh: Mesh, given: argparse.Namespace) -> dict[str, Any]:
    """After two halves were apart: the share of facts of the other half that are found."""
    await mesh.grow(given.n)
    await asyncio.sleep(30)
    mesh.wire.island = {address_of(number): number % 2 for number in mesh.servers}
    apart_until = asyncio.get_running_loop().time() + given.apart
    while asyncio.get_running_loop().time() < apart_until:  # somebody uses it, or nobody notices
        await mesh.gets(10)
        await asyncio.sleep(10)
    mesh.wire.island = {}
    await asyncio.sleep(30)
    pairs = [mesh.random.sample(sorted(mesh.servers), 2) for _ in range(given.gets)]
    across = [(a, b) for a, b in pairs if a % 2 != b % 2]
    return {"gets": [await mesh.get(a, b) for a, b in across]}


SCENARIOS = {"lookups": lookups, "killed": killed, "healed": healed}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenario", choices=sorted(SCENARIOS), default="lookups")
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gets", type=int, default=300)
    parser.add_argument("--joins", type=int, default=30)
    parser.add_argument("--steady", type=float, default=60.0)
    parser.add_argument("--apart", type=float, default=1800.0)
    parser.add_argument("--loss", type=float, nargs="*", default=[0.0, 0.1, 0.3])
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    seed = f"stock {given.scenario} {given.n} {given.seed}"
    random.seed(seed)
    wire = Wire(seed)
    loop = Loop(wire)
    asyncio.set_event_loop(loop)
    print(json.dumps(loop.run_until_complete(SCENARIOS[given.scenario](Mesh(wire, seed), given))))
    return 0


def ask(scenario: str, **options: object) -> dict[str, Any]:
    """The same from another program: what it printed."""
    words = [sys.executable, "-m", "bench.mesh_stock", "--scenario", scenario]
    for name, value in options.items():
        values = value if isinstance(value, (list, tuple)) else [value]
        words += [f"--{name}", *map(str, values)]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    sys.exit(main())
