"""Everybody who is to be dialled, and a task for each of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

import trio

from radics_mesh.config import Address, Config, Foreign
from radics_mesh.dtn.layers.dialling import Backoff, Target
from radics_mesh.dtn.layers.lines import Line
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.ids import NodeId
from radics_mesh.link import SocketAddress

# Addresses and nodes that are dialled; a mesh that is larger is reached over neighbours.
TARGETS_MAX = 256
# A session that lasted so long was no failure: the next dial is soon.
LASTED_S = 5.0


class Dialler:
    """`lines` are the sessions of now. `attempt` dials an address, and returns when the session has
    ended: False when that failed, or broke off, so that another address may be tried."""

    def __init__(
        self,
        *,
        own: NodeId,
        config: Config,
        random: Callable[[], float],
        lines: Mapping[Peer, Line],
        attempt: Callable[[Target, Address], Awaitable[bool]],
    ) -> None:
        self._own = own
        self._config = config
        self._random = random
        self._lines = lines
        self._attempt = attempt
        # With whom alone there may be sessions; None: with all.
        self.neighbours: frozenset[SocketAddress] | None = None
        self._nursery: trio.Nursery | None = None
        self._targets: dict[Address | NodeId | Foreign, Target] = {}
        for address in config.bootstrap:
            self._targets[address] = Target(None, [address])
        for foreign in config.foreign:
            if foreign.address is not None and not foreign.over_udp:
                self._targets[foreign] = Target(foreign, [foreign.address])

    def start(self, nursery: trio.Nursery) -> None:
        """Dial in this nursery until `stop`."""
        for target in self._targets.values():
            nursery.start_soon(self._keep_dialling, target)
        self._nursery = nursery

    def stop(self) -> None:
        self._nursery = None

    def states(self, node_id: NodeId, addresses: Iterable[Address]) -> frozenset[str]:
        """A member's own word on where it is; the hosts that it has left."""
        reachable = [a for a in addresses if self._may_dial(a)]
        target = self._target(node_id) if reachable else None
        return frozenset() if target is None else target.states(reachable)

    def learn(self, node_id: NodeId, address: Address) -> None:
        """A member has shown that it can be dialled there."""
        target = self._target(node_id) if self._may_dial(address) else None
        if target is not None:
            target.learn([address])

    def _target(self, node_id: NodeId) -> Target | None:
        """The member as one to dial; None when it is not to be dialled, or they are too many."""
        target = self._targets.get(node_id)
        if target is None and node_id != self._own and len(self._targets) < TARGETS_MAX:
            target = self._start(node_id, Target(node_id, [], expect=node_id))
        return target

    def _start(self, key: NodeId | Foreign, target: Target) -> Target:
        self._targets[key] = target
        if self._nursery is not None:
            self._nursery.start_soon(self._keep_dialling, target)
        return target

    def hear(self, peer: Peer, address: Address) -> None:
        """A beacon says that a peer is there: try it too, after its other addresses."""
        if not self._may_dial(address):
            return
        if isinstance(peer, Foreign):
            target = self._targets.get(peer) or self._start(peer, Target(peer, []))
        else:
            known = self._target(peer)
            if known is None:
                return
            target = known
        target.hear(address)

    def hear_no_more(self, peer: Peer) -> None:
        """Beacons of it have stopped; it is forgotten if they were all that was known of it."""
        target = self._targets.get(peer)
        if target is not None:
            target.hear(None)

    def _may_dial(self, address: Address) -> bool:
        return self.neighbours is None or (address.host, address.port) in self.neighbours

    def sought(self) -> dict[Peer, list[Address]]:
        """Whom this node dials again and again, because there is no session; where."""
        known = {target.peer: target.addresses for target in self._targets.values()}
        return {peer: list(a) for peer, a in known.items() if peer and peer not in self._lines}

    def delay(self, peer: Peer, delay_s: float) -> None:
        """It wants to be left alone for so long."""
        for target in self._targets.values():
            if target.peer == peer:
                target.delay_s = delay_s

    async def _keep_dialling(self, target: Target) -> None:
        backoff = Backoff(self._config.redial_first_s, self._config.redial_max_s, self._random)
        while target.places:
            line = self._lines.get(target.peer) if target.peer is not None else None
            if line is not None:
                await line.over.wait()
            await trio.sleep(target.delay_s)
            target.delay_s = 0.0
            began = trio.current_time()
            news = target.news
            await self._try(target)
            if trio.current_time() - began >= LASTED_S:
                backoff.reset()
            with trio.move_on_after(backoff.next_s()):
                await news.wait()
                backoff.reset()
        for key in [key for key, other in self._targets.items() if other is target]:
            del self._targets[key]

    async def _try(self, target: Target) -> None:
        """Dial its addresses in turn until one leads to a session, and stay until that ends."""
        for address in target.places:
            if target.peer in self._lines or await self._attempt(target, address):
                return
