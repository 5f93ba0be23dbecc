"""The routing table: what `kademlia.routing` has, with exact answers.

Stock `find_neighbors` returns the first k nodes that it meets while it walks the buckets, which
need not be the closest; stock `get_bucket_for` puts the last id of a bucket's range into the next
one; stock `add_contact` splits buckets far from the own id and pings on an asyncio loop.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from kademlia.node import Node
from kademlia.routing import KBucket, RoutingTable

if TYPE_CHECKING:
    from radics_mesh.dht.protocol import TrioProtocol

_ID_BITS = 160


class ExactTable(RoutingTable):
    """At most k contacts a bucket; only the bucket of the own id is ever split."""

    protocol: TrioProtocol

    def flush(self) -> None:
        self.buckets = [KBucket(0, (1 << _ID_BITS) - 1, self.ksize)]

    def get_bucket_for(self, node: Node) -> int:
        for index, bucket in enumerate(self.buckets):
            if node.long_id <= bucket.range[1]:
                return index
        raise AssertionError("ids have 160 bits and the buckets span them")

    def add_contact(self, node: Node) -> None:
        """Known contacts become their bucket's most recent. A full bucket's oldest is doubted."""
        while True:
            index = self.get_bucket_for(node)
            bucket = self.buckets[index]
            if bucket.add_node(node):
                return
            if not bucket.has_in_range(self.node) or len(self.buckets) >= _ID_BITS:
                self.protocol.crowd(bucket.head())
                return
            self.split_bucket(index)

    def wants(self, node: Node) -> bool:
        """Whether there is room for a new contact; where there is not, the oldest is doubted."""
        if self.room(node.id):
            return True
        self.protocol.crowd(self.buckets[self.get_bucket_for(node)].head())
        return False

    def room(self, node_id: bytes | None) -> bool:
        """The same for a node that is only thought of. Of nobody in particular: yes."""
        if node_id is None:
            return True
        bucket = self.buckets[self.get_bucket_for(Node(node_id))]
        if len(bucket) < self.ksize:
            return True
        return bucket.has_in_range(self.node) and len(self.buckets) < _ID_BITS

    def find_neighbors(
        self, node: Node, k: int | None = None, exclude: Node | None = None
    ) -> list[Node]:
        candidates = (
            contact
            for contact in self.contacts()
            if contact.id != node.id and not (exclude and contact.same_home_as(exclude))
        )
        return heapq.nsmallest(k or self.ksize, candidates, key=node.distance_to)

    def contacts(self) -> list[Node]:
        return [node for bucket in self.buckets for node in bucket.get_nodes()]

    def contact(self, node_id: bytes) -> Node | None:
        """The contact of that id as it is known, with its address."""
        probe = Node(node_id)
        return self.buckets[self.get_bucket_for(probe)][node_id]

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self.buckets)
