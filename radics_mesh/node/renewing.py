"""Renewal on a node: it asks in time, answers those below it, and keeps what it got.

  [kind, chain]   kind 1 asks, with the chain that will end; 2 gives another one

Both are bundles to a service of this name, so they wait for contacts and go by sticks. Of those
above it a node asks its inviter first; each time that nothing came, one more above that one.

A revocation by an inviter counts in chains through it, and a renewal from higher up is none. So who
renews others' guests keeps the chains that they had, and when somebody turns out to be revoked in
one, revokes it itself. For that it must be allowed to operate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog
import trio

from radics_mesh import renewals
from radics_mesh.clock import Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.wire.bundle import EXPEDITED
from radics_mesh.durable import write_durably
from radics_mesh.errors import MeshError, PeerError, UsageError, WireError
from radics_mesh.identity import Identity
from radics_mesh.ids import NodeId
from radics_mesh.me import Me
from radics_mesh.membership import CHAIN_MAX_BYTES, Chain

log = structlog.get_logger(__name__)

SERVICE = "renewal"
FILE_NAME = "renewed.msgpack"
_FORMAT = 1
_ASK, _GIVE = 1, 2
# How often a node looks whether it is time, and asks again when nothing came.
LOOK_EVERY_S = 600.0
_LIFETIME_S = 14 * 86400
# Chains of others' guests that are kept. The oldest go.
_FORMER_MAX = 1024

Revoke = Callable[[Chain], Awaitable[None]]


class Renewing:
    """`attach` to the agent, then `run` beside it.

    `counters`: asked, given, taken, refused. `keep` makes this node's new chain durable, and is
    called before it is shown to anybody; `renewed` after that. `revoke` puts a member out.
    """

    def __init__(
        self, me: Me, state: Path, keep: Callable[[Chain], None], genesis: Identity | None
    ) -> None:
        """UsageError when the file is damaged."""
        self.counters: Counter[str] = Counter()
        self.renewed: Callable[[Chain], None] = lambda chain: None
        self.revoke: Revoke | None = None
        self._me = me
        self._path = state / FILE_NAME
        self._keep = keep
        self._genesis = genesis
        self._agent: Agent | None = None
        self._woken = trio.Event()
        # How many above this node are asked by now.
        self._reach = 0
        # By key: the chain that a guest of others had when it was renewed here.
        self._former = self._load()

    def attach(self, agent: Agent) -> None:
        self._agent = agent
        agent.register(self._me.node_id.service(SERVICE), self._take)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        while True:
            self._woken = trio.Event()
            await self._put_out()
            await self.look()
            with trio.move_on_after(LOOK_EVERY_S):
                while True:
                    await self._woken.wait()
                    self._woken = trio.Event()
                    await self._put_out()

    def _now(self) -> Wall:
        """The latest that it may be. Too early costs a question; too late, the membership."""
        return max(self._me.judged(), self._me.clock.wall())

    def revocations_changed(self) -> None:
        self._woken.set()

    async def look(self) -> None:
        """Ask for another certificate when this one will end soon; the founder makes its own."""
        now, chain = self._now(), Chain.parse(self._me.chain)
        if not renewals.is_due(chain, now):
            return
        if len(chain.certificates) == 1:
            if self._genesis is not None and self._genesis.public == self._me.mesh.genesis:
                self._accept(renewals.renew_founder(self._genesis, chain, now))
            return
        asked = renewals.above(chain)
        self._reach = min(self._reach + 1, len(asked))
        for node in asked[: self._reach]:
            self.counters["asked"] += 1
            await self._send(node, _ASK, chain)

    async def _put_out(self) -> None:
        """Whoever was renewed here although it had been revoked is put out by this node."""
        for public, former in list(self._former.items()):
            if self._me.verifier.revoked_in(former) is None:
                continue
            if self.revoke is not None:
                await self.revoke(former)
            del self._former[public]
            self._save()

    # --- others ---------------------------------------------------------------------------------

    async def _take(self, delivery: Delivery) -> None:
        """WireError, PeerError: the agent counts it and drops the bundle."""
        peer = delivery.signer
        if peer is None:
            raise PeerError("a renewal that nobody signed")
        fields = Fields.parse(delivery.payload, "renewal")
        kind = fields.integer(_ASK, _GIVE)
        chain = Chain.parse(fields.blob(limit=CHAIN_MAX_BYTES))
        fields.end()
        if kind == _ASK:
            await self._answer(chain, peer)
            return
        own = Chain.parse(self._me.chain)
        renewals.check_given(self._me.mesh, own, chain, peer, self._me.judged())
        if self._me.verifier.revoked_in(chain) is not None:
            raise PeerError("a certificate by somebody who was revoked")
        self.counters["taken"] += 1
        self._accept(chain)

    async def _answer(self, theirs: Chain, peer: NodeId) -> None:
        now = self._me.clock.wall()
        member = self._me.verifier.member(theirs.pack(), now)  # not if it was revoked
        if member.node_id != peer:
            raise PeerError("somebody asks for another's certificate")
        own = Chain.parse(self._me.chain)
        try:
            given = renewals.renew(self._me.identity, own, theirs, self._now())
        except UsageError as error:  # it asks again, and perhaps then we can
            self.counters["refused"] += 1
            log.info("not renewed", node=peer.text, reason=str(error))
            return
        if theirs.certificates[-2].public != self._me.identity.public:
            self._former.pop(member.public, None)
            self._former[member.public] = theirs
            self._save()
        self.counters["given"] += 1
        await self._send(peer, _GIVE, given)

    async def _send(self, node: NodeId, kind: int, chain: Chain) -> None:
        if self._agent is None:
            raise UsageError("renewals are attached to no agent")
        payload = pack([kind, chain.pack()])
        try:
            await self._agent.send(
                node.service(SERVICE), payload, lifetime_s=_LIFETIME_S, priority=EXPEDITED
            )
        except MeshError as error:  # a full store; it is asked again
            log.warning("renewal not sent", peer=node.text, reason=str(error))

    def _accept(self, chain: Chain) -> None:
        self._keep(chain)
        self._me.renew(chain)
        self._reach = 0
        log.info("certificate renewed", until=int(chain.until))
        self.renewed(chain)

    # --- the medium -----------------------------------------------------------------------------

    def _save(self) -> None:
        """Before a certificate is given that a revocation could not reach otherwise."""
        for public in list(self._former)[:-_FORMER_MAX]:
            del self._former[public]
        write_durably(self._path, pack([_FORMAT, [c.pack() for c in self._former.values()]]))

    def _load(self) -> dict[bytes, Chain]:
        if not self._path.exists():
            return {}
        try:
            limit = _FORMER_MAX * (CHAIN_MAX_BYTES + 8)
            fields = Fields.parse(self._path.read_bytes(), "renewed", limit_bytes=limit)
            fields.integer(_FORMAT, _FORMAT)
            items = fields.items(limit=_FORMER_MAX)
            fields.end()
            blobs = [Fields([item], "renewed").blob(limit=CHAIN_MAX_BYTES) for item in items]
            chains = [Chain.parse(blob) for blob in blobs]
        except WireError as error:
            raise UsageError(
                f"{self._path} is damaged ({error}); remove it, and look at `members` whether"
                " somebody that was revoked is in again"
            ) from error
        return {chain.member.public: chain for chain in chains}
