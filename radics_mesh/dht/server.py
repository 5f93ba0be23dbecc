"""The DHT service of one node: put, get, and what keeps the mesh together meanwhile.

    link ─ receive loop ─ TrioProtocol ─ ValueStore ─ Contents (the directory)
                              │
       put, get ─ crawls ─────┤          jobs (bounded): hand-over, repairs, checks, seeks
       joining ─ PeerBook ────┘

Where some nodes cannot send to some others (out of radio range), a key's closest nodes need not be
reachable. Then `get` asks its contacts to *seek* the key: each searches in turn from where it
stands, at most SEEK_HOPS deep and once in SEEK_AGAIN_S for a key, and keeps what it finds, so that
the next try meets it one hop away. Stock nodes do not know this call and do not answer it.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict, deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random

import structlog
import trio
from kademlia.network import Server
from kademlia.node import Node

from radics_mesh.clock import Clock
from radics_mesh.config import Address
from radics_mesh.dht import rpc
from radics_mesh.dht.crawl import NodeCrawl, RecordCrawl, gather_dict
from radics_mesh.dht.merge import Merge
from radics_mesh.dht.peers import PeerBook
from radics_mesh.dht.protocol import TrioProtocol
from radics_mesh.dht.store import Contents, ValueStore
from radics_mesh.dht.witnesses import Witnesses
from radics_mesh.errors import CapacityError, LinkError, PeerError
from radics_mesh.ids import NodeId
from radics_mesh.jobs import Jobs
from radics_mesh.link import DatagramLink, SocketAddress, resolve
from radics_mesh.me import Me

log = structlog.get_logger(__name__)

K = 8
ALPHA = 3
WORKERS = 8
# Waits between two rounds of trying old addresses: without any contact, and with some.
ISOLATED_ROUND_S, JOINED_ROUND_S = 1.0, 5.0
# Waits between two looks around: from the first, doubling to the last.
REFRESH_FIRST_S, REFRESH_S = 5.0, 60.0
SAVE_S = 30.0
WITNESSES_ASKED = 4
SEEK_HOPS = 4
SEEK_AGAIN_S = 5.0
SEEK_WAITS_S = (0.25, 0.5, 1.0, 1.5)
_SOUGHT_MAX = 256
_DEPTHS_MAX = 1024


class Dht(Server):
    """`run` must run for anything to work. Nothing here raises for what others do.

    `bootstrap` addresses are tried again whenever they are not connected, next to the peer book.
    `me`: of a member, which proves that it is one and believes members only. Without it the node
    takes ids at their word, as stock nodes do.
    """

    def __init__(
        self,
        *,
        link: DatagramLink,
        node_id: NodeId,
        clock: Clock,
        bootstrap: Sequence[Address] = (),
        peers_path: Path | None = None,
        random: Random | None = None,
        ksize: int = K,
        alpha: int = ALPHA,
        me: Me | None = None,
    ) -> None:
        super().__init__(ksize, alpha, bytes(node_id))
        self.storage: ValueStore = ValueStore(bytes(node_id), clock)
        self.book = PeerBook(peers_path)
        self._me = me
        self._link = link
        self._bootstrap = bootstrap
        self._random = random or Random()
        self._jobs = Jobs()
        self._joined = trio.Event()
        self._witnesses = Witnesses()
        # Of the last look-ups: how many nodes one after the other led to the last that was asked.
        self.depths: deque[int] = deque(maxlen=_DEPTHS_MAX)
        self._sought: OrderedDict[bytes, tuple[float, bool]] = OrderedDict()
        self.protocol: TrioProtocol = self._create_protocol()

    def _create_protocol(self) -> TrioProtocol:
        protocol = TrioProtocol(
            self.node,
            self.storage,
            self.ksize,
            link=self._link,
            jobs=self._jobs,
            met=self._met,
            me=self._me,
        )
        protocol.seek = self._start_seek
        return protocol

    def serve(self, contents: Contents) -> None:
        """Who decides about values from now on; before, all are refused."""
        self.storage.contents = contents

    @property
    def counters(self) -> Counter[str]:
        """Calls, datagrams, bytes, contacts gained and lost, refusals by reason."""
        return self.protocol.counters + Counter(jobs_dropped=self._jobs.dropped)

    def heard(self) -> dict[NodeId, SocketAddress]:
        """Every node heard of, with its last known (unproved) address; bounded, newest last."""
        return dict(self.protocol.contacts.heard)

    def contacts(self) -> dict[NodeId, SocketAddress]:
        """The routing table: nodes that answered, and have not failed since."""
        return {NodeId(n.id): (n.ip, n.port) for n in self.protocol.router.contacts()}

    def observed(self) -> list[SocketAddress]:
        """As whom this node is seen from outside, by the word of several contacts."""
        return self._witnesses.believed(trio.current_time())

    def learn(self, node_id: NodeId, addresses: Sequence[SocketAddress]) -> None:
        """A member's own record says where it is: tried when its address in use fails."""
        self.protocol.contacts.states(bytes(node_id), addresses)

    def moved(self) -> None:
        """This node has other addresses than before: every contact should see it at once, and not
        only when it is called the next time."""
        self._witnesses.forget()
        for node in self.protocol.router.contacts():
            self._jobs.start(partial(self.protocol.call_ping, node), once=node.id)

    def _met(self, node_id: bytes, address: SocketAddress) -> None:
        self.book.met(node_id, address)
        self._joined.set()

    async def wait_joined(self) -> None:
        """Until any other node has been met."""
        await self._joined.wait()

    # --- running ------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; LinkError when the link is closed under it."""
        self.book.load()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._receive)
            nursery.start_soon(self.protocol.post)
            nursery.start_soon(self._jobs.run, WORKERS)
            nursery.start_soon(self._keep_joined)
            nursery.start_soon(self._refresh)
            nursery.start_soon(self._keep_book)
            task_status.started()

    async def _receive(self) -> None:
        while True:
            datagram, sender = await self._link.receive()
            answer = self.protocol.handle(datagram, sender)
            if answer is not None:
                try:
                    await self.protocol.send(answer, sender)
                except LinkError as error:
                    self.protocol.refuse("unanswerable", str(error), sender)

    async def _keep_joined(self) -> None:
        while True:
            if await self._join_round():
                await self._crawl_nodes(self.node)
            alone = not len(self.protocol.router)
            round_s = ISOLATED_ROUND_S if alone else JOINED_ROUND_S
            await trio.sleep(round_s * self._random.uniform(0.8, 1.2))

    async def _join_round(self) -> int:
        """Try addresses that are not connected; how many answered."""
        protocol = self.protocol
        connected = {*self.contacts().values(), self._link.local}
        # Who was met and has no place in the table is not missed; it would answer in vain.
        connected |= {at for node_id, at in self.book.met_at() if not protocol.router.room(node_id)}
        fixed = [
            at
            for address in self._bootstrap
            for at in await self._resolved(address)
            if protocol.router.room(protocol.contacts.name_of(at))
        ]
        addresses = self.book.due(trio.current_time(), fixed, connected)
        answers = await gather_dict({at: protocol.hail(at) for at in addresses})
        for at, node_id in answers.items():
            if node_id is not None:
                protocol.contacts.present(Node(node_id, *at))
        return sum(node_id is not None for node_id in answers.values())

    async def _resolved(self, address: Address) -> list[SocketAddress]:
        try:
            with trio.move_on_after(5):
                return await resolve(address)
        except LinkError as error:
            self.protocol.refuse("unresolved", str(error), (address.host, address.port))
        return []

    async def _refresh(self) -> None:
        """Look around for the own neighbourhood and for somewhere else, so that no bucket rots."""
        wait_s = REFRESH_FIRST_S
        while True:
            await trio.sleep(wait_s * self._random.uniform(0.8, 1.2))
            await self._crawl_nodes(self.node)
            await self._crawl_nodes(Node(self._random.randbytes(20)))
            await self._ask_witnesses()
            self.storage.purge()
            wait_s = min(2 * wait_s, REFRESH_S)

    async def _ask_witnesses(self) -> None:
        contacts = self.protocol.router.contacts()
        asked = self._random.sample(contacts, min(WITNESSES_ASKED, len(contacts)))
        seen = await gather_dict({node: self.protocol.ask_own_address(node) for node in asked})
        for node, address in seen.items():
            if address is not None:
                self._witnesses.say((node.ip, node.port), address, trio.current_time())

    async def _keep_book(self) -> None:
        # A moment after the start the first contacts are worth keeping; later changes are rare.
        wait_s = 2.0
        while True:
            await trio.sleep(wait_s)
            self.book.save()
            wait_s = SAVE_S

    # --- look-ups -----------------------------------------------------------------------------

    async def _crawl_nodes(self, target: Node) -> list[Node]:
        nearest = self.protocol.router.find_neighbors(target)
        if not nearest:
            return []
        crawl = NodeCrawl(self.protocol, target, nearest, self.ksize, self.alpha)
        found = await crawl.find()
        self.depths.append(crawl.frontier.depth)
        return found

    async def put(self, key: bytes, value: bytes) -> int:
        """Store here and on the k closest nodes; how many others took it.

        WireError, PeerError or CapacityError if not even this node's own store takes it.
        """
        self.storage[key] = value
        return await self.set_digest(key, value)

    async def set_digest(self, dkey: bytes, value: bytes) -> int:
        """As the stock one, for one value of a key that may hold many: how many nodes took it."""
        packed = rpc.pack_values([value])
        nodes = await self._crawl_nodes(Node(dkey))
        results = await gather_dict(
            {node.id: self.protocol.call_store(node, dkey, packed) for node in nodes}
        )
        return sum(result == (True, True) for result in results.values())

    async def get(self, key: bytes) -> list[bytes]:
        """The newest value of every publisher, of those that this node and three holders have."""
        return await self._get(key, SEEK_HOPS)

    async def _get(self, key: bytes, hops: int) -> list[bytes]:
        found, cut = await self._search(key)
        if found or not cut or not hops:
            return found
        for wait_s in SEEK_WAITS_S:
            searching = await self._ask_to_seek(key, hops - 1)
            await trio.sleep(wait_s)
            found, _ = await self._search(key)
            if found or not searching:
                break
        return found

    async def _ask_to_seek(self, key: bytes, hops: int) -> bool:
        """Whether any contact is (now) searching on our behalf."""
        asked = self.protocol.router.find_neighbors(Node(key), self.alpha)
        results = await gather_dict({n.id: self.protocol.call_seek(n, key, hops) for n in asked})
        return any(result == (True, True) for result in results.values())

    def _start_seek(self, key: bytes, hops: int) -> bool:
        """Another node asks us to search; whether the search still goes on."""
        now = trio.current_time()
        when, searching = self._sought.get(key, (-math.inf, False))
        if searching or now - when < SEEK_AGAIN_S:
            return searching
        self._sought[key] = (now, True)
        if len(self._sought) > _SOUGHT_MAX:
            self._sought.popitem(last=False)

        async def seek() -> None:
            try:
                await self._get(key, hops)
            finally:
                self._sought[key] = (now, False)

        if not self._jobs.start(seek):
            self._sought[key] = (now, False)
            return False
        return True

    async def _search(self, key: bytes) -> tuple[list[bytes], bool]:
        """What there is, and whether nodes were met that cannot be sent to."""
        target = Node(key)
        merged = Merge(key, self.storage.contents)
        merged.offer(None, self.storage.values(key))
        nearest = self.protocol.router.find_neighbors(target)
        if not nearest:
            return merged.values(), False
        crawl = RecordCrawl(
            self.protocol,
            target,
            nearest,
            self.ksize,
            self.alpha,
            weigh=partial(self._weigh, merged),
            up_to_date=lambda holders: sum(not merged.missing(holder) for holder in holders),
        )
        await crawl.find()
        self.depths.append(crawl.frontier.depth)
        self._keep(target, merged)
        self._repair(target, merged, crawl)
        return merged.values(), crawl.cut

    def _weigh(self, merged: Merge, peer: Node, values: list[bytes]) -> bool:
        refused = merged.offer(peer, values)
        self.protocol.counters["values_refused"] += refused
        return refused < len(values)

    def _keep(self, target: Node, merged: Merge) -> None:
        """Hold what was found here too, if this is one of the k nodes that should."""
        nearest = self.protocol.router.find_neighbors(target)
        distance = self.node.distance_to(target)
        if len(nearest) >= self.ksize and distance > nearest[-1].distance_to(target):
            return
        for slot, value in merged.best.values():
            try:
                self.storage.place(target.id, value, slot)
            except (PeerError, CapacityError):
                self.protocol.counters["values_not_kept"] += 1

    def _repair(self, target: Node, merged: Merge, crawl: RecordCrawl) -> None:
        """Give the best values to holders of older ones, and to the closest that has none."""
        stale = [(peer, merged.missing(peer)) for peer in crawl.holders]
        if crawl.without:
            closest = min(crawl.without, key=target.distance_to)
            stale.append((closest, [value for _, value in merged.best.values()]))
        for peer, values in stale:
            if values:
                self.protocol.counters["repairs"] += 1
                packed = rpc.pack_values(values)
                self._jobs.start(_Repair(self.protocol, peer, target.id, packed))


class _Repair:
    """A job: store values on a node that should have had them."""

    def __init__(self, protocol: TrioProtocol, peer: Node, key: bytes, packed: bytes) -> None:
        self._protocol, self._peer, self._key, self._packed = protocol, peer, key, packed

    async def __call__(self) -> object:
        return await self._protocol.call_store(self._peer, self._key, self._packed)
