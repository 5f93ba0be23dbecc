"""What a node answers to others, and whom it keeps in its table.

Nothing in `handle` waits, blocks or raises. Work that takes calls of its own (handing values over,
checking a new address) is started as a bounded job. A contact leaves the table when it fails twice
in a row, or at once when its address cannot even be sent to. Every remote procedure may be repeated
without harm.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from kademlia.node import Node
from kademlia.protocol import KademliaProtocol

from radics_mesh.codec import Fields
from radics_mesh.dht import rpc
from radics_mesh.dht.calls import FAILED, Calls, Result
from radics_mesh.dht.store import ValueStore
from radics_mesh.dht.table import ExactTable
from radics_mesh.errors import CapacityError, PeerError, WireError
from radics_mesh.ids import ID_BYTES, NodeId
from radics_mesh.jobs import Jobs
from radics_mesh.link import DatagramLink, SocketAddress

HEARD_MAX = 1024
_NAMES_MAX = 1024


class TrioProtocol(KademliaProtocol):
    """`met` is told of every node that was heard from, `seek` when another one wants a search."""

    def __init__(
        self,
        source_node: Node,
        storage: ValueStore,
        ksize: int,
        *,
        link: DatagramLink,
        jobs: Jobs,
        met: Callable[[bytes, SocketAddress], None],
    ) -> None:
        super().__init__(source_node, storage, ksize)
        self.router = ExactTable(self, ksize, source_node)
        self.storage: ValueStore = storage
        self.counters: Counter[str] = Counter()
        self.heard: OrderedDict[NodeId, SocketAddress] = OrderedDict()
        self.seek: Callable[[bytes, int], bool] = lambda key, hops: False
        self._calls = Calls(link, self.counters)
        self.refuse = self._calls.refuse
        self.send = self._calls.send
        self.is_cut = self._calls.is_cut
        self._jobs = jobs
        self._met = met
        # Who was last heard to call itself what at an address: a node can be replaced by another.
        self._names: OrderedDict[SocketAddress, bytes] = OrderedDict()
        self._procedures: dict[str, Callable[[SocketAddress, Fields], object]] = {
            "ping": self._answer_ping,
            "stun": lambda sender, fields: list(sender),
            "store": self._answer_store,
            "find_node": self._answer_find_node,
            "find_value": self._answer_find_value,
            "seek": self._answer_seek,
        }

    def __getattr__(self, name: str) -> Any:
        # rpcudp makes a remote call of any unknown attribute; here calls are methods.
        raise AttributeError(name)

    # --- incoming -----------------------------------------------------------------------------

    def handle(self, datagram: bytes, sender: SocketAddress) -> bytes | None:
        """What came in; returns the answer to send back, if any. Never raises."""
        self.counters["datagrams_in"] += 1
        self.counters["bytes_in"] += len(datagram)
        try:
            message = rpc.parse(datagram)
            if isinstance(message, rpc.Answer):
                self._calls.settle(message)
                return None
            return self._serve(message, sender)
        except WireError as error:
            self.refuse("malformed", str(error), sender)
            return None

    def _serve(self, call: rpc.Call, sender: SocketAddress) -> bytes | None:
        procedure = self._procedures.get(call.name)
        if procedure is None:
            raise WireError(f"no procedure {call.name!r}")
        answer = procedure(sender, Fields(call.arguments, call.name))
        self.counters[f"served_{call.name}"] += 1
        return rpc.pack_answer(call.message_id, answer)

    def _welcome_caller(self, sender: SocketAddress, fields: Fields) -> Node:
        node = Node(fields.blob(ID_BYTES), *sender)
        self._name(sender, node.id)
        self.welcome_if_new(node)
        return node

    def _answer_ping(self, sender: SocketAddress, fields: Fields) -> bytes:
        node_id = fields.blob(ID_BYTES)
        known = self.router.contact(node_id)
        caller = Node(node_id, *sender)
        self._name(sender, node_id)
        self.welcome_if_new(caller)
        # Contacts hardly ping each other: one who does has restarted and lost what it held.
        if known is not None and known.same_home_as(caller):
            self._jobs.start(lambda: self._hand_over(caller), once=node_id)
        return bytes(self.source_node.id)

    def _answer_store(self, sender: SocketAddress, fields: Fields) -> bool:
        self._welcome_caller(sender, fields)
        key, values = fields.blob(ID_BYTES), rpc.parse_values(fields.any())
        return any([self._take(key, value, sender) for value in values])

    def _take(self, key: bytes, value: bytes, sender: SocketAddress) -> bool:
        try:
            self.storage[key] = value
        except (WireError, PeerError, CapacityError) as error:
            self.refuse(f"store_{type(error).__name__}", str(error), sender)
            return False
        self.counters["stored"] += 1
        return True

    def _answer_find_node(self, sender: SocketAddress, fields: Fields) -> object:
        caller = self._welcome_caller(sender, fields)
        return self._closest(Node(fields.blob(ID_BYTES)), caller)

    def _closest(self, target: Node, caller: Node) -> object:
        # A loopback address means another computer to whoever is not on this one.
        abroad = not rpc.is_loopback((caller.ip, caller.port))
        return rpc.pack_nodes(
            (node.id, (node.ip, node.port))
            for node in self.router.find_neighbors(target, exclude=caller)
            if not (abroad and rpc.is_loopback((node.ip, node.port)))
        )

    def _answer_find_value(self, sender: SocketAddress, fields: Fields) -> object:
        caller = self._welcome_caller(sender, fields)
        key = fields.blob(ID_BYTES)
        values = self.storage.values(key)
        return {"value": rpc.pack_values(values)} if values else self._closest(Node(key), caller)

    def _answer_seek(self, sender: SocketAddress, fields: Fields) -> bool:
        self._welcome_caller(sender, fields)
        return self.seek(fields.blob(ID_BYTES), fields.integer(0, 8))

    # --- contacts -----------------------------------------------------------------------------

    def welcome_if_new(self, node: Node) -> None:
        """The node is alive at that address, or somebody says so in its name."""
        address = (node.ip, node.port)
        if node.id == self.source_node.id or not rpc.is_usable(address):
            return
        self._calls.alive(address)
        known = self.router.contact(node.id)
        if known is not None and not known.same_home_as(node):
            self._jobs.start(lambda: self._move(known, node), once=node.id)
            return
        self.router.add_contact(node)
        self.hear(node.id, address)
        self._met(node.id, address)
        if known is None and self.router.contact(node.id) is not None:
            self.counters["contacts_added"] += 1
            self._jobs.start(lambda: self._hand_over(node), once=node.id)

    def _name(self, address: SocketAddress, node_id: bytes) -> None:
        """Somebody at that address calls itself so."""
        before = self._names.pop(address, node_id)
        self._names[address] = node_id
        if len(self._names) > _NAMES_MAX:
            self._names.popitem(last=False)
        if before != node_id:
            self._drop(Node(before, *address))

    def _drop(self, node: Node) -> None:
        """Out of the table, if that is where it was thought to be."""
        known = self.router.contact(node.id)
        if known is not None and known.same_home_as(node):
            self.router.remove_contact(node)
            self.counters["contacts_lost"] += 1

    def hear(self, node_id: bytes, address: SocketAddress) -> None:
        if node_id == self.source_node.id:
            return
        self.heard[NodeId(node_id)] = address
        self.heard.move_to_end(NodeId(node_id))
        if len(self.heard) > HEARD_MAX:
            self.heard.popitem(last=False)

    def doubt(self, node: Node) -> None:
        """Ask whether the node still lives; if not, one that waits takes its place."""
        self._jobs.start(lambda: self.call_ping(node), once=node.id)

    async def _move(self, known: Node, moved: Node) -> None:
        """A known id speaks from a new address: believed if it answers there and not here."""
        if (await self.probe((moved.ip, moved.port))) != moved.id:
            return
        if (await self.probe((known.ip, known.port))) != known.id:
            self.router.remove_contact(known)
            self.counters["contacts_moved"] += 1
            self.welcome_if_new(moved)

    def handle_call_response(self, result: Result, node: Node) -> Result:
        address = (node.ip, node.port)
        if result[0] and self._names.get(address, node.id) == node.id:
            self.welcome_if_new(node)
        elif result[0] or self._calls.is_lost(address):
            self._drop(node)
        return result

    async def _hand_over(self, newcomer: Node) -> None:
        """Give a new contact the values that it should hold: those it is close to, and that no
        other contact is closer to than this node, or that are this node's own."""
        by_key: dict[bytes, list[bytes]] = {}
        for key, owner, value in self.storage.fresh_items():
            if self._should_hold(newcomer, Node(key), owner):
                by_key.setdefault(key, []).append(value)
        for key, values in by_key.items():
            happened, _ = await self.call_store(newcomer, key, rpc.pack_values(values))
            if not happened:
                return
            self.counters["handed_over"] += 1

    def _should_hold(self, newcomer: Node, target: Node, owner: bytes) -> bool:
        nearest = [n for n in self.router.find_neighbors(target) if n.id != newcomer.id]
        distance = newcomer.distance_to(target)
        if len(nearest) >= self.router.ksize and distance > nearest[-1].distance_to(target):
            return False
        own = self.source_node
        closest = not nearest or own.distance_to(target) < nearest[0].distance_to(target)
        return closest or owner == own.id

    # --- outgoing: the stock call_* methods use these -----------------------------------------

    async def ping(self, address: SocketAddress, own_id: bytes) -> Result:
        happened, value = await self._calls.call(address, "ping", [own_id])
        if not happened:
            return FAILED
        if not (isinstance(value, bytes) and len(value) == ID_BYTES):
            return self._bad_answer(address, "ping")
        self._name(address, value)
        return True, value

    async def call_ping(self, node_to_ask: Node) -> Result:
        """As the stock one, but whoever answers under another id has taken the address over."""
        result = await self.ping((node_to_ask.ip, node_to_ask.port), self.source_node.id)
        self.handle_call_response(result, node_to_ask)
        return result if result[1] == node_to_ask.id else FAILED

    async def probe(self, address: SocketAddress) -> bytes | None:
        """The id of whoever answers there, however long it has been silent."""
        self._calls.alive(address)
        happened, value = await self.ping(address, self.source_node.id)
        return value if happened and isinstance(value, bytes) else None

    async def store(
        self, address: SocketAddress, own_id: bytes, key: bytes, value: bytes
    ) -> Result:
        return await self._calls.call(address, "store", [own_id, key, value])

    async def find_node(self, address: SocketAddress, own_id: bytes, key: bytes) -> Result:
        happened, value = await self._calls.call(address, "find_node", [own_id, key])
        return self._checked_nodes(address, value) if happened else FAILED

    async def find_value(self, address: SocketAddress, own_id: bytes, key: bytes) -> Result:
        happened, value = await self._calls.call(address, "find_value", [own_id, key])
        if happened and isinstance(value, dict):
            try:
                return True, {"value": rpc.parse_values(value.get("value"))}
            except WireError:
                return self._bad_answer(address, "find_value")
        return self._checked_nodes(address, value) if happened else FAILED

    async def call_seek(self, node_to_ask: Node, key: bytes, hops: int) -> Result:
        address = (node_to_ask.ip, node_to_ask.port)
        result = await self._calls.call(address, "seek", [self.source_node.id, key, hops])
        return self.handle_call_response(result, node_to_ask)

    def _checked_nodes(self, address: SocketAddress, value: object) -> Result:
        try:
            nodes = rpc.parse_nodes(value)
        except WireError:
            return self._bad_answer(address, "nodes")
        own = self.source_node.id
        abroad = not rpc.is_loopback(address)
        usable = [
            (node_id, at)
            for node_id, at in nodes
            if node_id != own and not (abroad and rpc.is_loopback(at))
        ]
        for node_id, at in usable:
            if NodeId(node_id) not in self.heard:
                self.hear(node_id, at)
        return True, [(node_id, *at) for node_id, at in usable]

    def _bad_answer(self, address: SocketAddress, what: str) -> Result:
        self.refuse("malformed_answers", what, address)
        self._calls.failed(address)
        return FAILED
