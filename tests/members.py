"""Identities, memberships and directories for tests above the DHT."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import trio

from radics_mesh.clock import Wall
from radics_mesh.config import Address, Config
from radics_mesh.dht.server import Dht
from radics_mesh.directory.service import Directory
from radics_mesh.identity import Identity
from radics_mesh.link import DatagramLink, Restricted, SocketAddress
from radics_mesh.link_memory import MemoryNetwork
from radics_mesh.me import Me
from radics_mesh.membership import YEAR_S, Grant, Verifier, found, invite
from radics_mesh.records import Kind
from tests.dht.world import TrioClock, at

START = Wall(1_800_000_000.0)
GENESIS, MESH, _FOUNDER = found(Identity(bytes(32)), "founder", START)


def member(number: int, grant: Grant | None = None) -> tuple[Identity, bytes]:
    """A member of the one test mesh, always the same for a number, and its packed chain."""
    identity = Identity(hashlib.sha256(b"member %d" % number).digest())
    chain = invite(
        Identity(bytes(32)),
        _FOUNDER,
        identity.public,
        f"node{number}",
        Wall(START + YEAR_S),
        grant,
    )
    return identity, chain.pack()


@dataclass
class Peer:
    identity: Identity
    chain: bytes
    dht: Dht
    directory: Directory
    scope: trio.CancelScope


@dataclass
class Members:
    """Numbered nodes, each with a DHT and a directory, on a network in memory."""

    nursery: trio.Nursery
    network: MemoryNetwork
    path: Path
    peers: dict[int, Peer] = field(default_factory=dict)
    # What those were given that have not all; read when one starts.
    grants: dict[int, Grant] = field(default_factory=dict)

    async def start(
        self,
        number: int,
        *,
        bootstrap: Iterable[int] = (),
        reach: Iterable[int] | None = None,
        state: str | None = None,
    ) -> Directory:
        """`state` names its directory on disk: another one means that it forgot all but its key."""
        inner = self.network.link(at(number))
        link = inner if reach is None else Restricted(inner, [at(other) for other in reach])
        identity, chain = member(number, self.grants.get(number))
        config = Config(state=self.path / (state or f"state{number}"), name=f"node{number}")
        config.state.mkdir(exist_ok=True)
        verifier = Verifier(MESH)
        dht = Dht(
            link=link,
            node_id=identity.node_id,
            clock=TrioClock(),
            bootstrap=[Address(*at(other)) for other in bootstrap],
            peers_path=config.state / "peers.msgpack",
            random=Random(number),
            me=Me(identity, verifier, chain, TrioClock()),
        )
        directory = Directory(
            dht=dht,
            identity=identity,
            chain=chain,
            verifier=verifier,
            clock=TrioClock(),
            config=config,
        )
        scope = trio.CancelScope()
        self.peers[number] = Peer(identity, chain, dht, directory, scope)
        await self.nursery.start(self._run, self.peers[number], link)
        return directory

    async def _run(
        self,
        peer: Peer,
        link: DatagramLink,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        try:
            with peer.scope:
                async with trio.open_nursery() as nursery:
                    await nursery.start(peer.dht.run)
                    await nursery.start(peer.directory.run)
                    task_status.started()
        finally:
            link.close()

    async def kill(self, number: int) -> None:
        self.peers.pop(number).scope.cancel()
        await trio.testing.wait_all_tasks_blocked()

    def address(self, number: int) -> SocketAddress:
        return at(number)

    def __getitem__(self, number: int) -> Directory:
        return self.peers[number].directory

    async def keep_announcing(self, number: int, every_s: float = 10.0) -> None:
        """What a node does: renew its own record, so that others know it is there."""
        directory = self[number]
        while self.peers.get(number) is not None and self[number] is directory:
            await announce_node(directory, f"node{number}")
            await trio.sleep(every_s)


async def announce_node(directory: Directory, name: str) -> None:
    await directory.announce(Kind.NODE, directory.me.text, {"name": name, "load": 0.5})
