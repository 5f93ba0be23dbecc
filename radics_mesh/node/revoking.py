"""Revocations on a node: kept durably, and passed on to whoever lacks some.

Neighbours compare what they know at each contact, by bundles to each other's service:

  [kind, names, statements]   kind 2 asks, 1 answers that, 0 brings news and names none

Who gets names sends the statements that are missing in them, and answers a question with its own
names, so that it gets what it lacks. What is news goes on to all neighbours, and by the node that
revoked to every node that it knows, in reach or not. A node that knows of none begins nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog
import trio

from radics_mesh.codec import Fields, pack
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.wire.bundle import EXPEDITED
from radics_mesh.durable import write_durably
from radics_mesh.errors import CapacityError, MeshError, PeerError, UsageError, WireError
from radics_mesh.ids import NodeId
from radics_mesh.me import Me
from radics_mesh.revocations import (
    STATEMENT_MAX_BYTES,
    TAG_BYTES,
    TOTAL_MAX,
    Revocation,
    Revocations,
)

log = structlog.get_logger(__name__)

SERVICE = "revocations"
FILE_NAME = "revocations.msgpack"
_FORMAT = 1
_NEWS, _ANSWER, _QUESTION = 0, 1, 2
# Contacts come in bursts when a node starts, and one that was just lost comes again.
_SETTLE_S = 0.05
# Statements in one bundle.
_TOGETHER = 64
# What is compared is old after this; news may have to wait for nodes that are long out of reach.
_LIFETIME_S = 600
_NEWS_LIFETIME_S = 30 * 86400
# So many nodes are told by the one that revokes; others hear of it from those.
_TOLD_MAX = 256


class Revoking:
    """Made before anything that judges chains; `attach` to the agent, then `run` beside it.

    `counters`: learned, refused_* by reason. `heard` is called with what was learned, once durable.
    """

    def __init__(self, me: Me, state: Path) -> None:
        """UsageError when the file is damaged: nobody who was put out comes back by that."""
        self.known = Revocations(me.verifier)
        self.counters: Counter[str] = Counter()
        self.heard: Callable[[list[Revocation]], None] = lambda news: None
        self._me = me
        self._path = state / FILE_NAME
        self._told: set[NodeId] = set()
        self._woken = trio.Event()
        self._agent: Agent | None = None
        self._load()

    def attach(self, agent: Agent) -> None:
        self._agent = agent
        agent.follow_contacts(self._contacts_changed)
        agent.register(self._me.node_id.service(SERVICE), self._take)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            self._woken = trio.Event()
            if len(self.known):
                for peer in sorted(self._neighbours() - self._told):
                    self._told.add(peer)
                    await self._send(peer, _QUESTION, self._names())
            await self._woken.wait()
            await trio.sleep(_SETTLE_S)

    async def publish(self, statement: Revocation, nodes: Iterable[NodeId]) -> bool:
        """This node's own word: durable, counted here, and on its way to its neighbours and these
        nodes, when this returns. Whether it is news; errors as of Revocations.add."""
        if not self.known.add(statement):
            return False
        self._keep([statement])
        others = sorted({*self._neighbours(), *nodes} - {self._me.node_id})[:_TOLD_MAX]
        for node in others:
            await self._send(node, _NEWS, {}, [statement])
        self.heard([statement])
        return True

    # --- others -------------------------------------------------------------------------------

    def _neighbours(self) -> set[NodeId]:
        contacts = self._agent.contacts() if self._agent else ()
        return {contact.peer for contact in contacts if isinstance(contact.peer, NodeId)}

    def _contacts_changed(self) -> None:
        self._told &= self._neighbours()
        self._woken.set()

    def _names(self) -> dict[bytes, Revocation]:
        return {one.tag: one for one in self.known.all()}

    async def _take(self, delivery: Delivery) -> None:
        """WireError, PeerError: the agent counts it and drops the bundle."""
        peer = delivery.signer
        if peer is None:
            raise PeerError("revocations that nobody signed")
        kind, named, statements = _parse(delivery.payload)
        news = self._learn(statements)
        if news:
            for neighbour in sorted(self._neighbours() - {peer}):
                await self._send(neighbour, _NEWS, {}, news)
            self.heard(news)
        if kind == _NEWS:
            return
        own = self._names()
        if kind == _QUESTION and named - own.keys():
            await self._send(peer, _ANSWER, own)
        lacking = [one for name, one in own.items() if name not in named]
        if lacking:
            await self._send(peer, _NEWS, {}, lacking)

    def _learn(self, statements: Iterable[Revocation]) -> list[Revocation]:
        """Those that were news, on the medium. The others are counted."""
        news: list[Revocation] = []
        for statement in statements:
            try:
                if self.known.add(statement):
                    news.append(statement)
            except (WireError, PeerError, CapacityError) as error:
                reason = f"refused_{type(error).__name__}"
                self.counters[reason] += 1
                if self.counters[reason] == 1:
                    log.warning("revocation refused", reason=str(error))
        self._keep(news)
        return news

    async def _send(
        self,
        node: NodeId,
        kind: int,
        names: dict[bytes, Revocation],
        statements: list[Revocation] | None = None,
    ) -> None:
        packed = [one.pack() for one in statements or ()]
        for at in range(0, max(1, len(packed)), _TOGETHER):
            payload = pack([kind, list(names), packed[at : at + _TOGETHER]])
            lifetime_s = _NEWS_LIFETIME_S if kind == _NEWS else _LIFETIME_S
            try:
                await self._agent_here().send(
                    node.service(SERVICE), payload, lifetime_s=lifetime_s, priority=EXPEDITED
                )
            except MeshError as error:  # a full store; neighbours compare again at a contact
                log.warning("revocations not sent", peer=node.text, reason=str(error))
                return

    def _agent_here(self) -> Agent:
        if self._agent is None:
            raise UsageError("revocations are attached to no agent")
        return self._agent

    # --- the medium ---------------------------------------------------------------------------

    def _keep(self, news: list[Revocation]) -> None:
        """All that are known, on the medium: before the bundle that brought some is done with."""
        if news:
            self.counters["learned"] += len(news)
            packed = [one.pack() for one in self.known.all()]
            write_durably(self._path, pack([_FORMAT, packed]))

    def _load(self) -> None:
        if not self._path.exists():
            return
        limit = TOTAL_MAX * (STATEMENT_MAX_BYTES + 8)
        try:
            fields = Fields.parse(self._path.read_bytes(), "revocations", limit_bytes=limit)
            fields.integer(_FORMAT, _FORMAT)
            for statement in _statements(fields.items(limit=TOTAL_MAX)):
                # A node that has gone over to another mesh, say because the genesis key was lost.
                if statement.mesh_id == self._me.mesh.mesh_id:
                    self.known.add(statement)
            fields.end()
        except MeshError as error:
            raise UsageError(
                f"{self._path} is damaged ({error}); copy it from another member's state directory"
            ) from error


def _parse(payload: bytes) -> tuple[int, set[bytes], list[Revocation]]:
    fields = Fields.parse(payload, "revocations")
    kind = fields.integer(_NEWS, _QUESTION)
    items = fields.items(limit=TOTAL_MAX)
    named = {Fields([item], "name").blob(TAG_BYTES) for item in items}
    statements = _statements(fields.items(limit=_TOGETHER))
    fields.end()
    return kind, named, statements


def _statements(items: list[object]) -> list[Revocation]:
    blobs = [Fields([item], "revocation").blob(limit=STATEMENT_MAX_BYTES) for item in items]
    return [Revocation.parse(blob) for blob in blobs]
