"""What came of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.faults.plans import REPLAY, REPLICAS, RESTART, ROLLBACK, Plan


@dataclass
class Outcome:
    """`source`, `mail`: (lost, doubled) messages."""

    plan: Plan
    # The fault was met where it was planned, not brought about later.
    hit: bool = False
    # Moves that their sources called done.
    moves: int = 0
    recoveries: int = 0
    # A host that ran the VM lost power: it may do again what it did since its last durable state.
    set_back: bool = False
    two_live: list[str] = field(default_factory=list)
    lost: str = ""
    source: tuple[int, int] = (0, 0)
    mail: tuple[int, int] = (0, 0)
    # The run proves nothing: it could not be carried out.
    harness: str = ""
    seconds: float = 0.0
    # After a disk was set back, or a keeper went on: how long two copies executed, after how long
    # in contact the one that counts less had stopped, and when that was.
    alone_s: float = 0.0
    found_s: float = 0.0
    apart_until: float = 0.0
    # Of a replicated service: the longest that somebody waited for an answer.
    unanswered_s: float = 0.0
    # What exactly it was that failed.
    detail: str = ""
    # Of an undisturbed move: durable steps and the like.
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        exact = self.source == (0, 0) and self.mail == (0, 0)
        # At least once: what was not covered by a durable state may come again.
        all_there = self.source[0] == 0 and self.mail[0] == 0
        kept = exact or (self.set_back and not self.plan.commit and all_there)
        # What a disk that was put away had taken for others is gone with it.
        kept |= self.plan.kind == ROLLBACK and self.source[0] == 0
        # Once a keeper went on, what the lower branch did since its checkpoint is done again.
        kept |= self.plan.kind == RESTART and all_there
        # Who gets no answer asks again.
        kept |= self.plan.kind == REPLICAS and all_there
        kept |= self.plan.kind == REPLAY and self.source[1] == self.mail[1] == 0
        return kept and not self.two_live and not self.lost and not self.harness
