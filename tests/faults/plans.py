"""What goes wrong in a run: all of it chosen by the run's seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

SIGKILL = "SIGKILL"
POWER = "power loss"
TWICE = "two power losses"
CUT = "link cut"
LATE = "a day late"
FULL = "disk full"
FLIP = "flipped bit"
REPLAY = "relay set back"
ROLLBACK = "disk set back"
# Other policies than at-most-one: a host is lost for a while.
RESTART = "restartable"
REPLICAS = "replicated"
NOTHING = "no fault"

# Durable steps of each node in one move, and pieces over each line, as `--measure` shows them;
# a few more, for what comes after the move.
STEPS = {"S": 200, "R": 160, "T": 60}
PIECES = {"S": 140, "T": 35}
KEEPER_STEPS = 25
GROWTHS = {"S": 450, "R": 300, "T": 110}


# What is mailed to the VM of a run while things happen.
MAILS = 20


@dataclass(frozen=True)
class Plan:
    seed: int
    kind: str
    # Who fails, at which durable step after the move was ordered, before or after it is done.
    victim: str = "S"
    step: int = 1
    after: bool = False
    # Of what was not synced a part has reached the medium.
    torn: bool = False
    # Another one, that fails as well.
    second: str = "T"
    second_step: int = 1
    # The write that finds no room.
    growth: int = 1
    # Which line is cut, before which piece, and whether anybody is told.
    line: str = "S"
    piece: int = 1
    silent: bool = False
    # How long it lasts.
    lasts_s: float = 0.3
    one_way: bool = False
    image_at_target: bool = True
    # QEMUs that each host keeps waiting.
    pool: int = 0
    # S starts nothing before a peer has confirmed that it is its latest start.
    witness: bool = False
    # What the VM sends leaves once a checkpoint covers it.
    commit: bool = False
    # How `host` is lost: SIGKILL (its guest goes on), POWER or CUT.
    loss: str = POWER
    host: str = "S"
    # At this durable step after that the keeper loses power, too; 0: it does not.
    keeper_step: int = 0

    @property
    def lifetime_s(self) -> int:
        """Of bundles: a day is short for what is a day late."""
        return 7 * 86_400 if self.kind in (LATE, REPLAY) else 86_400

    @property
    def words(self) -> str:
        how = f"{self.lasts_s:.2f} s" + (", one way" if self.one_way else "")
        how += "" if self.image_at_target else ", the image travels too"
        how += ", commits output" if self.commit else ""
        how += f", {self.pool} QEMU waits" if self.pool else ""
        side = "after" if self.after else "before"
        told = "silent" if self.silent else "reset"
        torn = ", torn" if self.torn else ""
        lost = f"{self.loss}, {told}" if self.loss == CUT else f"{self.loss}{torn}"
        keeper = f", its keeper loses power {side} step {self.keeper_step}"
        keeper = keeper if self.keeper_step else ""
        what = {
            SIGKILL: f"of {self.victim} {side} step {self.step}",
            POWER: f"of {self.victim} {side} step {self.step}{torn}",
            TWICE: f"of {self.victim} {side} step {self.step},"
            f" {self.second} {side} step {self.second_step}{torn}",
            CUT: f"{self.line}-R before piece {self.piece}, {told}",
            LATE: f"over {self.line}-R from piece {self.piece} on, {told}",
            FULL: f"of {self.victim} from growth {self.growth} on",
            FLIP: "in the state that S saved"
            if self.victim == "S"
            else f"at T, ended {side} step {self.second_step}",
            ROLLBACK: "of S to before it gave the VM away"
            + (", with --require-witness" if self.witness else ""),
            REPLAY: "to before it delivered the release, a day later",
            RESTART: f"VM, its holder is lost ({lost})" + keeper,
            REPLICAS: f"VM, {self.host} is lost ({lost})",
        }
        return f"{self.kind} {what.get(self.kind, '')}, {how}"

    @property
    def is_drawn(self) -> bool:
        """Whether the kind is the seed's own."""
        return plan(self.seed).kind == self.kind


WEIGHTS = {
    SIGKILL: 20,
    POWER: 28,
    TWICE: 8,
    CUT: 16,
    LATE: 8,
    FULL: 10,
    FLIP: 6,
    REPLAY: 4,
    RESTART: 8,
    REPLICAS: 6,
}


def plan(seed: int, kind: str | None = None) -> Plan:
    """The same for a seed, always; `kind` only to look at one more closely."""
    chance = random.Random(seed)
    drawn = chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    victim, second = chance.sample("SRT", 2)
    line = chance.choice("ST")
    kind = kind or drawn
    if kind == FLIP:
        second = "T"
    return Plan(
        seed=seed,
        kind=kind,
        victim=victim,
        step=chance.randint(1, STEPS[victim]),
        after=chance.random() < 0.5,
        torn=chance.random() < 0.5,
        second=second,
        second_step=chance.randint(1, STEPS[second]),
        growth=chance.randint(1, GROWTHS[victim]),
        line=line,
        piece=chance.randint(1, PIECES[line]),
        silent=chance.random() < 0.4,
        lasts_s=chance.choice((0.0, chance.uniform(0.0, 0.5), chance.uniform(0.3, 1.5))),
        one_way=chance.random() < 0.25,
        image_at_target=chance.random() < 0.8,
        pool=int(chance.random() < 0.2),
        commit=chance.random() < 0.3 and kind != REPLICAS,
        witness=kind == ROLLBACK and seed % 2 == 0,
        loss=chance.choice((SIGKILL, POWER, CUT)),
        host=chance.choice("ST") if kind == REPLICAS else "S",
        keeper_step=chance.choice((0, chance.randint(1, KEEPER_STEPS))) if kind == RESTART else 0,
    )
