"""Look-ups: the k closest nodes to a key, or what three holders say of it.

What kademlia's spiders do in rounds, each as slow as its slowest call, goes on without rounds here:
ALPHA calls are under way, and one that takes longer than SLOW_S no longer holds another one up.
Whom to ask is the frontier's choice; who does not answer is doubted, so that the dead leave the
table although nobody waits for them. The search for values goes on until HOLDERS_WANTED nodes have
shown some that count, none older than another's: the first may be outdated, and junk shows nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TypeVar

import trio
from kademlia.node import Node

from radics_mesh.dht.calls import Result
from radics_mesh.dht.frontier import Frontier
from radics_mesh.dht.protocol import TrioProtocol

HOLDERS_WANTED = 3
# A call is slow once an answer could have come twice over, and given up for a look-up that has
# what it needs once it was sent again, and a second time, and nothing came.
SLOW_S, LATE_S = 0.4, 1.4
LOOKUP_MAX_S = 12.0

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


async def gather_dict(calls: Mapping[_Key, Awaitable[_Value]]) -> dict[_Key, _Value]:
    """Run all awaitables at once; their results by the same keys, in the same order."""
    results: dict[_Key, _Value] = {}

    async def settle(key: _Key, call: Awaitable[_Value]) -> None:
        results[key] = await call

    async with trio.open_nursery() as nursery:
        for key, call in calls.items():
            nursery.start_soon(settle, key, call)
    return {key: results[key] for key in calls}


class _Crawl:
    """One look-up; `run` once."""

    def __init__(
        self, protocol: TrioProtocol, node: Node, peers: Sequence[Node], ksize: int, alpha: int
    ) -> None:
        self.protocol = protocol
        self.target = node
        self.frontier = Frontier(node, ksize, peers)
        self._alpha = alpha
        # Under way: since when.
        self._flying: dict[Node, float] = {}
        self._news = trio.Event()

    async def _call(self, peer: Node) -> Result:
        raise NotImplementedError

    def _weigh(self, peer: Node, value: object) -> None:
        """An answer came from `peer`."""
        raise NotImplementedError

    def _fail(self, peer: Node) -> None:
        self.frontier.failed(peer)

    def _enough(self) -> bool:
        """Whether nothing that is still to come is needed."""
        raise NotImplementedError

    async def _run(self) -> None:
        await trio.lowlevel.checkpoint()
        with trio.move_on_after(LOOKUP_MAX_S):
            async with trio.open_nursery() as nursery:
                while self._go_on(nursery):
                    self._news = trio.Event()
                    with trio.move_on_at(self._patience_ends()):
                        await self._news.wait()
                nursery.cancel_scope.cancel()
        for peer in self._flying:
            self.protocol.doubt(peer)

    def _go_on(self, nursery: trio.Nursery) -> bool:
        """Ask whom there is room for; False when the look-up is over."""
        now = trio.current_time()
        while sum(now - since < SLOW_S for since in self._flying.values()) < self._alpha:
            waits = any(now - since < SLOW_S for since in self._flying.values())
            peer = self.frontier.next(anybody=not waits and not self._content())
            if peer is None:
                break
            self._flying[peer] = now
            nursery.start_soon(self._ask, peer)
        if self._enough() or not self._flying:
            return False
        late = all(now - since >= LATE_S for since in self._flying.values())
        return not (late and self._content())

    def _content(self) -> bool:
        """Whether what there is will do, if nobody answers any more."""
        return self.frontier.is_full

    def _patience_ends(self) -> float:
        now = trio.current_time()
        ends = (since + wait for since in self._flying.values() for wait in (SLOW_S, LATE_S))
        return min((end for end in ends if end > now), default=float("inf"))

    async def _ask(self, peer: Node) -> None:
        happened, value = await self._call(peer)
        del self._flying[peer]
        if happened:
            self._weigh(peer, value)
        else:
            self._fail(peer)
        self._news.set()


class NodeCrawl(_Crawl):
    async def find(self) -> list[Node]:
        """The k closest nodes that answered."""
        await self._run()
        return self.frontier.nearest()

    async def _call(self, peer: Node) -> Result:
        return await self.protocol.call_find_node(peer, self.target)

    def _weigh(self, peer: Node, value: object) -> None:
        self.frontier.answered(peer)
        self.frontier.hear(peer, _nodes(value))

    def _enough(self) -> bool:
        return False


class RecordCrawl(_Crawl):
    """`weigh` is shown what a holder has, and says whether any of it counts; `up_to_date` says, of
    the holders so far, how many have nothing that another one has newer.

    Afterwards `holders` are the nodes with values that count, `without` those that had none, and
    `cut` says whether nodes were met that cannot be sent to, behind which there may be more.
    """

    def __init__(
        self,
        protocol: TrioProtocol,
        node: Node,
        peers: Sequence[Node],
        ksize: int,
        alpha: int,
        weigh: Callable[[Node, list[bytes]], bool],
        up_to_date: Callable[[Sequence[Node]], int],
    ) -> None:
        super().__init__(protocol, node, peers, ksize, alpha)
        self._counts = weigh
        self._up_to_date = up_to_date
        self.holders: list[Node] = []
        self.without: list[Node] = []
        self.cut = False

    async def find(self) -> list[Node]:
        """The holders."""
        await self._run()
        return self.holders

    async def _call(self, peer: Node) -> Result:
        return await self.protocol.call_find_value(peer, self.target)

    def _weigh(self, peer: Node, value: object) -> None:
        self.frontier.answered(peer)
        if not isinstance(value, dict):
            self.without.append(peer)
            self.frontier.hear(peer, _nodes(value))
        elif self._counts(peer, value["value"]):
            self.holders.append(peer)
        else:
            self.without.append(peer)

    def _fail(self, peer: Node) -> None:
        self.cut |= self.protocol.is_cut((peer.ip, peer.port))
        super()._fail(peer)

    def _enough(self) -> bool:
        if len(self.holders) < HOLDERS_WANTED:
            return False
        # Who is closer than all of these, and about to answer, may know something newer.
        nearest = min(self.target.distance_to(holder) for holder in self.holders)
        soon = trio.current_time() - SLOW_S
        closer = [
            peer
            for peer, since in self._flying.items()
            if since > soon and self.target.distance_to(peer) < nearest
        ]
        return not closer and self._up_to_date(self.holders) >= HOLDERS_WANTED

    def _content(self) -> bool:
        return bool(self.holders)


def _nodes(value: object) -> list[Node]:
    """A node list that the protocol has checked."""
    assert isinstance(value, list)
    return [Node(*item) for item in value]
