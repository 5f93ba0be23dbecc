"""Signed bundles a second over loopback: acknowledged ingest, and from node to node's application.

  .venv/bin/python -m bench.dtn [--json] [--seconds S]

Ingest: a second process sends over TCPCLv3 and keeps IN_FLIGHT bundles under way; a bundle counts
when its acknowledgement is back, which is sent only after the bundle would survive power loss.
`plain` is TCPCLv3 alone, as the aims (IBR-DTN: file storage, 2 cores of this class) were measured;
`sealed` is what members speak.

Delivery: the second process is a whole node, whose application sends (signed, stored); a bundle
counts when the handler at the other node has returned. Sealed.

On the wire: what the second bundle between two nodes takes in one TCPCL segment, unsealed (a record
of the sealed stream, which several bundles share, takes 21 bytes more).

Stores are on the disk of the current directory.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from radics_mesh.clock import SystemClock, Wall
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.processing import depart, originate
from radics_mesh.dtn.routing import StaticRoutes
from radics_mesh.dtn.store import BundleStore
from radics_mesh.dtn.tcpcl_session import Peer, Receiver, TcpclSession
from radics_mesh.dtn.tcpcl_wire import segment_head
from radics_mesh.errors import UsageError
from radics_mesh.identity import Identity
from radics_mesh.ids import Eid, NodeId
from radics_mesh.me import Me
from radics_mesh.membership import Mesh, Verifier, found, invite
from radics_mesh.sealed import AdmissionRequest, ByteStream, accept, initiate

# Payload, aims of ingest and of delivery.
SIZES = {"100 B": (100, 2201, 709), "1 KB": (1024, 1702, 592), "64 KB": (65536, 1106, 356)}
WIRE_AIM_BYTES = 320
IN_FLIGHT = 32
PEER = "IBR-DTN (file storage)"


class Counter:
    """Counts down, and knows when the last one was."""

    def __init__(self, count: int) -> None:
        self._left = count
        self.all = trio.Event()
        self.finished = 0.0

    def count(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.finished = time.monotonic()
            self.all.set()

    async def take(self, delivery: Delivery) -> None:
        """A handler."""
        self.count()


def nowhere(eid: Eid) -> NodeId | None:
    return None


class Nobody:
    """The sender takes no bundles."""

    async def receive(self, raw: bytes, peer: Peer) -> None:
        raise UsageError("no bundles here")


def two_members() -> tuple[Me, Me]:
    clock = SystemClock()
    first, second = Identity.generate(), Identity.generate()
    _, mesh, chain = found(first, "first", clock.wall())
    expiry = Wall(clock.wall() + 86_400)
    joined = invite(first, chain, second.public, "second", expiry)
    return (
        Me(first, Verifier(mesh), chain.pack(), clock),
        Me(second, Verifier(mesh), joined.pack(), clock),
    )


def session(stream: ByteStream, me: Me, receiver: Receiver) -> TcpclSession:
    return TcpclSession(
        stream,
        own=me.identity.eid,
        identify=lambda eid: eid.node_id or NodeId(bytes(20)),
        receiver=receiver,
        keepalive_s=30,
    )


# --- the sending process ---


def make_bundles(sender: Me, to: Eid, payload_bytes: int, count: int) -> list[bytes]:
    payload = bytes(payload_bytes)
    made = []
    for sequence in range(count):
        bundle = originate(
            sender,
            to,
            payload,
            source=sender.identity.eid,
            stamp=(1, sequence),
            lifetime_s=3600,
            ownership=b"",
            priority=1,
        )
        made.append(depart(bundle, sender.identity.eid, 0).encode())
    return made


async def send(task: dict[str, Any]) -> None:
    mesh = Mesh(bytes.fromhex(task["genesis"]), bytes.fromhex(task["key"]))
    identity = Identity(bytes.fromhex(task["seed"]))
    me = Me(identity, Verifier(mesh), bytes.fromhex(task["chain"]), SystemClock())
    stream: ByteStream = await trio.open_tcp_stream("127.0.0.1", task["port"])
    if task["sealed"]:
        stream = await initiate(stream, me, ("127.0.0.1", task["port"]))
    await (send_as_node if task["node"] else send_raw)(task, me, stream)


async def send_raw(task: dict[str, Any], me: Me, stream: ByteStream) -> None:
    """Prints how many seconds passed from the first byte to the last acknowledgement."""
    raws = iter(make_bundles(me, Eid(task["to"]), task["payload_bytes"], task["count"]))
    running = session(stream, me, Nobody())

    async def keep_one_in_flight() -> None:
        for raw in raws:
            await running.transmit(raw)

    async with trio.open_nursery() as nursery:
        await nursery.start(running.run)
        started = time.perf_counter()
        async with trio.open_nursery() as senders:
            for _ in range(IN_FLIGHT):
                senders.start_soon(keep_one_in_flight)
        print(time.perf_counter() - started)
        running.stop()


async def send_as_node(task: dict[str, Any], me: Me, stream: ByteStream) -> None:
    """Prints the moment of the first `send` (monotonic seconds, the same clock everywhere)."""
    numbers = iter(range(task["count"]))

    async def application() -> None:
        for _ in numbers:
            await agent.send(Eid(task["to"]), bytes(task["payload_bytes"]))

    acknowledged = Counter(task["count"])

    async def transmit(raw: bytes) -> None:
        await running.transmit(raw)
        acknowledged.count()

    with node(me) as (agent, _):
        running = session(stream, me, agent)
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            peer = await nursery.start(running.run)
            agent.contact_up(peer, transmit)
            print(time.monotonic(), flush=True)
            async with trio.open_nursery() as senders:
                for _ in range(IN_FLIGHT):
                    senders.start_soon(application)
            await acknowledged.all.wait()
            running.stop()
            nursery.cancel_scope.cancel()


# --- the receiving process ---


@contextmanager
def node(me: Me) -> Iterator[tuple[Agent, BundleStore]]:
    with tempfile.TemporaryDirectory(dir=".") as directory:
        store = BundleStore.open(Path(directory), quota_bytes=1 << 34, clock=me.clock)
        agent = Agent(me=me, store=store, router=StaticRoutes(), locate=nowhere, lifetime_s=3600)
        yield agent, store
        store.close()


async def measure_one(payload_bytes: int, count: int, sealed: bool, as_node: bool) -> float:
    """Bundles a second."""
    sender, me = two_members()
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task = {
        "genesis": me.mesh.genesis.hex(),
        "key": me.mesh.key.hex(),
        "seed": sender.identity.seed.hex(),
        "chain": sender.chain.hex(),
        "to": me.node_id.service("inbox"),
        "payload_bytes": payload_bytes,
        "count": count,
        "port": listener.socket.getsockname()[1],
        "sealed": sealed,
        "node": as_node,
    }
    command = [sys.executable, "-m", "bench.dtn", "--send"]
    stdin = json.dumps(task).encode()
    counter = Counter(count)
    with node(me) as (agent, store):
        if as_node:
            agent.register(me.node_id.service("inbox"), counter.take)
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            nursery.start_soon(serve_one, listener, me, agent, sealed)
            done = await trio.run_process(command, stdin=stdin, capture_stdout=True)
            if as_node:
                await counter.all.wait()
            nursery.cancel_scope.cancel()
        assert len(store) == (0 if as_node else count)
    printed = float(done.stdout)
    return count / (counter.finished - printed if as_node else printed)


async def wire_bytes(payload_bytes: int) -> int:
    """Of a signed bundle after first contact, with its segment's head."""
    sender, me = two_members()
    inbox = me.node_id.service("inbox")
    sent: list[bytes] = []
    counter = Counter(2)
    with node(sender) as (from_agent, _), node(me) as (to_agent, _):

        async def transmit(raw: bytes) -> None:
            sent.append(raw)
            await to_agent.receive(raw, sender.node_id)

        to_agent.register(inbox, counter.take)
        async with trio.open_nursery() as nursery:
            await nursery.start(from_agent.run)
            await nursery.start(to_agent.run)
            to_agent.contact_up(sender.node_id, transmit, shown=sender.chain)
            from_agent.contact_up(me.node_id, transmit, shown=me.chain)
            for _ in range(2):
                await from_agent.send(inbox, bytes(payload_bytes))
            await counter.all.wait()
            nursery.cancel_scope.cancel()
    return len(segment_head(True, True, len(sent[-1])) + sent[-1])


async def serve_one(listener: trio.SocketListener, me: Me, agent: Agent, sealed: bool) -> None:
    stream: ByteStream = await listener.accept()
    if sealed:
        proved = await accept(stream, me, ("127.0.0.1", 0))
        assert not isinstance(proved, AdmissionRequest)
        stream = proved
    await session(stream, me, agent).run()


def measure(seconds: float) -> list[dict[str, Any]]:
    rows = []
    for kind, sealed, as_node in (
        ("acknowledged ingest, plain", False, False),
        ("acknowledged ingest, sealed", True, False),
        ("node to application, sealed", True, True),
    ):
        for name, (payload_bytes, *aims) in SIZES.items():
            aim = aims[as_node]
            count = max(50, int(aim * seconds))
            rate = trio.run(measure_one, payload_bytes, count, sealed, as_node)
            rows.append(
                {
                    "name": f"{kind}, {name}",
                    "value": round(rate),
                    "unit": "bundles/s",
                    "aim": aim,
                    "met": rate >= aim,
                    "peer": PEER,
                }
            )
    size_bytes = trio.run(wire_bytes, 100)
    rows.append(
        {
            "name": "on the wire after first contact, 100 B",
            "value": size_bytes,
            "unit": "B",
            "aim": WIRE_AIM_BYTES,
            "met": size_bytes < WIRE_AIM_BYTES,
        }
    )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long a row takes")
    parser.add_argument("--send", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        trio.run(send, json.load(sys.stdin))
        return
    rows = measure(options.seconds)
    if options.json:
        print(json.dumps({"rows": rows}, indent=1))
        return
    for row in rows:
        verdict = "met" if row["met"] else "missed"
        print(f"{row['name']:44} {row['value']:6} {row['unit']}  aim {row['aim']}, {verdict}")


if __name__ == "__main__":
    main()
