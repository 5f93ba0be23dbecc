"""What came out of many runs: a row for each kind of fault, and each run that was not good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.faults.outcome import Outcome
from tests.faults.plans import MAILS, POWER, REPLICAS, RESTART, ROLLBACK, SIGKILL

_HEAD = (
    "fault",
    "runs",
    "moves",
    "hit",
    "recovered",
    "two live",
    "lost",
    "messages lost",
    "doubled",
    "set back",
    "s/run",
)


def rows(outcomes: Iterable[Outcome]) -> list[str]:
    """Lines of text. Messages of runs that were set back are counted apart, after a plus."""
    kinds: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        kinds.setdefault(outcome.plan.kind, []).append(outcome)
    cells = [_HEAD, *(_row(kind, kinds[kind]) for kind in sorted(kinds))]
    if len(kinds) > 1:
        cells.append(_row("all", [o for some in kinds.values() for o in some]))
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    return ["  ".join(_aligned(row, widths)).rstrip() for row in cells]


def apart(outcomes: Sequence[Outcome]) -> list[str]:
    """Of disks that were set back: what nothing can prevent, and how it ended."""
    lines = []
    for witness in (False, True):
        some = [o for o in outcomes if o.plan.kind == ROLLBACK and o.plan.witness is witness]
        if not some:
            continue
        ran = [o.alone_s for o in some if o.alone_s]
        how = "with --require-witness" if witness else "without"
        lines.append(
            f"disk set back, its node alone, {how}: {len(some)} runs; a second copy ran there in"
            f" {len(ran)}" + (f" (at most {max(ran):.1f} s)" if ran else "") + "; in contact found"
            f" out within {max(o.found_s for o in some):.1f} s, the lower epoch stopped and what it"
            f" did shown, in {sum(o.is_good for o in some)}"
        )
    return lines


def policies(outcomes: Sequence[Outcome]) -> list[str]:
    """Of VMs that are not at-most-one: what was promised of them, and the price."""
    lines = []
    if some := [o for o in outcomes if o.plan.kind == RESTART and o.found_s]:
        ran = [o.alone_s for o in some if o.alone_s]
        lines.append(
            f"{RESTART}, its holder lost: {len(some)} runs; its keeper went on in all of them, the"
            f" lost branch executed beside it in {len(ran)}"
            + (f" (at most {max(ran):.1f} s)" if ran else "")
            + f", and had stopped within {max(o.found_s for o in some):.1f} s of contact; mail that"
            f" it had taken since its checkpoint: {sum(o.mail[0] for o in some)} of"
            f" {len(some) * MAILS} lost"
        )
    if some := [o for o in outcomes if o.plan.kind == REPLICAS and o.hit]:
        waited_s = max(o.unanswered_s for o in some)
        lines.append(
            f"{REPLICAS}, a host lost: {len(some)} runs; the service answered in"
            f" {sum(o.is_good for o in some)}, after at most {waited_s:.1f} s"
        )
    return lines


def coverage(outcomes: Iterable[Outcome]) -> str:
    """At how many different durable steps of a move each node was ended, before or after each."""
    met: dict[str, set[tuple[int, bool]]] = {"S": set(), "R": set(), "T": set()}
    for outcome in outcomes:
        plan = outcome.plan
        if outcome.hit and plan.kind in (SIGKILL, POWER):
            met[plan.victim].add((plan.step, plan.after))
    return "durable steps at which a node was ended: " + ", ".join(
        f"{name} {len(steps)}" for name, steps in met.items()
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]


def _row(kind: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    exact = [o for o in outcomes if not o.set_back]
    others = [o for o in outcomes if o.set_back]

    def messages(index: int) -> str:
        first, second = (
            sum(o.source[index] + o.mail[index] for o in some) for some in (exact, others)
        )
        return f"{first}+{second}" if others else str(first)

    return (
        kind,
        str(len(outcomes)),
        str(sum(o.moves for o in outcomes)),
        str(sum(o.hit for o in outcomes)),
        str(sum(o.recoveries for o in outcomes)),
        str(sum(bool(o.two_live) for o in outcomes)),
        str(sum(bool(o.lost) for o in outcomes)),
        messages(0),
        messages(1),
        str(len(others)),
        f"{sum(o.seconds for o in outcomes) / len(outcomes):.1f}",
    )


def complaint(outcome: Outcome) -> str:
    """What is wrong with a run, and the command that repeats it."""
    wrong = [
        outcome.detail,
        *outcome.two_live,
        outcome.lost,
        outcome.harness,
        _messages("messages of the source", outcome.source),
        _messages("mails", outcome.mail),
    ]
    return (
        f"seed {outcome.plan.seed}: {outcome.plan.words}:\n    "
        + "\n    ".join(line for line in wrong if line)
        + f"\n    again with: make faults RUNS=1 SEED={outcome.plan.seed}"
        + ("" if outcome.plan.is_drawn else f" ARGS='--kind \"{outcome.plan.kind}\"'")
    )


def _messages(what: str, counts: tuple[int, int]) -> str:
    return f"{what}: {counts[0]} lost, {counts[1]} doubled" if any(counts) else ""
