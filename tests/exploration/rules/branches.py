"""The rules of who gives way, where a VM was recovered while its holder lived."""

from __future__ import annotations

from dataclasses import replace

from radics_mesh.ids import Digest
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_state import (
    Phase,
)
from tests.exploration.rules.mutant import CRASH, MOVE, Changed, Mutant


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


class LongerIsNoNews(Handoff):
    """A holder does not mind that the chain went on without it: its disk was set back."""

    def met(self, chain: Ownership) -> None:
        known = self.tenure.chain
        if known is None or self.tenure.phase is not Phase.HOLDING or not chain.extends(known):
            super().met(chain)


class LowerBranchIsNew(Handoff):
    def _is_new(self, chain: Ownership) -> bool:
        return chain.epoch > self.tenure.fence


_BRANCH = replace(CRASH, moves=0, checkpoints=1, recoveries=1)

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
        "set back, a longer chain is no news",
        replace(MOVE, set_backs=1, one_way=True),
        "lower branch",
        LongerIsNoNews,
    ),
    Mutant(
        "a release on a lower branch is new",
        replace(_BRANCH, moves=1, crashes=0, one_way=True, nodes=3),
        "ceased",
        LowerBranchIsNew,
    ),
)
