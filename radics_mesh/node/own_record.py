"""This node's own record: what it says of itself, and when it says so anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import trio

from radics_mesh.clock import Monotonic
from radics_mesh.config import Address, Config
from radics_mesh.directory.service import Directory
from radics_mesh.dtn.routes.routing import NeighbourGraph
from radics_mesh.hosting.service import Hosting
from radics_mesh.ids import NodeId
from radics_mesh.me import Me
from radics_mesh.node.facts import LoadMeter, guest_memory_bytes, node_body
from radics_mesh.node.rekeying import Rekeying
from radics_mesh.node.whereabouts import Whereabouts
from radics_mesh.records import Kind

# A load that changed by this much is news before the next regular statement.
_LOAD_NEWS = 0.15
_SAMPLE_EVERY_S = 1.0
# Sessions come and go in bursts; one statement about them is enough.
_SETTLE_S = 0.2


class OwnRecord:
    """`sessions` gives members that this node has a session with, and the round trip in seconds."""

    def __init__(
        self,
        *,
        me: Me,
        config: Config,
        directory: Directory,
        hosting: Hosting,
        graph: NeighbourGraph,
        rekeying: Rekeying,
        whereabouts: Whereabouts,
        accelerator: str,
        sessions: Callable[[], Iterator[tuple[NodeId, float]]],
    ) -> None:
        self._me = me
        self._config = config
        self._directory = directory
        self._hosting = hosting
        self._graph = graph
        self._rekeying = rekeying
        self._whereabouts = whereabouts
        self._accelerator = accelerator
        self._sessions = sessions
        self._meter = LoadMeter()
        self._memory_bytes = guest_memory_bytes(config)
        self._news = trio.Event()

    def changed(self) -> None:
        """Something in it did: it is stated soon."""
        self._news.set()

    def body(self) -> Mapping[str, object]:
        """The body of this node's own record, as of now."""
        vms = [vm for vm in self._hosting.vms() if vm.pid is not None]
        return node_body(
            name=self._config.name,
            addresses=[(address.host, address.port) for address in self._whereabouts.addresses()],
            memory_bytes=self._memory_bytes,
            memory_used_bytes=self._hosting.memory_used_bytes(),
            load=self._meter.share,
            vms=len(vms),
            neighbours=list(self._sessions()),
            accelerator=self._accelerator,
            boot=(self._hosting.witness.boot.number, self._hosting.witness.boot.nonce),
            mesh_key=self._rekeying.said(),
        )

    async def run(self) -> None:
        """State the own record: at once, every publish_every_s, and when it is news."""
        told: _Told | None = None
        told_at = Monotonic(float("-inf"))
        while True:
            load = self._meter.sample()
            sessions = tuple(sorted(node for node, _ in self._sessions()))
            now = self._me.clock.monotonic()
            facts = _Told(
                load,
                sessions,
                self._hosting.memory_used_bytes(),
                tuple(self._whereabouts.addresses()),
                self._rekeying.ring.newest.key_id,
            )
            self._whereabouts.look()
            regular = now - told_at >= self._config.publish_every_s
            if regular or told is None or facts.is_news_after(told):
                told, told_at = facts, now
                self._graph.update(self._me.node_id, dict(self._sessions()))
                await self._directory.announce(Kind.NODE, self._me.node_id.text, self.body())
            with trio.move_on_after(_SAMPLE_EVERY_S):
                await self._news.wait()
                self._news = trio.Event()
                await trio.sleep(_SETTLE_S)


@dataclass(frozen=True)
class _Told:
    """What of the own record is worth stating anew when it changes."""

    load: float
    sessions: tuple[NodeId, ...]
    memory_used_bytes: int
    addresses: tuple[Address, ...]
    mesh_key: bytes

    def is_news_after(self, told: _Told) -> bool:
        return abs(told.load - self.load) >= _LOAD_NEWS or self != replace(told, load=self.load)
