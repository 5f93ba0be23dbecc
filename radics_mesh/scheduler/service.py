"""Trio shell: reads, decides each second and at each invitation, has the VM moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import structlog
import trio

from radics_mesh.clock import Clock
from radics_mesh.directory.service import Directory
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.errors import CapacityError, MeshError, PeerError, WireError
from radics_mesh.hosting.status import MoveStats, VmStatus
from radics_mesh.ids import NodeId, VmId
from radics_mesh.records import Kind
from radics_mesh.scheduler.cost import BANDWIDTH_BYTES_S, PAUSE_S
from radics_mesh.scheduler.decide import Decision, Hotspot, Settings, Situation, decide
from radics_mesh.scheduler.explain import explain
from radics_mesh.scheduler.facts import NEAR, ON, NodeFacts, VmFacts
from radics_mesh.scheduler.invite import Invite
from radics_mesh.scheduler.paths import Paths
from radics_mesh.scheduler.traffic import Traffic
from radics_mesh.sources.bell import Bell
from radics_mesh.sources.service import Sources

log = structlog.get_logger(__name__)

SERVICE = "scheduler"
DECIDE_EVERY_S = 1.0
# The same VM is invited again after this; an older invitation is not worth delivering.
INVITE_EVERY_S = 15.0
INVITE_LIFETIME_S = 30
# What an inviter said of itself is fresh for so long.
TOLD_FOR_S = 60.0
# A move that failed is not tried again with the same node before this.
REFUSED_FOR_S = 60.0
# A pause that moved less says nothing of how fast the way is.
_TELLING_BYTES = 256 << 10
RUNNING = "running"


class Hosting(Protocol):
    """The floor below, as far as the scheduler uses it."""

    def vms(self) -> Sequence[VmStatus]: ...

    async def migrate(self, name: str, target: NodeId) -> MoveStats:
        """Hand the VM over; returns when the target has said so. MeshError: it goes on here."""


class Scheduler:
    """See the package. `describe` gives the body of this node's own record, as of now."""

    def __init__(
        self,
        *,
        me: NodeId,
        agent: Agent,
        directory: Directory,
        sources: Sources,
        hosting: Hosting,
        describe: Callable[[], Mapping[str, object]],
        settings: Settings,
        overload: float,
        clock: Clock,
        is_gone: Callable[[NodeId], bool] = lambda node: False,
    ) -> None:
        """`is_gone`: whether a node does not answer any more, however fresh its record is."""
        self.counters: Counter[str] = Counter()
        self.settings = settings
        self._me = me
        self._agent = agent
        self._directory = directory
        self._sources = sources
        self._hosting = hosting
        self._describe = describe
        self._clock = clock
        self._is_gone = is_gone
        self._traffic = Traffic()
        self._hotspot = Hotspot(overload)
        self._overloaded = False
        self._bell = Bell()
        self._decisions: dict[str, Decision] = {}
        self._moves: dict[str, Decision] = {}
        # Of each VM whose last move from here failed: how.
        self._failures: dict[str, str] = {}
        self._moving: str | None = None
        self._migration_s: dict[str, float] = {}
        self._bandwidth: dict[NodeId, float] = {}
        self._refused_until: dict[tuple[str, NodeId], float] = {}
        self._invited_at: dict[tuple[VmId, str], float] = {}
        # When each VM was first seen here, by its epoch: from then on it dwells. Our own clock, and
        # our own eyes: a node that was restarted judges anew.
        self._since: dict[tuple[VmId, int], float] = {}
        self._told: dict[NodeId, tuple[float, NodeFacts]] = {}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        registration = self._agent.register(self._me.service(SERVICE), self._handle)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._invite_forever)
                task_status.started()
                await self._decide_forever(nursery)
        finally:
            registration.close()

    # --- what people ask ------------------------------------------------------------------------

    def decision(self, name: str) -> Decision | None:
        """The last one about a VM that is or was here."""
        return self._decisions.get(name)

    def rate(self, vm_id: VmId) -> float:
        """Bytes a second that a VM takes from all its sources."""
        return self._traffic.rate(vm_id, self._clock.monotonic())

    def explain(self, name: str) -> list[str]:
        """`why NAME`: the last decision, and the last move away if that was another."""
        now = self._clock.monotonic()
        last, move = self._decisions.get(name), self._moves.get(name)
        if last is None:
            return [f"nothing was decided about {name} on this node"]
        lines = explain(last, now)
        if all(vm.name != name for vm in self._hosting.vms()):
            lines.insert(0, f"{name} is not here any more; what was decided last, here:")
        if name in self._failures:
            lines += ["", self._failures[name]]
        if move is not None and move is not last:
            lines += ["", "the last time it was moved from here:", *explain(move, now)]
        return lines

    # --- deciding -------------------------------------------------------------------------------

    async def _decide_forever(self, nursery: trio.Nursery) -> None:
        """Every DECIDE_EVERY_S, and whenever an invitation rings."""
        next_sample = float(self._clock.monotonic())
        while True:
            now = self._clock.monotonic()
            sampled = now >= next_sample
            if sampled:
                next_sample = now + DECIDE_EVERY_S
            self._decide_all(nursery, now, sampled)
            await self._bell.wait(next_sample - self._clock.monotonic())

    def _decide_all(self, nursery: trio.Nursery, now: float, sampled: bool) -> None:
        """Decide about every VM here; start the best of the moves that were decided."""
        vms = self._hosting.vms()
        self._traffic.keep_only(vm.vm_id for vm in vms)
        lives = [(vm.vm_id, vm.epoch) for vm in vms if vm.state == RUNNING]
        self._since = {life: self._since.get(life, now) for life in lives}
        for vm in vms:
            for feed in vm.feeds:
                self._traffic.observe(vm.vm_id, feed.source, feed.publisher, feed.bytes_total, now)
        situation = self._situation(now, sampled, any(vm.moving for vm in vms))
        wanted: list[tuple[float, Decision, NodeId]] = []
        for vm in vms:
            if vm.moving or vm.name == self._moving:
                continue
            decision = decide(self._facts(vm, situation, now), situation, now)
            self._decisions[vm.name] = decision
            if decision.target is not None:
                wanted.append((decision.candidates[0].gain, decision, decision.target))
        if wanted and self._moving is None:
            _, best, target = max(wanted, key=lambda row: row[0])
            self._moving = best.vm
            nursery.start_soon(self._move, best, target)

    def _situation(self, now: float, sampled: bool, moving: bool) -> Situation:
        here = NodeFacts.parse(self._me, self._describe())
        others = self._others(now)
        neighbours = {facts.node: facts.neighbours for facts in others if not facts.stale}
        neighbours[self._me] = here.neighbours
        if sampled:
            self._overloaded = self._hotspot.observe(here.load)
        return Situation(
            here=here,
            others=others,
            paths=Paths(neighbours),
            settings=self.settings,
            overloaded=self._overloaded,
            busy=moving or self._moving is not None,
            bandwidth=lambda node: self._bandwidth.get(node, BANDWIDTH_BYTES_S),
            refused=lambda name, node: self._refused_until.get((name, node), 0.0) > now,
        )

    def _others(self, now: float) -> tuple[NodeFacts, ...]:
        """Every other node by its latest word, from the directory or from an invitation."""
        found: dict[NodeId, NodeFacts] = {}
        for entry in self._directory.known(Kind.NODE):
            node = entry.record.publisher
            if node == self._me or entry.record.withdrawn:
                continue
            stale = entry.stale or self._is_gone(node)
            with suppress(WireError):
                found[node] = NodeFacts.parse(
                    node, entry.record.body, age_s=entry.age_s, stale=stale
                )
        for node, (at, facts) in list(self._told.items()):
            if now - at > TOLD_FOR_S:
                del self._told[node]
            elif node not in found or found[node].age_s > now - at:
                found[node] = facts.aged(now - at)
        return tuple(found.values())

    def _facts(self, vm: VmStatus, situation: Situation, now: float) -> VmFacts:
        return VmFacts(
            name=vm.name,
            vm_id=vm.vm_id,
            memory_bytes=vm.memory_bytes,
            # Before the first snapshot: what a guest writes is of the order of its image.
            move_bytes=vm.last_snapshot_bytes or vm.image_bytes,
            flows=tuple(self._traffic.flows(vm.vm_id, now)),
            observed_s=self._traffic.observed_s(vm.vm_id, now),
            since_move_s=now - self._since.get((vm.vm_id, vm.epoch), now),
            migration_s=self._migration_s.get(vm.name, PAUSE_S),
            previous=_previous(vm),
            running=vm.state == RUNNING,
            pinned=vm.pinned,
            hint=vm.hint,
            wants=self._wanted(vm.hint, situation),
        )

    def _wanted(self, hint: str, situation: Situation) -> frozenset[NodeId]:
        """The nodes that a program's hint means, as far as they are known here."""
        if hint.startswith(NEAR):
            name = hint.removeprefix(NEAR)
            entries = self._directory.known(Kind.SOURCE, name)
            found = {e.record.publisher for e in entries if not e.record.withdrawn}
            own = {self._me} if name in self._sources.publications.served else set()
            return frozenset(found | own)
        name = hint.removeprefix(ON)
        nodes = (situation.here, *situation.others)
        return frozenset(f.node for f in nodes if hint != name and name in (f.name, f.node.text))

    # --- moving ---------------------------------------------------------------------------------

    async def _move(self, decision: Decision, target: NodeId) -> None:
        started = self._clock.monotonic()
        log.info("moving", vm=decision.vm, to=target.short, reason=decision.reason)
        try:
            stats = await self._hosting.migrate(decision.vm, target)
        except MeshError as error:
            self.counters["moves failed"] += 1
            log.warning("move failed", vm=decision.vm, to=target.short, reason=str(error))
            until = self._clock.monotonic() + REFUSED_FOR_S
            self._refused_until[decision.vm, target] = until
            self._failures[decision.vm] = (
                f"its last move from here, to {target.short}, failed: {error}"
            )
        else:
            self.counters["moves"] += 1
            self._moves[decision.vm] = decision
            self._failures.pop(decision.vm, None)
            self._migration_s[decision.vm] = self._clock.monotonic() - started
            self._learn(target, stats)
        finally:
            self._moving = None
            self._hotspot.restart()

    def _learn(self, target: NodeId, stats: MoveStats) -> None:
        """What a move's pause tells of how fast the way is."""
        paused_bytes = stats.sent_bytes - stats.staged_bytes
        if stats.answered_s is None or stats.answered_s <= PAUSE_S or paused_bytes < _TELLING_BYTES:
            return
        measured = paused_bytes / (stats.answered_s - PAUSE_S)
        before = self._bandwidth.get(target, measured)
        self._bandwidth[target] = (before + measured) / 2

    # --- inviting and being invited -------------------------------------------------------------

    async def _invite_forever(self) -> None:
        while True:
            await trio.sleep(DECIDE_EVERY_S)
            now = self._clock.monotonic()
            for subscriber in self._sources.subscribers():
                vm_id = subscriber.subscriber.vm_id
                if vm_id is None or subscriber.node == self._me or subscriber.rate_bytes_s < 1:
                    continue
                slot = (vm_id, subscriber.source)
                if now >= self._invited_at.get(slot, -INVITE_EVERY_S) + INVITE_EVERY_S:
                    self._invited_at[slot] = now
                    invite = Invite(vm_id, subscriber.source, self._describe())
                    await self._invite(subscriber.node, invite)

    async def _invite(self, host: NodeId, invite: Invite) -> None:
        try:
            await self._agent.send(
                host.service(SERVICE),
                invite.encode(),
                source=self._me.service(SERVICE),
                lifetime_s=INVITE_LIFETIME_S,
            )
        except CapacityError:
            return  # a full store has other worries
        self.counters["invited"] += 1

    async def _handle(self, delivery: Delivery) -> None:
        """An invitation: remember what the inviter says of itself, and decide at once."""
        sender = delivery.signer
        if sender is None:
            raise PeerError("an invitation without a member's signature")
        invite = Invite.parse(delivery.payload)
        facts = NodeFacts.parse(sender, invite.facts)
        for vm in self._hosting.vms():
            fed = any(feed.publisher == sender for feed in vm.feeds)
            if vm.vm_id == invite.vm_id and fed:
                self.counters["invitations"] += 1
                self._told[sender] = (self._clock.monotonic(), facts)
                self._bell.ring()
                return
        self.counters["invitations late"] += 1  # the VM has moved on


def _previous(vm: VmStatus) -> NodeId | None:
    """Where it was before it came here; None if it did not come by a move."""
    move = vm.last_move
    return move.peer if move is not None and not move.outward else None
