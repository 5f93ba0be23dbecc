"""Nodes for the bundle tests: real keys, real membership, real stores, links in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio
from trio.testing import wait_all_tasks_blocked

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.dtn.agent import Agent, Contact, Delivery
from radics_mesh.dtn.routes.module import Module
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.dtn.rules.processing import Peer, depart, originate
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.trust.confidentiality import Policy
from radics_mesh.errors import LinkError
from radics_mesh.identity import Identity
from radics_mesh.ids import Eid, NodeId
from radics_mesh.me import Me
from radics_mesh.membership import Verifier, found, invite
from tests.patience import PATIENCE_S

START = Wall(1_800_000_000.0)
QUOTA_BYTES = 64 << 20


@dataclass
class HandClock:
    """Moves when told. `wall_offset` may jump, the monotonic part never does."""

    now: float = 1000.0
    wall_offset: float = START - 1000.0

    def monotonic(self) -> Monotonic:
        return Monotonic(self.now)

    def wall(self) -> Wall:
        return Wall(self.now + self.wall_offset)


class TrioClock:
    """Follows Trio's clock, so that a MockClock drives everything.

    Not an autojumping one: it would not wait for the store's thread.
    """

    def monotonic(self) -> Monotonic:
        return Monotonic(trio.current_time())

    def wall(self) -> Wall:
        return Wall(trio.current_time() + START)


class Members:
    """A mesh whose members' keys come from their names."""

    def __init__(self, clock: HandClock | TrioClock) -> None:
        self.clock = clock
        self._first = identity("first")
        _, self.mesh, self.root = found(self._first, "first", START)

    def me(self, name: str) -> Me:
        member = identity(name)
        expiry = Wall(START + 1e8)
        chain = invite(self._first, self.root, member.public, name, expiry)
        return Me(member, Verifier(self.mesh), chain.pack(), self.clock)


def made(sender: Me, to: Eid, payload: bytes = b"hello", sequence: int = 1) -> bytes:
    """What a neighbour would put on the wire."""
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
    return depart(bundle, sender.identity.eid, 0).encode()


def identity(name: str) -> Identity:
    return Identity(name.encode().ljust(32, b"."))


async def until(condition: Callable[[], bool]) -> None:
    """Let all tasks (and the stores' threads) go on until it holds."""
    with trio.fail_after(PATIENCE_S):
        while not condition():
            await wait_all_tasks_blocked(0.001)


def nowhere(eid: Eid) -> NodeId | None:
    """Where VMs are, in a mesh without VMs."""
    return None


@dataclass
class Node:
    me: Me
    store: BundleStore
    agent: Agent
    nursery: trio.Nursery
    delivered: list[Delivery] = field(default_factory=list)

    @property
    def id(self) -> NodeId:
        return self.me.node_id

    async def collect(self, delivery: Delivery) -> None:
        self.delivered.append(delivery)

    async def received(self, count: int) -> list[Delivery]:
        """Wait until that many were delivered to `collect`."""
        await until(lambda: len(self.delivered) >= count)
        return self.delivered


@asynccontextmanager
async def running(
    me: Me,
    directory: Path,
    router: Module | RoutingTable | None = None,
    locate: Callable[[Eid], NodeId | None] = nowhere,
    lifetime_s: int = 3600,
    quota_bytes: int = QUOTA_BYTES,
    privacy: Policy | None = None,
    noted: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    evicts: bool = False,
) -> AsyncIterator[Node]:
    """An agent over the store in `directory`, stopped and closed on exit."""
    store = BundleStore.open(directory, quota_bytes=quota_bytes, clock=me.clock)
    agent = Agent(
        me=me,
        store=store,
        router=router or StaticRoutes(),
        locate=locate,
        lifetime_s=lifetime_s,
        privacy=privacy,
        noted=noted,
        evicts=evicts,
    )
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            yield Node(me, store, agent, nursery)
            nursery.cancel_scope.cancel()
    finally:
        store.close()


def carry(receiver: Node, sender: Peer) -> Callable[[bytes], Awaitable[None]]:
    """A link in memory: what a convergence layer between the two does."""

    async def transmit(raw: bytes) -> None:
        await receiver.agent.receive(raw, sender)

    return transmit


def connect(one: Node, other: Node) -> tuple[Contact, Contact]:
    """Contacts in both directions."""
    return (
        one.agent.contact_up(other.id, carry(other, one.id)),
        other.agent.contact_up(one.id, carry(one, other.id)),
    )


async def broken(raw: bytes) -> None:
    raise LinkError("no answer")
