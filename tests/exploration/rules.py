"""The rules of the hand-off, of the mailbox and of the shell, each one removed.

`MUTANTS`: for each the least bounds in which an invariant breaks, and which one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from radics_mesh.hosting.papers import Mailbox
from radics_mesh.hosting.table import Table
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.frames import StreamState
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_messages import Ack, Message, Release, Reserve, Terms
from radics_mesh.vmm.handoff_state import (
    FROZEN_S,
    Effect,
    Forget,
    KillAndReap,
    Persist,
    Phase,
    Start,
)
from tests.exploration.deeds import (
    AcknowledgeOutput,
    CommitOutput,
    Deed,
    FileBundle,
    FinishBundle,
    Run,
    SendOutput,
)
from tests.exploration.node import Shell
from tests.exploration.walk import Model
from tests.exploration.world import Bounds, Node


@dataclass(frozen=True)
class Mutant:
    """One rule removed. `breaks`: the invariant, as its report begins."""

    what: str
    bounds: Bounds
    breaks: str
    machine: type[Handoff] = Handoff
    shell: type[Shell] = Shell
    table: type[Table] = Table

    def model(self) -> Model:
        return Model(self.bounds, self.machine, shell=self.shell, table=self.table)


def _persists(effect: Effect, phase: Phase) -> bool:
    return isinstance(effect, Persist) and effect.tenure.phase is phase


class Changed(Handoff):
    """What the mutants of the state machine do to its effects."""

    def _without(self, phase: Phase) -> None:
        self._effects = [e for e in self._effects if not _persists(e, phase)]

    def _late(self, phase: Phase) -> None:
        late = [e for e in self._effects if _persists(e, phase)]
        self._effects = [e for e in self._effects if e not in late] + late


# --- release ------------------------------------------------------------------------------------


class ReleaseTimesOut(Handoff):
    def _release(self, now: float) -> None:
        super()._release(now)
        self._renew(now + FROZEN_S)

    def _expire(self) -> None:
        if self.tenure.phase is Phase.RELEASED:
            self._become(Phase.FROZEN)
        super()._expire()


class ReleaseCancelled(Handoff):
    def cancel(self, reason: str) -> None:
        if self.tenure.phase is Phase.RELEASED:
            self._become(Phase.FROZEN)
        super().cancel(reason)


class ReleaseNotDurable(Changed):
    def _release(self, now: float) -> None:
        super()._release(now)
        self._without(Phase.RELEASED)


class CertificateBeforeDurable(Changed):
    def _release(self, now: float) -> None:
        super()._release(now)
        self._late(Phase.RELEASED)


class SnapshotDeletedAtRelease(Handoff):
    def _release(self, now: float) -> None:
        super()._release(now)
        assert self.tenure.snapshot is not None
        self._emit(Forget(self.tenure.snapshot))


class ReleaseLeavesTheProcess(Handoff):
    def _release(self, now: float) -> None:
        super()._release(now)
        self._effects = [e for e in self._effects if not isinstance(e, KillAndReap)]


class AnyAck(Handoff):
    def on_ack(self, message: Ack, sender: NodeId, now: float) -> None:
        if self.tenure.phase is Phase.RELEASED and sender == self.tenure.target:
            self._acknowledged()


class ReleaseSentOnce(Handoff):
    def _repeat(self) -> None:
        if self.tenure.phase is not Phase.RELEASED:
            super()._repeat()

    def _send_release(self) -> None:
        if any(isinstance(e, Persist) for e in self._effects):
            super()._send_release()


# --- freeze -------------------------------------------------------------------------------------


class FrozenNotDurable(Changed):
    def parked(self, snapshot: Digest, terms: Terms, now: float) -> None:
        super().parked(snapshot, terms, now)
        self._without(Phase.FROZEN)


class GivenUpBeforeDurable(Changed):
    def _give_up(self, reason: str) -> None:
        super()._give_up(reason)
        self._late(Phase.HOLDING)


class GivingUpNotDurable(Changed):
    def _give_up(self, reason: str) -> None:
        super()._give_up(reason)
        self._without(Phase.HOLDING)


class AttemptNotDurable(Handoff):
    def _persist(self) -> None:
        self._emit(Persist(replace(self.tenure.durable(), attempt=0)))


class AnyAttempt(Handoff):
    def _answers(self, attempt: int, sender: NodeId, *phases: Phase) -> bool:
        return super()._answers(self.tenure.attempt, sender, *phases)


class OlderSnapshotFirst(Changed):
    """At a checkpoint the older one is deleted before the newer one is durably the VM's."""

    def checkpoint(self, snapshot: Digest) -> None:
        super().checkpoint(snapshot)
        self._late(Phase.HOLDING)


class CheckpointNotDurable(Changed):
    def checkpoint(self, snapshot: Digest) -> None:
        super().checkpoint(snapshot)
        self._without(Phase.HOLDING)


# --- activate -----------------------------------------------------------------------------------


class RunsWithoutCertificate(Handoff):
    def _say_staged(self) -> None:
        super()._say_staged()
        assert self.tenure.announced is not None
        self._emit(Start(self.tenure.announced))


class NoEpochFence(Handoff):
    def _is_new(self, chain: Ownership) -> bool:
        return True


class FenceForgotten(Handoff):
    """A fence, but no look at the chain, and it is not durable."""

    def _is_new(self, chain: Ownership) -> bool:
        return chain.epoch > self.tenure.fence

    def _persist(self) -> None:
        self._emit(Persist(replace(self.tenure.durable(), fence=0)))


class FenceNotDurableBeforeStart(Changed):
    def _activate(self, chain: Ownership) -> None:
        super()._activate(chain)
        self._without(Phase.HOLDING)


class AckBeforeDurable(Changed):
    def _activate(self, chain: Ownership) -> None:
        super()._activate(chain)
        self._late(Phase.HOLDING)


class StartsWhatItHas(Handoff):
    """Any snapshot of the VM that is here, not the very one that the certificate names."""

    def on_release(self, message: Release, sender: NodeId, now: float) -> None:
        super().on_release(message, sender, now)
        certificate, stored = self.tenure.certificate, self.tenure.stored
        if certificate is not None and stored:
            self._activate(certificate)
            self._effects = [
                Start(min(stored)) if isinstance(e, Start) else e for e in self._effects
            ]


class AckOnArrival(Handoff):
    """Acknowledged as soon as the certificate is here, durably or not, with no snapshot."""

    def _accept(self, chain: Ownership, now: float) -> None:
        super()._accept(chain, now)
        self._send_ack(chain)


class LifeSignEnds(Handoff):
    """Any sign of life of the target ends a release."""

    def on_reserve(self, message: Reserve, sender: NodeId, now: float) -> None:
        if self.tenure.phase is Phase.RELEASED and sender == self.tenure.target:
            self._acknowledged()
        else:
            super().on_reserve(message, sender, now)


# --- branches -----------------------------------------------------------------------------------


class LowerGoesOn(Handoff):
    def met(self, chain: Ownership) -> None:
        if self.tenure.phase is not Phase.HOLDING:
            super().met(chain)


class GivingWayNotDurable(Changed):
    def _give_way(self, pointer: Ownership) -> None:
        super()._give_way(pointer)
        self._without(Phase.NONE)


class KilledBeforeItGaveWay(Changed):
    def _give_way(self, pointer: Ownership) -> None:
        super()._give_way(pointer)
        self._late(Phase.NONE)


class RecoveryNotDurable(Changed):
    def recover(self, chain: Ownership, snapshot: Digest) -> None:
        super().recover(chain, snapshot)
        self._without(Phase.HOLDING)


class EpochsCount(Handoff):
    """Not the order of branches: two recoveries of one checkpoint have one epoch."""

    def met(self, chain: Ownership) -> None:
        known = self.tenure.certificate or self.tenure.chain
        if known is not None and chain.epoch > known.epoch:
            super().met(chain)


class LowerBranchIsNew(Handoff):
    def _is_new(self, chain: Ownership) -> bool:
        return chain.epoch > self.tenure.fence


# --- messages -----------------------------------------------------------------------------------


class WindowStays(Table):
    def mailbox(self, vm_id: VmId) -> Mailbox:
        return replace(super().mailbox(vm_id), window=())


class MailStays(Table):
    def mailbox(self, vm_id: VmId) -> Mailbox:
        return replace(super().mailbox(vm_id), mail=())


class CountStartsAgain(Table):
    """The numbers of messages do not travel, nor does the guest's word set them right."""

    def mailbox(self, vm_id: VmId) -> Mailbox:
        return replace(super().mailbox(vm_id), next_mail=1)

    def align(self, vm_id: VmId, told: Iterable[StreamState]) -> None:
        pass


class Blind(Shell):
    """An onlooker that does not see which attempt an answer is for."""

    def _answers_another(self, run: Run, message: Message) -> bool:
        return False


class FinishedBeforeFiled(Shell):
    def filed(self, message: int) -> Sequence[Deed]:
        return FinishBundle(message), FileBundle(message)


class DroppedAtTheOldHost(Shell):
    def closed(self, node: Node, message: int) -> Node | None:
        return node._replace(held=node.held - {message}, delivered=node.delivered | {message})


class OpenWhileParked(Shell):
    def is_open(self, node: Node) -> bool:
        return node.guest is not None


class PassedIsSeen(Shell):
    def passed_on(self, node: Node, message: int) -> Node:
        left = super().passed_on(node, message)
        return left._replace(delivered=left.delivered | {message})


class CommittedBeforeSent(Shell):
    def sent(self, number: int) -> Sequence[Deed]:
        return CommitOutput(number), SendOutput(number), AcknowledgeOutput(number)


class AcknowledgedBeforeSent(Shell):
    def sent(self, number: int) -> Sequence[Deed]:
        return AcknowledgeOutput(number), SendOutput(number), CommitOutput(number)


# As many moves, crashes and letters as it takes, no more.
_MOVE = Bounds(moves=1, crashes=0, in_flight=2)
_CRASH = replace(_MOVE, crashes=1)
_TWO = replace(_MOVE, moves=2)
_TWO_CRASH = replace(_TWO, crashes=1)
_ONE_WAY = replace(_CRASH, one_way=True)
_ONE_WAY_TWICE = replace(_ONE_WAY, moves=2)
_THRICE = replace(_MOVE, moves=3, in_flight=3, one_way=True, two_way=False)
_POWER = replace(_MOVE, power_losses=1, checkpoints=2)
_BRANCH = replace(_CRASH, moves=0, checkpoints=1, recoveries=1)
_MAIL = replace(_MOVE, messages=1)
_OUTPUT = Bounds(moves=0, crashes=1, in_flight=0, outputs=1)

# The first six are what broke the design's own model.
DESIGN = (
    Mutant("a timeout after RELEASE", _MOVE, "two live", ReleaseTimesOut),
    Mutant("running without a certificate", _MOVE, "two live", RunsWithoutCertificate),
    Mutant("RELEASE not durable", _CRASH, "two live", ReleaseNotDurable),
    Mutant("attempt number not durable", _TWO_CRASH, "attempt", AttemptNotDurable),
    Mutant("no epoch fence", replace(_TWO, in_flight=3, one_way=True), "two live", NoEpochFence),
    Mutant("snapshot deleted at RELEASE", _MOVE, "no way on", SnapshotDeletedAtRelease),
)
SOURCE = (
    Mutant("RELEASE cancelled", _MOVE, "two live", ReleaseCancelled),
    Mutant("certificate before RELEASE is durable", _CRASH, "two live", CertificateBeforeDurable),
    Mutant("RELEASE sent once", _MOVE, "no way on", ReleaseSentOnce),
    Mutant("process left alive at RELEASE", _TWO, "two processes", ReleaseLeavesTheProcess),
    Mutant("any ACK ends a RELEASE", _THRICE, "no way on", AnyAck),
    Mutant("a sign of life ends it", replace(_TWO, one_way=True), "no way on", LifeSignEnds, Blind),
    Mutant("FROZEN not durable", _TWO_CRASH, "stale", FrozenNotDurable),
    Mutant("guest goes on before that is durable", _CRASH, "stale", GivenUpBeforeDurable),
    Mutant("giving up not durable", _CRASH, "stale", GivingUpNotDurable),
    Mutant("an answer to any attempt counts", _TWO, "attempt", AnyAttempt),
    Mutant("one way: killed before it is durable", _ONE_WAY_TWICE, "stale", FrozenNotDurable),
    Mutant("one way: RELEASE not durable", _ONE_WAY, "two live", ReleaseNotDurable),
    Mutant("one way: certificate too early", _ONE_WAY, "two live", CertificateBeforeDurable),
    Mutant("older checkpoint deleted first", _POWER, "lost state", OlderSnapshotFirst),
    Mutant("checkpoint not durable", _POWER, "lost state", CheckpointNotDurable),
)
TARGET = (
    Mutant("another snapshot than it names", _TWO, "stale", StartsWhatItHas),
    Mutant("fence not durable before the start", _CRASH, "stale", FenceNotDurableBeforeStart),
    Mutant(
        "fence forgotten in a crash",
        replace(_ONE_WAY_TWICE, in_flight=3),
        "two live",
        FenceForgotten,
    ),
    Mutant("ACK before HOLDING is durable", _CRASH, "stale", AckBeforeDurable),
    Mutant("ACK without the snapshot", replace(_MOVE, in_flight=3), "no way on", AckOnArrival),
)
BRANCHES = (
    Mutant("lower branch goes on", _BRANCH, "lower branch", LowerGoesOn),
    Mutant("giving way not durable", _BRANCH, "stale", GivingWayNotDurable),
    Mutant("killed before it gave way durably", _BRANCH, "stale", KilledBeforeItGaveWay),
    Mutant("recovery not durable", _BRANCH, "no way on", RecoveryNotDurable),
    Mutant(
        "epochs decide between branches",
        replace(_BRANCH, nodes=3, recoveries=2),
        "lower branch",
        EpochsCount,
    ),
    Mutant(
        "a release on a lower branch is new",
        replace(_BRANCH, moves=1, crashes=0, one_way=True, nodes=3),
        "ceased",
        LowerBranchIsNew,
    ),
)
MESSAGES = (
    Mutant(
        "window of keys stays behind", replace(_MAIL, copies=1), "taken twice", table=WindowStays
    ),
    Mutant("mail stays behind", _MAIL, "no way on", table=MailStays),
    Mutant("numbers start again", replace(_MAIL, messages=2), "one number", table=CountStartsAgain),
    Mutant(
        "bundle finished before it is filed",
        replace(_MAIL, crashes=1),
        "no way on",
        shell=FinishedBeforeFiled,
    ),
    Mutant("dropped at the old host", _MAIL, "no way on", shell=DroppedAtTheOldHost),
    Mutant("mailbox open while parked", _MAIL, "no way on", shell=OpenWhileParked),
    Mutant("passing through counts as seen", _MAIL, "no way on", shell=PassedIsSeen),
    Mutant("output committed before it is sent", _OUTPUT, "lost output", shell=CommittedBeforeSent),
    Mutant("acknowledged before it is sent", _OUTPUT, "lost output", shell=AcknowledgedBeforeSent),
)
MUTANTS = (*DESIGN, *SOURCE, *TARGET, *BRANCHES, *MESSAGES)
