"""One rule removed, and what is needed to see it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_state import (
    Effect,
    Persist,
    Phase,
)
from tests.exploration.mailroom import Room
from tests.exploration.node import Shell
from tests.exploration.walk import Model
from tests.exploration.world import Bounds


@dataclass(frozen=True)
class Mutant:
    """One rule removed. `breaks`: the invariant, as its report begins."""

    what: str
    bounds: Bounds
    breaks: str
    machine: type[Handoff] = Handoff
    shell: type[Shell] = Shell
    room: type[Room] = Room

    def model(self) -> Model:
        return Model(self.bounds, self.machine, shell=self.shell, room=self.room)


def _persists(effect: Effect, phase: Phase) -> bool:
    return isinstance(effect, Persist) and effect.tenure.phase is phase


class Changed(Handoff):
    """What the mutants of the state machine do to its effects."""

    def _without(self, phase: Phase) -> None:
        self._effects = [e for e in self._effects if not _persists(e, phase)]

    def _late(self, phase: Phase) -> None:
        late = [e for e in self._effects if _persists(e, phase)]
        self._effects = [e for e in self._effects if e not in late] + late


# As many moves, crashes and letters as it takes, no more.
MOVE = Bounds(moves=1, crashes=0, in_flight=2)
CRASH = replace(MOVE, crashes=1)
TWO = replace(MOVE, moves=2)
