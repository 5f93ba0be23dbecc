"""The rules of the hand-off itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_messages import Ack, Message, Release, Reserve, Terms
from radics_mesh.vmm.handoff_state import (
    FROZEN_S,
    Forget,
    KillAndReap,
    Persist,
    Phase,
    Start,
)
from tests.exploration.deeds import Deed, Run
from tests.exploration.node import Shell
from tests.exploration.rules.mutant import CRASH, MOVE, TWO, Changed, Mutant
from tests.exploration.world import Outcome

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


class FullDiskIgnored(Shell):
    """What comes behind a Persist that failed is done all the same."""

    def _disk_full(
        self, before: Run, rest: Sequence[Deed], label: str, outcomes: list[Outcome]
    ) -> None:
        common = before.common._replace(full_disks=before.common.full_disks - 1)
        self._carry(replace(before, common=common), rest, label, False, outcomes)


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


class Blind(Shell):
    """An onlooker that does not see which attempt an answer is for."""

    def _answers_another(self, run: Run, message: Message) -> bool:
        return False


class LifeSignEnds(Handoff):
    """Any sign of life of the target ends a release."""

    def on_reserve(self, message: Reserve, sender: NodeId, now: float) -> None:
        if self.tenure.phase is Phase.RELEASED and sender == self.tenure.target:
            self._acknowledged()
        else:
            super().on_reserve(message, sender, now)


_TWO_CRASH = replace(TWO, crashes=1)
_FULL = replace(CRASH, full_disks=1)
_ONE_WAY = replace(CRASH, one_way=True)
_ONE_WAY_TWICE = replace(_ONE_WAY, moves=2)
_THRICE = replace(MOVE, moves=3, in_flight=3, one_way=True, two_way=False)
_POWER = replace(MOVE, power_losses=1, checkpoints=2)

# The first six are what broke the design's own model.
DESIGN = (
    Mutant("a timeout after RELEASE", MOVE, "two live", ReleaseTimesOut),
    Mutant("running without a certificate", MOVE, "two live", RunsWithoutCertificate),
    Mutant("RELEASE not durable", CRASH, "two live", ReleaseNotDurable),
    Mutant("attempt number not durable", _TWO_CRASH, "attempt", AttemptNotDurable),
    Mutant("no epoch fence", replace(TWO, in_flight=3, one_way=True), "two live", NoEpochFence),
    Mutant("snapshot deleted at RELEASE", MOVE, "no way on", SnapshotDeletedAtRelease),
)
SOURCE = (
    Mutant("RELEASE cancelled", MOVE, "two live", ReleaseCancelled),
    Mutant("certificate before RELEASE is durable", CRASH, "two live", CertificateBeforeDurable),
    Mutant("RELEASE sent once", MOVE, "no way on", ReleaseSentOnce),
    Mutant("a full disk is ignored", _FULL, "stale", shell=FullDiskIgnored),
    Mutant("process left alive at RELEASE", TWO, "two processes", ReleaseLeavesTheProcess),
    Mutant("any ACK ends a RELEASE", _THRICE, "no way on", AnyAck),
    Mutant("a sign of life ends it", replace(TWO, one_way=True), "no way on", LifeSignEnds, Blind),
    Mutant("FROZEN not durable", _TWO_CRASH, "stale", FrozenNotDurable),
    Mutant("guest goes on before that is durable", CRASH, "stale", GivenUpBeforeDurable),
    Mutant("giving up not durable", CRASH, "stale", GivingUpNotDurable),
    Mutant("an answer to any attempt counts", TWO, "attempt", AnyAttempt),
    Mutant("one way: killed before it is durable", _ONE_WAY_TWICE, "stale", FrozenNotDurable),
    Mutant("one way: RELEASE not durable", _ONE_WAY, "two live", ReleaseNotDurable),
    Mutant("one way: certificate too early", _ONE_WAY, "two live", CertificateBeforeDurable),
    Mutant("older checkpoint deleted first", _POWER, "lost state", OlderSnapshotFirst),
    Mutant("checkpoint not durable", _POWER, "stale", CheckpointNotDurable),
)
TARGET = (
    Mutant("another snapshot than it names", TWO, "stale", StartsWhatItHas),
    Mutant("fence not durable before the start", CRASH, "stale", FenceNotDurableBeforeStart),
    Mutant(
        "fence forgotten in a crash",
        replace(_ONE_WAY_TWICE, in_flight=3),
        "two live",
        FenceForgotten,
    ),
    Mutant("ACK before HOLDING is durable", CRASH, "stale", AckBeforeDurable),
    Mutant("ACK without the snapshot", replace(MOVE, in_flight=3), "no way on", AckOnArrival),
)
