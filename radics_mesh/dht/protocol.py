"""Calls to other nodes and answers to theirs, on Trio.

A call is sent again after .3 and 1 s and given up after 2.5 s; every remote procedure may be
repeated without harm. A contact leaves the table when it fails twice in a row, or at once when its
address cannot even be sent to. An address that keeps failing is left alone for a while, so that
look-ups do not wait for the dead again and again; any datagram from there ends that.

What comes in is handled without waiting: nothing in `handle` blocks or raises. Work that takes
calls of its own (handing values over, checking a new address) is spawned as a bounded job.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
import trio
from kademlia.node import Node
from kademlia.protocol import KademliaProtocol

from radics_mesh.codec import Fields
from radics_mesh.dht import rpc
from radics_mesh.dht.store import ValueStore
from radics_mesh.dht.table import ExactTable
from radics_mesh.errors import CapacityError, LinkError, PeerError, WireError
from radics_mesh.ids import ID_BYTES, NodeId
from radics_mesh.jobs import Jobs
from radics_mesh.link import DatagramLink, SocketAddress

log = structlog.get_logger(__name__)

# How long each transmission of a call waits for its answer.
WAITS_S = (0.3, 0.7, 1.5)
FAILURES_MAX = 2
# An address that failed FAILURES_MAX times is left alone this long, doubling with each failure.
SILENCE_FIRST_S, SILENCE_MAX_S = 2.0, 60.0
HEARD_MAX = 1024
_SILENT_MAX = 1024
_NAMES_MAX = 1024

Result = tuple[bool, object]
FAILED: Result = (False, None)


@dataclass
class _Pending:
    answered: trio.Event = field(default_factory=trio.Event)
    value: object = None


@dataclass
class _Silence:
    failures: int = 0
    until: float = 0.0
    cut: bool = False  # it could not even be sent to


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
        self._link = link
        self._jobs = jobs
        self._met = met
        self._calls: dict[bytes, _Pending] = {}
        self._silences: OrderedDict[SocketAddress, _Silence] = OrderedDict()
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
                self._settle(message)
                return None
            return self._serve(message, sender)
        except WireError as error:
            self.refuse("malformed", str(error), sender)
            return None

    def refuse(self, why: str, detail: str, sender: SocketAddress) -> None:
        """Count, and log the first of its kind."""
        self.counters[why] += 1
        if self.counters[why] == 1:
            log.warning("dht refused", what=why, reason=detail, sender=sender)

    def _settle(self, answer: rpc.Answer) -> None:
        pending = self._calls.get(answer.message_id)
        if pending is None or pending.answered.is_set():
            self.counters["late_answers"] += 1
            return
        pending.value = answer.value
        pending.answered.set()

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
        self._silences.pop(address, None)
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
        silence = self._silences.get(address)
        if result[0] and self._names.get(address, node.id) == node.id:
            self.welcome_if_new(node)
        elif result[0] or (silence and (silence.cut or silence.failures >= FAILURES_MAX)):
            self._drop(node)
        return result

    def is_cut(self, address: SocketAddress) -> bool:
        """Whether the last datagram there could not even leave."""
        silence = self._silences.get(address)
        return silence is not None and silence.cut

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
        happened, value = await self._call(address, "ping", [own_id])
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
        self._silences.pop(address, None)
        happened, value = await self.ping(address, self.source_node.id)
        return value if happened and isinstance(value, bytes) else None

    async def store(
        self, address: SocketAddress, own_id: bytes, key: bytes, value: bytes
    ) -> Result:
        return await self._call(address, "store", [own_id, key, value])

    async def find_node(self, address: SocketAddress, own_id: bytes, key: bytes) -> Result:
        happened, value = await self._call(address, "find_node", [own_id, key])
        return self._checked_nodes(address, value) if happened else FAILED

    async def find_value(self, address: SocketAddress, own_id: bytes, key: bytes) -> Result:
        happened, value = await self._call(address, "find_value", [own_id, key])
        if happened and isinstance(value, dict):
            try:
                return True, {"value": rpc.parse_values(value.get("value"))}
            except WireError:
                return self._bad_answer(address, "find_value")
        return self._checked_nodes(address, value) if happened else FAILED

    async def call_seek(self, node_to_ask: Node, key: bytes, hops: int) -> Result:
        address = (node_to_ask.ip, node_to_ask.port)
        result = await self._call(address, "seek", [self.source_node.id, key, hops])
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
        self._fail(address)
        return FAILED

    async def _call(self, address: SocketAddress, name: str, arguments: Sequence[object]) -> Result:
        """(True, the answer's value), or (False, None) after 2.5 s or when it cannot be sent."""
        silence = self._silences.get(address)
        if silence is not None and trio.current_time() < silence.until:
            self.counters["calls_spared"] += 1
            await trio.lowlevel.checkpoint()
            return FAILED
        message_id = os.urandom(ID_BYTES)
        datagram = rpc.pack_call(message_id, name, arguments)
        pending = self._calls[message_id] = _Pending()
        self.counters[f"called_{name}"] += 1
        try:
            answered = await self._transmit(datagram, address, pending)
        except LinkError as error:
            self.refuse("unreachable", str(error), address)
            self._fail(address, cut=True)
            return FAILED
        finally:
            del self._calls[message_id]
        if not answered:
            self._fail(address)
            return FAILED
        self._silences.pop(address, None)
        return True, pending.value

    async def _transmit(self, datagram: bytes, address: SocketAddress, pending: _Pending) -> bool:
        for number, wait_s in enumerate(WAITS_S):
            await self.send(datagram, address)
            self.counters["retransmitted"] += number > 0
            with trio.move_on_after(wait_s):
                await pending.answered.wait()
                return True
        return False

    async def send(self, datagram: bytes, address: SocketAddress) -> None:
        self.counters["datagrams_out"] += 1
        self.counters["bytes_out"] += len(datagram)
        await self._link.send(datagram, address)

    def _fail(self, address: SocketAddress, *, cut: bool = False) -> None:
        self.counters["calls_failed"] += 1
        silence = self._silences.setdefault(address, _Silence())
        silence.failures += 1
        silence.cut = cut
        if silence.failures >= FAILURES_MAX and not cut:
            doublings = min(silence.failures - FAILURES_MAX, 8)
            silence.until = trio.current_time() + min(SILENCE_FIRST_S * 2**doublings, SILENCE_MAX_S)
        if len(self._silences) > _SILENT_MAX:
            self._silences.popitem(last=False)
