"""Whom a node keeps in its table, under which address, and what makes it believe so.

    a call names an id ── unproved ──▶ the address is asked (checks) ──▶ present
    an answer of ours ────────────────────────────────────────────────▶ present
    present: known there ▶ most recent; known elsewhere ▶ both are asked; new ▶ proved ▶ a contact

Nobody gets in, and nobody is put out, for what a datagram says of itself: the address must have
answered, and where the mesh has members (`identify`) under a key that hashes to the id. A contact
leaves when it fails twice in a row, or at once when its address cannot even be sent to; then its
other addresses are tried.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import trio
from kademlia.node import Node

from radics_mesh.dht import rpc
from radics_mesh.dht.calls import Calls
from radics_mesh.dht.homes import Homes
from radics_mesh.dht.table import ExactTable
from radics_mesh.ids import NodeId
from radics_mesh.jobs import Jobs
from radics_mesh.link import SocketAddress

HEARD_MAX = 1024
_NAMES_MAX = 4096
# A member says that it has just come: what it should hold is given to it no oftener than this.
HELLO_AGAIN_S = 5.0
# The oldest contact of a full bucket is asked no oftener whether it still lives. Shorter: a dead
# one gives way sooner to those who wait, for a ping with every call of theirs.
CROWD_AGAIN_S = 30.0


class Asker(Protocol):
    """What contacts need of the protocol above."""

    async def probe(self, address: SocketAddress) -> bytes | None: ...

    async def call_ping(self, node_to_ask: Node) -> object: ...


class Contacts:
    """`hand_over` gives a new contact what it should hold; `is_identified` says whether the id at
    an address is proved, or need not be."""

    def __init__(
        self,
        own: Node,
        router: ExactTable,
        calls: Calls,
        *,
        asker: Asker,
        jobs: Jobs,
        met: Callable[[bytes, SocketAddress], None],
        hand_over: Callable[[Node], Awaitable[None]],
        is_identified: Callable[[bytes, SocketAddress], bool],
        counters: Counter[str],
    ) -> None:
        self.heard: OrderedDict[NodeId, SocketAddress] = OrderedDict()
        self.homes = Homes()
        self._own = own
        self._router = router
        self._calls = calls
        self._asker = asker
        self._jobs = jobs
        self._met = met
        self._hand_over = hand_over
        self._is_identified = is_identified
        self._counters = counters
        # Who was last found at an address: a node can be replaced by another.
        self._names: OrderedDict[SocketAddress, bytes] = OrderedDict()
        self._greeted: OrderedDict[bytes, float] = OrderedDict()
        # When a full bucket's oldest contact was last asked because others would have its place.
        self._crowded: OrderedDict[bytes, float] = OrderedDict()

    # --- who is where -------------------------------------------------------------------------

    def claims(self, node: Node) -> bool:
        """A call comes in a node's name; whether the address should be asked who is there."""
        address = (node.ip, node.port)
        if node.id == self._own.id or not rpc.is_usable(address):
            return False
        known = self._router.contact(node.id)
        if self._names.get(address) != node.id or self._calls.has_failed(address):
            return True
        if known is not None and known.same_home_as(node):
            self._note(node)
            return False
        return self._router.wants(node)

    def name(self, address: SocketAddress, node_id: bytes) -> None:
        """Who is at that address calls itself so; another contact is there no longer."""
        before = self._names.pop(address, node_id)
        self._names[address] = node_id
        if len(self._names) > _NAMES_MAX:
            self._names.popitem(last=False)
        if before != node_id:
            self.drop(Node(before, *address))

    def name_of(self, address: SocketAddress) -> bytes | None:
        return self._names.get(address)

    def present(self, node: Node) -> None:
        """The node has just answered at its address."""
        address = (node.ip, node.port)
        if node.id == self._own.id or not rpc.is_usable(address):
            return
        self._calls.alive(address)
        known = self._router.contact(node.id)
        if known is not None and known.same_home_as(node):
            self._note(node)
        elif known is not None:
            self._jobs.start(lambda: self._move(known, node), once=node.id)
        elif self._is_identified(node.id, address):
            self._admit(node)
        elif self._router.wants(node):
            self._jobs.start(lambda: self._identify(node), once=address)

    def _note(self, node: Node) -> None:
        address = (node.ip, node.port)
        self._router.add_contact(node)
        self.hear(node.id, address)
        self._met(node.id, address)

    def _admit(self, node: Node) -> None:
        self._note(node)
        self.homes.prove(node.id, (node.ip, node.port))
        if self._router.contact(node.id) is not None:
            self._counters["contacts_added"] += 1
            self._jobs.start(lambda: self._hand_over(node), once=node.id)

    async def _identify(self, node: Node) -> None:
        if await self._asker.probe((node.ip, node.port)) == node.id:
            self.present(node)
        else:
            self._counters["unidentified"] += 1

    async def _move(self, known: Node, moved: Node) -> None:
        """A known id answers at a new address: it has moved if it answers there and not here."""
        if (await self._asker.probe((moved.ip, moved.port))) != moved.id:
            return
        self.homes.prove(moved.id, (moved.ip, moved.port))
        if (await self._asker.probe((known.ip, known.port))) == known.id:
            return
        self.homes.lose(known.id, (known.ip, known.port))
        still = self._router.contact(moved.id)
        if still is not None and not still.same_home_as(moved):
            self._router.remove_contact(still)
        self._counters["contacts_moved"] += 1
        self.present(moved)

    # --- who is gone --------------------------------------------------------------------------

    def failed(self, node: Node) -> None:
        """It did not answer a call, or somebody else answers there."""
        address = (node.ip, node.port)
        if self._calls.is_lost(address) or self._names.get(address, node.id) != node.id:
            self.drop(node)

    def drop(self, node: Node) -> None:
        """Out of the table, if that is where it was thought to be; it may be elsewhere."""
        known = self._router.contact(node.id)
        if known is None or not known.same_home_as(node):
            return
        self._router.remove_contact(node)
        self._counters["contacts_lost"] += 1
        address = (node.ip, node.port)
        self.homes.lose(node.id, address)
        if others := self.homes.others(node.id, address):
            self._jobs.start(lambda: self._look_elsewhere(node.id, others), once=node.id)

    async def _look_elsewhere(self, node_id: bytes, addresses: Iterable[SocketAddress]) -> None:
        for address in addresses:
            if rpc.is_usable(address) and await self._asker.probe(address) == node_id:
                self.present(Node(node_id, *address))
                return

    def doubt(self, node: Node) -> None:
        """Ask whether the node still lives; if not, one that waits takes its place."""
        if self._router.contact(node.id) is not None:
            self._jobs.start(lambda: self._asker.call_ping(node), once=node.id)

    def crowd(self, oldest: Node) -> None:
        """Somebody else would have its place. In a mesh of a hundred that is so with every second
        call; whoever was asked just now is not asked again for each."""
        now = trio.current_time()
        if now - self._crowded.get(oldest.id, -math.inf) < CROWD_AGAIN_S:
            return
        self._crowded[oldest.id] = now
        self._crowded.move_to_end(oldest.id)
        if len(self._crowded) > HEARD_MAX:
            self._crowded.popitem(last=False)
        self.doubt(oldest)

    # --- what they say ------------------------------------------------------------------------

    def hear(self, node_id: bytes, address: SocketAddress) -> None:
        if node_id == self._own.id:
            return
        self.heard[NodeId(node_id)] = address
        self.heard.move_to_end(NodeId(node_id))
        if len(self.heard) > HEARD_MAX:
            self.heard.popitem(last=False)

    def states(self, node_id: bytes, addresses: Iterable[SocketAddress]) -> None:
        """A member's record says where it is. A contact that it no longer names there has moved."""
        stated = [address for address in addresses if rpc.is_usable(address)]
        self.homes.state(node_id, stated)
        known = self._router.contact(node_id)
        if known is not None and stated and (known.ip, known.port) not in stated:
            self.doubt(known)

    def greeted(self, node_id: bytes, address: SocketAddress) -> None:
        """A caller says that it has just come. If it is a contact, it has lost what it held."""
        known = self._router.contact(node_id)
        if known is None or (known.ip, known.port) != address:
            return
        now = trio.current_time()
        if now - self._greeted.get(node_id, -HELLO_AGAIN_S) < HELLO_AGAIN_S:
            return
        self._greeted[node_id] = now
        if len(self._greeted) > HEARD_MAX:
            self._greeted.popitem(last=False)
        self._jobs.start(lambda: self._hand_over(known), once=node_id)
