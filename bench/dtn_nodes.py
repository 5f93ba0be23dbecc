"""What benches of the DTN layer are made of: two members, their nodes, a session between them."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio

from radics_mesh.clock import SystemClock, Wall
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.layers.tcpcl_session import Identify, TcpclSession
from radics_mesh.dtn.layers.tcpcl_taking import Receiver
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.rules.processing import Peer, depart, originate
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.errors import UsageError
from radics_mesh.identity import Identity
from radics_mesh.ids import Eid, NodeId
from radics_mesh.me import Me
from radics_mesh.membership import Mesh, Verifier, found, invite
from radics_mesh.sealed import AdmissionRequest, ByteStream, accept, initiate


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


def by_name(eid: Eid) -> Peer:
    return eid.node_id or NodeId(bytes(20))


def session(
    stream: ByteStream,
    me: Me,
    receiver: Receiver,
    identify: Identify = by_name,
    large: Agent | None = None,
) -> TcpclSession:
    return TcpclSession(
        stream,
        own=me.identity.eid,
        identify=identify,
        receiver=receiver,
        keepalive_s=30,
        large=large,
    )


def task_of(sender: Me, me: Me, listener: trio.SocketListener, **more: Any) -> dict[str, Any]:
    """What the sending process must know, as JSON."""
    return {
        "genesis": me.mesh.genesis.hex(),
        "key": me.mesh.key.hex(),
        "seed": sender.identity.seed.hex(),
        "chain": sender.chain.hex(),
        "to": me.node_id.service("inbox"),
        "port": listener.socket.getsockname()[1],
        **more,
    }


async def begin(task: dict[str, Any]) -> tuple[Me, ByteStream]:
    """In the sending process: who it is, and its line to the other."""
    mesh = Mesh(bytes.fromhex(task["genesis"]), bytes.fromhex(task["key"]))
    identity = Identity(bytes.fromhex(task["seed"]))
    me = Me(identity, Verifier(mesh), bytes.fromhex(task["chain"]), SystemClock())
    stream: ByteStream = await trio.open_tcp_stream("127.0.0.1", task["port"])
    if task["sealed"]:
        stream = await initiate(stream, me, ("127.0.0.1", task["port"]))
    return me, stream


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


@contextmanager
def node(me: Me) -> Iterator[tuple[Agent, BundleStore]]:
    with tempfile.TemporaryDirectory(dir=".") as directory:
        store = BundleStore.open(Path(directory), quota_bytes=1 << 34, clock=me.clock)
        yield agent_over(me, store), store
        store.close()


def agent_over(me: Me, store: BundleStore) -> Agent:
    return Agent(me=me, store=store, router=StaticRoutes(), locate=nowhere, lifetime_s=3600)


async def serve_one(
    listener: trio.SocketListener,
    me: Me,
    agent: Agent,
    sealed: bool,
    identify: Identify = by_name,
) -> None:
    stream: ByteStream = await listener.accept()
    if sealed:
        proved = await accept(stream, me, ("127.0.0.1", 0))
        assert not isinstance(proved, AdmissionRequest)
        stream = proved
    await session(stream, me, agent, identify, large=agent).run()


def processor_s() -> float:
    """What this process has had of the processor: the receiving node, all its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
