"""The failure detector in a node: whom it meets, whom it believes, whom it keeps in view."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio

from radics_mesh.config import Config
from radics_mesh.dht.server import Dht
from radics_mesh.directory.service import Directory
from radics_mesh.gossip.comparing import Comparing
from radics_mesh.gossip.entropy import Holdings
from radics_mesh.gossip.entropy import Settings as Compare
from radics_mesh.gossip.liveness import Liveness
from radics_mesh.gossip.members import State
from radics_mesh.gossip.settings import Settings
from radics_mesh.hosting.service import Hosting
from radics_mesh.ids import NodeId
from radics_mesh.link import TAG_RECORDS, TAG_SWIM, SealedDatagrams
from radics_mesh.me import Me
from radics_mesh.node.journal import Journal
from radics_mesh.records import Kind

_SAID = {
    State.ALIVE: ("is back", "info"),
    State.UNREACHABLE: ("does not answer any more", "warning"),
    State.LEFT: ("has left", "info"),
}


def liveness_of(
    me: Me, link: SealedDatagrams, dht: Dht, directory: Directory, config: Config
) -> Liveness:
    """It meets whom the DHT meets, and believes those whose records are known."""

    def admits(key: bytes) -> bool:
        return directory.key_of(NodeId.of_key(key)) == key

    every_s = config.probe_every_s
    return Liveness(
        link=link.channel(TAG_SWIM),
        identity=me.identity,
        mesh=me.mesh.mesh_id,
        clock=me.clock,
        acquaintances=lambda: list(dht.contacts().values()),
        admits=admits,
        path=config.state / "absences.msgpack",
        seek=lambda node: directory.seek(Kind.NODE, node.text),
        settings=Settings(period_s=every_s, try_s=0.3 * every_s, news_s=0.5 * every_s),
    )


def of_use(sessions: Iterator[tuple[NodeId, float]], hosting: Hosting) -> frozenset[NodeId]:
    """Who stays in view however large the mesh is: those with a session, and those whose sources
    VMs here read."""
    read = {feed.publisher for vm in hosting.vms() for feed in vm.feeds}
    return frozenset({node for node, _ in sessions} | {one for one in read if one is not None})


def comparing_of(
    me: Me, link: SealedDatagrams, liveness: Liveness, holdings: Holdings, every_s: float
) -> Comparing:
    """It compares records with those in view."""
    return Comparing(
        link=link.channel(TAG_RECORDS),
        liveness=liveness,
        holdings=holdings,
        clock=me.clock,
        settings=Compare(
            compare_s=every_s,
            compare_max_s=4 * every_s,
            soon_s=min(1.0, every_s),
            news_s=min(0.5, every_s / 2),
        ),
    )


async def stir_at_changes(directory: Directory, comparing: Comparing) -> None:
    """What is news in the directory is told to others."""
    with directory.changes() as changes:
        async for _ in changes:
            comparing.stir()


async def tell_of_changes(
    liveness: Liveness,
    directory: Directory,
    journal: Journal,
    name_of: Callable[[NodeId], str],
) -> None:
    """Who was in view and is gone, and who of those is back."""
    gone: set[NodeId] = set()
    with liveness.changes() as changes:
        async for change in changes:
            directory.reach_changed(change.node)
            said = _SAID.get(change.state)
            if said is None or (change.state is State.ALIVE and change.node not in gone):
                continue
            gone.discard(change.node)
            if change.state is not State.ALIVE:
                gone.add(change.node)
            journal.note(f"{name_of(change.node)} {said[0]}", said[1])
            await trio.lowlevel.checkpoint()
