"""What a node answers to others, and how it asks them.

Nothing in `handle` waits, blocks or raises. Work that takes calls of its own is started as a
bounded job (contacts, hand-over); what is to be sent besides the answer goes out by `post`. Every
remote procedure may be repeated without harm.

No answer is longer than its call before the caller's address has proved to be its own (checks);
nobody is served more than its share (limits); and whoever is asked for the first time proves in its
answer that it is the member whose id it bears (proofs), where the mesh has members at all: among
stock nodes, which have no keys, `me` is None and an id is what its bearer says.
"""

from __future__ import annotations

import os
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import trio
from kademlia.node import Node
from kademlia.protocol import KademliaProtocol

from radics_mesh.codec import Fields
from radics_mesh.dht import rpc
from radics_mesh.dht.calls import FAILED, Calls, Result
from radics_mesh.dht.checks import Checks
from radics_mesh.dht.contacts import Contacts
from radics_mesh.dht.limits import Limits
from radics_mesh.dht.proofs import prove, prover
from radics_mesh.dht.store import ValueStore
from radics_mesh.dht.table import ExactTable
from radics_mesh.errors import CapacityError, LinkError, PeerError, WireError
from radics_mesh.ids import ID_BYTES
from radics_mesh.jobs import Jobs
from radics_mesh.link import DatagramLink, SocketAddress
from radics_mesh.me import Me
from radics_mesh.scopes import may_tell

# A proved id is proved again so often: its membership may have ended.
IDENTIFIED_S = 600.0
_IDENTIFIED_MAX = 4096
# Datagrams that wait to be posted; more are dropped, as any may be.
_POST_MAX = 256


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
        me: Me | None = None,
    ) -> None:
        super().__init__(source_node, storage, ksize)
        self.router = ExactTable(self, ksize, source_node)
        self.storage: ValueStore = storage
        self.counters: Counter[str] = Counter()
        self.seek: Callable[[bytes, int], bool] = lambda key, hops: False
        self._me = me
        self._calls = Calls(link, self.counters)
        self.refuse = self._calls.refuse
        self.send = self._calls.send
        self.is_cut = self._calls.is_cut
        self.checks = Checks()
        self._limits = Limits()
        self._identified: OrderedDict[SocketAddress, tuple[bytes, float]] = OrderedDict()
        self._posting, self._posted = trio.open_memory_channel[tuple[bytes, SocketAddress]](
            _POST_MAX
        )
        self.contacts = Contacts(
            source_node,
            self.router,
            self._calls,
            asker=self,
            jobs=jobs,
            met=met,
            hand_over=self._hand_over,
            is_identified=self._is_identified,
            counters=self.counters,
        )
        self.doubt = self.contacts.doubt
        self.crowd = self.contacts.crowd
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
        if datagram[:1] != b"\1" and not self._allows(sender):
            return None
        try:
            message = rpc.parse(datagram)
            if isinstance(message, rpc.Answer):
                self._settle(message)
                return None
            return self._serve(message, sender, room=len(datagram))
        except WireError as error:
            self.refuse("malformed", str(error), sender)
            return None

    def _allows(self, sender: SocketAddress, cost: float = 1.0) -> bool:
        now = trio.current_time()
        proved = self.checks.is_proved(sender, now)
        if self._limits.allows(sender, proved=proved, now=now, cost=cost):
            return True
        self.refuse("flooded", "more calls than it may make", sender)
        return False

    def _settle(self, answer: rpc.Answer) -> None:
        check = self.checks.settle(answer.message_id, trio.current_time())
        if check is None:
            self._calls.settle(answer)
            return
        if not (isinstance(answer.value, bytes) and len(answer.value) == ID_BYTES):
            self.refuse("malformed_answers", "ping", check.address)
            return
        self.contacts.name(check.address, answer.value)
        self.contacts.present(Node(answer.value, *check.address))
        if check.call is not None:
            waiting = self._serve(check.call, check.address, room=rpc.DATAGRAM_MAX_BYTES)
            if waiting is not None:
                self._post(waiting, check.address)

    def _serve(self, call: rpc.Call, sender: SocketAddress, room: int) -> bytes | None:
        """The answer; None when there is none yet, because its `room` would not do."""
        procedure = self._procedures.get(call.name)
        if procedure is None:
            raise WireError(f"no procedure {call.name!r}")
        answer = procedure(sender, Fields(call.arguments, call.name))
        if call.flags & rpc.HELLO:
            self.contacts.greeted(Fields(call.arguments, call.name).blob(ID_BYTES), sender)
        self.counters[f"served_{call.name}"] += 1
        packed = rpc.pack_answer(call.message_id, answer)
        if call.flags & rpc.PROVE and self._me is not None:
            packed = prove(self._me, packed)
        if len(packed) > room and not self.checks.is_proved(sender, trio.current_time()):
            self.counters["answers_deferred"] += 1
            self._check(sender, call)
            return None
        return packed

    def _caller(self, sender: SocketAddress, fields: Fields) -> Node:
        """Who calls, by its own account: everybody names itself first."""
        node = Node(fields.blob(ID_BYTES), *sender)
        unproved = not self.checks.is_proved(sender, trio.current_time())
        if self.contacts.claims(node) or (unproved and rpc.is_usable(sender)):
            self._check(sender, None)
        return node

    def _check(self, address: SocketAddress, call: rpc.Call | None) -> None:
        """Ask an address, once, who is there. No longer than any call that names a caller."""
        message_id = os.urandom(ID_BYTES)
        if self.checks.begin(address, message_id, call, trio.current_time()):
            self.counters["checks"] += 1
            self._post(rpc.pack_call(message_id, "ping", [self.source_node.id]), address)

    def _post(self, datagram: bytes, address: SocketAddress) -> None:
        try:
            self._posting.send_nowait((datagram, address))
        except trio.WouldBlock:
            self.counters["unposted"] += 1

    async def post(self) -> None:
        """Send what is to be sent of itself, until cancelled."""
        async for datagram, address in self._posted:
            try:
                await self.send(datagram, address)
            except LinkError as error:
                self.refuse("unanswerable", str(error), address)

    def _answer_ping(self, sender: SocketAddress, fields: Fields) -> bytes:
        self._caller(sender, fields)
        return bytes(self.source_node.id)

    def _answer_store(self, sender: SocketAddress, fields: Fields) -> bool:
        self._caller(sender, fields)
        key, values = fields.blob(ID_BYTES), rpc.parse_values(fields.any())
        if len(values) > 1 and not self._allows(sender, len(values) - 1):
            return False
        if self._is_far(Node(key)):
            self.refuse("store_far", "others are much closer to the key", sender)
            return False
        return any([self._take(key, value, sender) for value in values])

    def _is_far(self, target: Node) -> bool:
        """Whether so many contacts are closer to a key that nobody in order would store it here.
        A few more than k, since some of them may have died."""
        bound = self.router.ksize + self.router.ksize // 4
        own: int = self.source_node.distance_to(target)
        closer = [node for node in self.router.contacts() if node.distance_to(target) < own]
        return bool(len(closer) >= bound)

    def _take(self, key: bytes, value: bytes, sender: SocketAddress) -> bool:
        try:
            self.storage[key] = value
        except (WireError, PeerError, CapacityError) as error:
            self.refuse(f"store_{type(error).__name__}", str(error), sender)
            return False
        self.counters["stored"] += 1
        return True

    def _answer_find_node(self, sender: SocketAddress, fields: Fields) -> object:
        caller = self._caller(sender, fields)
        return self._closest(Node(fields.blob(ID_BYTES)), caller)

    def _closest(self, target: Node, caller: Node) -> object:
        at = (caller.ip, caller.port)
        told = [
            (node.id, self.contacts.homes.for_caller(node.id, (node.ip, node.port), at))
            for node in self.router.find_neighbors(target, exclude=caller)
        ]
        return rpc.pack_nodes((node_id, address) for node_id, address in told if address)

    def _answer_find_value(self, sender: SocketAddress, fields: Fields) -> object:
        caller = self._caller(sender, fields)
        key = fields.blob(ID_BYTES)
        values = self.storage.values(key)
        return {"value": rpc.pack_values(values)} if values else self._closest(Node(key), caller)

    def _answer_seek(self, sender: SocketAddress, fields: Fields) -> bool:
        self._caller(sender, fields)
        return self.seek(fields.blob(ID_BYTES), fields.integer(0, 8))

    # --- values that others should hold -------------------------------------------------------

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

    # --- who answers --------------------------------------------------------------------------

    def _is_identified(self, node_id: bytes, address: SocketAddress) -> bool:
        if self._me is None:
            return self.contacts.name_of(address) == node_id
        known, since = self._identified.get(address, (b"", 0.0))
        return known == node_id and trio.current_time() - since < IDENTIFIED_S

    def _identify(self, address: SocketAddress, answer: rpc.Answer) -> bytes:
        """Who proves to be there; WireError or PeerError."""
        assert self._me is not None
        node_id = bytes(prover(self._me, answer))
        self._identified[address] = (node_id, trio.current_time())
        self._identified.move_to_end(address)
        if len(self._identified) > _IDENTIFIED_MAX:
            self._identified.popitem(last=False)
        self.contacts.name(address, node_id)
        return node_id

    # --- outgoing -----------------------------------------------------------------------------

    async def _ask(
        self,
        address: SocketAddress,
        name: str,
        arguments: Sequence[object],
        who: bytes | None,
    ) -> rpc.Answer | None:
        """None: no answer, or not from `who`. Anybody not yet identified there must prove it."""
        now = trio.current_time()
        wanted = self._me is not None and (who is None or not self._is_identified(who, address))
        answer = await self._calls.ask(
            address,
            name,
            [self.source_node.id, *arguments],
            flags=rpc.PROVE if wanted else 0,
            room=self._room(address, name, now, proved=wanted),
        )
        if answer is None:
            return None
        self.checks.prove(address, trio.current_time())
        if wanted:
            try:
                who_answers = self._identify(address, answer)
            except (WireError, PeerError) as error:
                self.refuse("unproved_ids", str(error), address)
                return None
            if who not in (None, who_answers):
                self.refuse("other_ids", "not who it is said to be", address)
                return None
        return answer

    def _room(self, address: SocketAddress, name: str, now: float, *, proved: bool) -> int:
        if proved:
            return rpc.ROOM_PROVED_BYTES
        if name.startswith("find") and not self.checks.is_proved(address, now):
            return rpc.ROOM_BYTES
        return 0

    async def _call(self, node: Node, name: str, *arguments: object) -> Result:
        address = (node.ip, node.port)
        answer = await self._ask(address, name, arguments, node.id)
        if answer is None:
            self.contacts.failed(node)
            return FAILED
        self._answered(node)
        return True, answer.value

    def _answered(self, node: Node) -> None:
        """Its address answered; among stock nodes that does not say who is there."""
        address = (node.ip, node.port)
        name = self.contacts.name_of(address)
        if name is None:
            self._check(address, None)
        elif name == node.id:
            self.contacts.present(node)
        else:
            self.contacts.drop(node)

    async def call_ping(self, node_to_ask: Node) -> Result:
        """As the stock one, but whoever answers under another id has taken the address over."""
        address = (node_to_ask.ip, node_to_ask.port)
        found = await self._ping(address, node_to_ask.id)
        if found is None:
            self.contacts.failed(node_to_ask)
        elif found == node_to_ask.id:
            self.contacts.present(node_to_ask)
        return (True, found) if found == node_to_ask.id else FAILED

    async def probe(self, address: SocketAddress) -> bytes | None:
        """The id of whoever answers there, proved, however long it has been silent."""
        self._calls.alive(address)
        return await self._ping(address, None)

    async def hail(self, address: SocketAddress) -> bytes | None:
        """As `probe`, saying that this node has just come. In short first: most addresses that
        are tried again and again are nobody's for long."""
        self._calls.alive(address)
        answer = await self._calls.ask(address, "ping", [self.source_node.id], flags=rpc.HELLO)
        return await self.probe(address) if answer is not None else None

    async def _ping(self, address: SocketAddress, who: bytes | None) -> bytes | None:
        answer = await self._ask(address, "ping", [], who)
        if answer is None:
            return None
        if not (isinstance(answer.value, bytes) and len(answer.value) == ID_BYTES):
            self._bad_answer(address, "ping")
            return None
        if self._me is None:
            self.contacts.name(address, answer.value)
        return self.contacts.name_of(address)

    async def call_store(self, node_to_ask: Node, key: bytes, value: bytes) -> Result:
        return await self._call(node_to_ask, "store", key, value)

    async def call_find_node(self, node_to_ask: Node, node_to_find: Node) -> Result:
        """(True, [(id, host, port), ...]) or FAILED."""
        result = await self._call(node_to_ask, "find_node", node_to_find.id)
        return self._checked_nodes(_address(node_to_ask), result[1]) if result[0] else FAILED

    async def call_find_value(self, node_to_ask: Node, node_to_find: Node) -> Result:
        """As `call_find_node`, or (True, {"value": values})."""
        address = _address(node_to_ask)
        happened, value = await self._call(node_to_ask, "find_value", node_to_find.id)
        if happened and isinstance(value, dict):
            try:
                return True, {"value": rpc.parse_values(value.get("value"))}
            except WireError:
                return self._bad_answer(address, "find_value")
        return self._checked_nodes(address, value) if happened else FAILED

    async def call_seek(self, node_to_ask: Node, key: bytes, hops: int) -> Result:
        return await self._call(node_to_ask, "seek", key, hops)

    async def ask_own_address(self, node: Node) -> SocketAddress | None:
        """As which address a contact sees this node; None when it does not say (rpcudp's `stun`
        takes no arguments, and so does not name its caller)."""
        answer = await self._calls.ask(_address(node), "stun", [])
        value = answer.value if answer is not None else None
        if not (isinstance(value, list) and len(value) == 2):
            return None
        host, port = value
        if isinstance(host, str) and isinstance(port, int) and rpc.is_usable((host, port)):
            return host, port
        return None

    def _checked_nodes(self, address: SocketAddress, value: object) -> Result:
        try:
            nodes = rpc.parse_nodes(value)
        except WireError:
            return self._bad_answer(address, "nodes")
        own = self.source_node.id
        usable = [
            (node_id, at) for node_id, at in nodes if node_id != own and may_tell(at[0], address[0])
        ]
        for node_id, at in usable:
            if node_id not in self.contacts.heard:
                self.contacts.hear(node_id, at)
        return True, [(node_id, *at) for node_id, at in usable]

    def _bad_answer(self, address: SocketAddress, what: str) -> Result:
        self.refuse("malformed_answers", what, address)
        self._calls.failed(address)
        return FAILED


def _address(node: Node) -> SocketAddress:
    return node.ip, node.port
