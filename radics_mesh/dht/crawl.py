"""Look-ups: kademlia's spiders with Trio's concurrency, and answers that are weighed.

`kademlia.crawling.gather_dict` is the one function of the package that is replaced in place: the
spiders call it by that name, and the stock one needs an asyncio loop.

Differences to the stock spiders: a node that failed cannot come back by hearsay within the same
look-up; no look-up asks more than ASKED_MAX nodes, whatever the answers say; and the search for
values goes on until HOLDERS_WANTED nodes have shown theirs, since the first may be outdated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Hashable, Mapping
from typing import TypeVar

import kademlia.crawling
import trio
from kademlia.crawling import NodeSpiderCrawl, RPCFindResponse, ValueSpiderCrawl
from kademlia.node import Node, NodeHeap

from radics_mesh.dht.calls import Result
from radics_mesh.dht.protocol import TrioProtocol

HOLDERS_WANTED = 3
ASKED_MAX = 64

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


kademlia.crawling.gather_dict = gather_dict


class CheckedHeap(NodeHeap):
    """A NodeHeap that takes no node twice that failed, and ends after ASKED_MAX nodes."""

    def __init__(self, node: Node, maxsize: int) -> None:
        super().__init__(node, maxsize)
        self.failed: set[bytes] = set()

    def push(self, nodes: Node | list[Node]) -> None:
        nodes = nodes if isinstance(nodes, list) else [nodes]
        super().push([node for node in nodes if node.id not in self.failed])

    def remove(self, peers: list[bytes]) -> None:
        self.failed.update(peers)
        super().remove(peers)

    def get_uncontacted(self) -> list[Node]:
        room = max(0, ASKED_MAX - len(self.contacted))
        uncontacted: list[Node] = super().get_uncontacted()
        return uncontacted[:room]


class NodeCrawl(NodeSpiderCrawl):
    """`find`: the k closest nodes that answered."""

    def __init__(
        self, protocol: TrioProtocol, node: Node, peers: list[Node], ksize: int, alpha: int
    ) -> None:
        super().__init__(protocol, node, [], ksize, alpha)
        self.nearest = CheckedHeap(node, ksize)
        self.nearest.push(peers)


class RecordCrawl(ValueSpiderCrawl):
    """`find`: what each holder has, {node: values}.

    Afterwards `without` lists the asked nodes that had nothing, and `cut` says whether the search
    met nodes that this one cannot send to, behind which there may be more.
    """

    def __init__(
        self, protocol: TrioProtocol, node: Node, peers: list[Node], ksize: int, alpha: int
    ) -> None:
        super().__init__(protocol, node, [], ksize, alpha)
        self.nearest = CheckedHeap(node, ksize)
        self.nearest.push(peers)
        self.holders: dict[Node, list[bytes]] = {}
        self.without: list[Node] = []
        self.cut = False

    async def _nodes_found(self, responses: Mapping[bytes, Result]) -> dict[Node, list[bytes]]:
        failed = []
        for node_id, result in responses.items():
            peer = self.nearest.get_node(node_id)
            response = RPCFindResponse(result)
            if not response.happened():
                self.cut |= self.protocol.is_cut((peer.ip, peer.port))
                failed.append(node_id)
            elif response.has_value():
                self.holders[peer] = response.get_value()
            else:
                self.without.append(peer)
                self.nearest.push(response.get_node_list())
        self.nearest.remove(failed)
        if len(self.holders) >= HOLDERS_WANTED or self.nearest.have_contacted_all():
            return self.holders
        found: dict[Node, list[bytes]] = await self.find()
        return found
