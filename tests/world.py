"""Nodes in one process: real agents over real stores, real directories, links in memory.

What runs on a node is what a test is about: see tests/{hosting,images,sources}/world.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Generic, Protocol, TypeVar

import trio

from radics_mesh.dtn.agent import Agent, Contact
from radics_mesh.ids import NodeId
from radics_mesh.link_memory import MemoryNetwork
from radics_mesh.me import Me
from radics_mesh.membership import Verifier
from tests.dht.world import TrioClock
from tests.members import MESH, Members, member
from tests.patience import PATIENCE_S


class Site(Protocol):
    """One node."""

    @property
    def id(self) -> NodeId: ...
    @property
    def agent(self) -> Agent: ...
    @property
    def scope(self) -> trio.CancelScope: ...


AnySite = TypeVar("AnySite", bound=Site)


@dataclass
class World(ABC, Generic[AnySite]):
    nursery: trio.Nursery
    path: Path
    members: Members = field(init=False)
    sites: dict[int, AnySite] = field(default_factory=dict)
    # Whether a link takes a bundle and does not bring it.
    lost: Callable[[int, int, bytes], bool] = lambda one, other, raw: False
    _contacts: dict[tuple[int, int], Contact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.members = Members(self.nursery, MemoryNetwork(Random(1)), self.path)

    @abstractmethod
    async def run(
        self,
        number: int,
        me: Me,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """A node, in `sites`, until its scope is cancelled."""

    async def start(self, number: int) -> AnySite:
        """A node; started again under the same number it has what it had on disk."""
        if number not in self.members.peers:
            await self.members.start(number, bootstrap=[0] if number else [])
        identity, chain = member(number, self.members.grants.get(number))
        me = Me(identity, Verifier(MESH), chain, TrioClock())
        await self.nursery.start(self.run, number, me)
        return self.sites[number]

    async def stop(self, number: int) -> None:
        """As a kill: nothing is said to anybody, guests go on."""
        for ends in [ends for ends in self._contacts if number in ends]:
            self._contacts.pop(ends).close()
        self.sites[number].scope.cancel()
        await until(lambda: number not in self.sites)

    def connect(self, one: int, other: int) -> None:
        for a, b in ((one, other), (other, one)):
            here, there = self.sites[a], self.sites[b]
            self._contacts[a, b] = here.agent.contact_up(there.id, self._carrier(a, b))

    def _carrier(self, a: int, b: int) -> Callable[[bytes], Awaitable[None]]:
        here, there = self.sites[a], self.sites[b]

        async def transmit(raw: bytes) -> None:
            if not self.lost(a, b, raw):
                await there.agent.receive(raw, here.id)

        return transmit

    def cut(self, one: int, other: int) -> None:
        for ends in ((one, other), (other, one)):
            self._contacts.pop(ends).close()


async def until(condition: Callable[[], bool]) -> None:
    """Until it holds, looking every few milliseconds: guests are other processes."""
    with trio.fail_after(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - nothing in this process knows when
            await trio.sleep(0.005)
