"""The mesh key on a node: kept durably, changed, and passed on to whoever lacks the newest.

Keys go in bundles to the nodes' service `mesh-keys` (radics_mesh.node.key_messages), each sealed to
its receiver, with the statement of who made it (radics_mesh.rotations; which key counts:
radics_mesh.keyring). Who asks or answers gets the live keys that it has not named, once this node
knows the revocations that the keys' makers knew.

Neighbours compare at each contact, which needs sessions alone, no mesh key: so a node that was away
gets in again, and the halves of a partition each other's keys. Who makes a key sends it to every
member that it knows; what is news goes on to all neighbours. What each holds as the newest stands
in its own record: that is its confirmation.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import structlog
import trio
from nacl.bindings import randombytes

from radics_mesh.clock import Clock
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.wire.bundle import EXPEDITED
from radics_mesh.errors import MeshError, PeerError, UsageError, WireError
from radics_mesh.identity import Identity
from radics_mesh.ids import NodeId
from radics_mesh.keyring import Keyring
from radics_mesh.me import Me
from radics_mesh.membership import Mesh, Verifier
from radics_mesh.node.key_messages import Box, Kind, Message, boxed, said_in
from radics_mesh.private import read_private, write_private
from radics_mesh.records import Record
from radics_mesh.revocations import Revocations
from radics_mesh.rotations import SECRET_BYTES, Rotation, rotate

log = structlog.get_logger(__name__)

SERVICE = "mesh-keys"
FILE_NAME = "mesh-keys.msgpack"
# Contacts come in bursts when a node starts, and one that was just lost comes again.
_SETTLE_S = 0.05
# While an older key is live: whether all have confirmed is looked at so often.
_LOOK_S = 1.0
# What is compared is old after this; a key may have to wait for nodes that are long out of reach.
_LIFETIME_S = 600
_NEWS_LIFETIME_S = 30 * 86400
# So many nodes are sent a new key by the one that makes it; others get it from those.
_TOLD_MAX = 256
_ASKED_MAX = 1024


class Rekeying:
    """Made before the datagrams' link; `attach` to the agent, then `run` beside it.

    `counters`: learned, refused_* by reason. `changed` is called when other keys are live than
    before, once that is durable.
    """

    def __init__(self, me: Me, state: Path, revocations: Revocations) -> None:
        """UsageError when the file is damaged."""
        self.ring = Keyring(me.mesh, revocations)
        self.counters: Counter[str] = Counter()
        self.changed: Callable[[], None] = lambda: None
        self._me = me
        self._path = state / FILE_NAME
        self._members: Callable[[], list[Record]] = list
        self._told: set[NodeId] = set()
        # Chains that neighbours have shown: their records may not be here yet.
        self._keys: OrderedDict[NodeId, bytes] = OrderedDict()
        self._asked: OrderedDict[tuple[NodeId, bytes], None] = OrderedDict()
        self._to_ask: set[NodeId] = set()
        self._woken = trio.Event()
        self._agent: Agent | None = None
        self._load()

    def attach(self, agent: Agent, members: Callable[[], list[Record]]) -> None:
        """`members`: what every node last said of itself."""
        self._agent = agent
        self._members = members
        agent.follow_contacts(self._contacts_changed)
        agent.register(self._me.node_id.service(SERVICE), self._take)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            self._woken = trio.Event()
            if self._has_news():
                for peer in sorted(self._neighbours() - self._told):
                    self._told.add(peer)
                    await self._send(peer, Kind.QUESTION)
            while self._to_ask:
                await self._send(self._to_ask.pop(), Kind.QUESTION)
            self._settle()
            with trio.move_on_after(_LOOK_S if len(self.ring.live()) > 1 else float("inf")):
                await self._woken.wait()
                await trio.sleep(_SETTLE_S)

    async def rotate(self, signer: Identity, chain: bytes, overlap_s: int) -> Rotation:
        """Make a new mesh key: durable, in use here, and on its way to all members that are known,
        when this returns. UsageError when the signer may not."""
        secret = randombytes(SECRET_BYTES)
        clock = self._me.clock
        statement = rotate(
            signer,
            chain,
            self._me.mesh,
            secret,
            epoch=self.ring.next_epoch(),
            overlap_s=overlap_s,
            when=clock.wall(),
            knows=self.ring.tags(),
        )
        self.ring.add(statement, secret, clock.monotonic())
        self._use()
        members = {one.publisher for one in self._members() if self._is_member(one)}
        for node in sorted((members | self._neighbours()) - {self._me.node_id})[:_TOLD_MAX]:
            await self._pass_on(node)
        return statement

    # --- who holds what -------------------------------------------------------------------------

    def said(self) -> list[object]:
        """For this node's own record: what it holds as the newest key."""
        newest = self.ring.newest
        return [newest.epoch, newest.key_id[:8]]

    def epoch_of(self, record: Record) -> int:
        """The epoch that a node says it has; 0 where it says none."""
        said = said_in(record)
        return said[0] if said else 0

    def holds_newest(self, record: Record) -> bool:
        newest = self.ring.newest
        said = said_in(record)
        return newest.epoch == 0 if said is None else said == (newest.epoch, newest.key_id[:8])

    def waiting(self) -> list[NodeId]:
        """Members that have not yet said that they hold the newest key."""
        return [
            one.publisher
            for one in self._members()
            if one.publisher != self._me.node_id
            and self._is_member(one)
            and not self.holds_newest(one)
        ]

    def heard(self, record: Record) -> None:
        """A node has said what it holds: perhaps what this one lacks."""
        said = said_in(record)
        newest = self.ring.newest
        if said is None or said[0] < newest.epoch or said == (newest.epoch, newest.key_id[:8]):
            return
        name = record.publisher, said[1]
        if name in self._asked or any(key.key_id[:8] == said[1] for key in self.ring.live()):
            return
        self._asked[name] = None
        if len(self._asked) > _ASKED_MAX:
            self._asked.popitem(last=False)
        self._to_ask.add(record.publisher)
        self._woken.set()

    def revocations_changed(self) -> None:
        """Another key may be the newest now, and some may be passed on that could not."""
        self._told.clear()
        self._settle()
        self._woken.set()

    def _is_member(self, record: Record) -> bool:
        try:
            self._me.verifier.member(record.chain, self._me.clock.wall())
        except (WireError, PeerError):
            return False
        return True

    def _has_news(self) -> bool:
        """A mesh that is in its first epoch says nothing."""
        return self.ring.newest.epoch > 0

    def _settle(self) -> None:
        confirmed = not self.waiting()
        if self.ring.settle(self._me.clock.monotonic(), confirmed=confirmed):
            self._use()

    # --- others ---------------------------------------------------------------------------------

    def _neighbours(self) -> set[NodeId]:
        contacts = self._agent.contacts() if self._agent else ()
        return {contact.peer for contact in contacts if isinstance(contact.peer, NodeId)}

    def _contacts_changed(self) -> None:
        self._told &= self._neighbours()
        self._woken.set()

    async def _take(self, delivery: Delivery) -> None:
        """WireError, PeerError: the agent counts it and drops the bundle."""
        peer = delivery.signer
        if peer is None:
            raise PeerError("mesh keys that nobody signed")
        message = Message.parse(delivery.payload)
        if message.kind is not Kind.NEWS:
            self._meet(peer, message.chain)
        if self._learn(message.boxes):
            for neighbour in sorted(self._neighbours() - {peer}):
                await self._pass_on(neighbour)
        if message.kind is Kind.NEWS:
            return
        if message.kind is Kind.QUESTION and message.ids - self.ring.stated():
            await self._send(peer, Kind.ANSWER)
        await self._pass_on(peer, message.ids)

    def _meet(self, peer: NodeId, chain: bytes) -> None:
        """PeerError unless it is a member, and its own chain. Now this node knows its key."""
        member = self._me.verifier.member(chain, self._me.clock.wall())
        if member.node_id != peer:
            raise PeerError("a question for mesh keys with another node's chain")
        self._keys[peer] = chain
        if len(self._keys) > _ASKED_MAX:
            self._keys.popitem(last=False)

    def _learn(self, boxes: Iterable[Box]) -> bool:
        """Whether some were news; those are on the medium. What is bad is counted."""
        learned = 0
        for packed, box in boxes:
            try:
                statement = Rotation.parse(packed)
                secret = self._me.identity.unseal(box)
                learned += self.ring.add(statement, secret, self._me.clock.monotonic())
            except (WireError, PeerError) as error:
                reason = f"refused_{type(error).__name__}"
                self.counters[reason] += 1
                if self.counters[reason] == 1:
                    log.warning("mesh key refused", reason=str(error))
        if learned:
            self.counters["learned"] += learned
            self._use()
        return learned > 0

    async def _pass_on(self, node: NodeId, has: frozenset[bytes] = frozenset()) -> None:
        """The live keys but those, sealed to that member; a question where its key is not known."""
        keys = [key for key in self.ring.passable() if key.key_id not in has]
        public = self._public_of(node)
        if keys and public is not None:
            await self._send(node, Kind.NEWS, [boxed(key, public) for key in keys])
        elif keys:
            await self._send(node, Kind.QUESTION)

    def _public_of(self, node: NodeId) -> bytes | None:
        """None while it is not known, and when it is no member (any more)."""
        chains = [one.chain for one in self._members() if one.publisher == node]
        for chain in (*chains, self._keys.get(node, b"")):
            try:
                member = self._me.verifier.member(chain, self._me.clock.wall())
            except (WireError, PeerError):
                continue
            if member.node_id == node:
                return member.public
        return None

    async def _send(self, node: NodeId, kind: Kind, boxes: Sequence[Box] = ()) -> None:
        if kind is Kind.NEWS:
            message, lifetime_s = Message(kind, boxes=tuple(boxes)), _NEWS_LIFETIME_S
        else:
            ids = frozenset(self.ring.stated())
            message, lifetime_s = Message(kind, self._me.chain, ids), _LIFETIME_S
        if self._agent is None:
            raise UsageError("mesh keys are attached to no agent")
        try:
            await self._agent.send(
                node.service(SERVICE),
                message.pack(),
                lifetime_s=lifetime_s,
                priority=EXPEDITED,
            )
        except MeshError as error:  # a full store; neighbours compare again at a contact
            log.warning("mesh keys not sent", peer=node.text, reason=str(error))

    # --- the medium -----------------------------------------------------------------------------

    def _use(self) -> None:
        """On the medium first: before a key is used, confirmed or passed on."""
        clock = self._me.clock
        write_private(self._path, self.ring.pack(clock.monotonic(), clock.wall()))
        self.changed()
        # From now on it may be time for an older key to end.
        self._woken.set()

    def _load(self) -> None:
        clock = self._me.clock
        if not self._path.exists():
            return
        packed = read_private(self._path)
        try:
            self.ring.load(packed, clock.monotonic(), clock.wall())
        except MeshError as error:
            raise UsageError(
                f"{self._path} is damaged ({error}); remove it: members will send the keys again"
            ) from error


def keep_given(state: Path, mesh: Mesh, given: Sequence[tuple[int, bytes]], clock: Clock) -> None:
    """What a new member was given, durably, in the place of what was there."""
    ring = Keyring(mesh, Revocations(Verifier(mesh)))
    now = clock.monotonic()
    if given:
        ring.admitted_with(given, now)
    write_private(state / FILE_NAME, ring.pack(now, clock.wall()))
