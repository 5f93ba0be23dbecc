"""What to look up again before anybody asks: records of nodes, and facts that were asked for.

Where neighbours compare their records (radics_mesh.gossip), those get younger before they are due
here. Where they cannot, or in a mesh larger than anybody's view, this is how a node's picture of
the mesh stays true. The looking-up is bounded by a share of what is known per round, and whoever is
not found is tried ever more rarely, but never given up: a node may come back after a week.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from radics_mesh.records import Kind

Fact = tuple[Kind, str]
_WAIT_MAX_S = 120.0
# The share of its life after which a node's record is looked up: later than neighbours are asked
# for it (radics_mesh.gossip.entropy), and early enough for all of them to have their turn.
_NODE_SHARE = 0.6
ROUND_MIN = 2
FACTS_MAX = 256
# A fact that nobody has asked for this long is not kept fresh any more.
INTEREST_S = 300.0


@dataclass
class _Try:
    due: float
    wait_s: float


class Refresh:
    """`period_s`: how often nodes renew their own records; `ttl_s`: how long those live."""

    def __init__(self, period_s: float, ttl_s: float) -> None:
        self._period_s = period_s
        self._ttl_s = ttl_s
        self._asked: OrderedDict[Fact, float] = OrderedDict()
        self._tries: dict[Fact, _Try] = {}

    def asked(self, fact: Fact, now: float) -> None:
        """Somebody wants to know, and will again."""
        self._asked[fact] = now
        self._asked.move_to_end(fact)
        if len(self._asked) > FACTS_MAX:
            self._asked.popitem(last=False)

    def asked_for(self) -> list[Fact]:
        """What somebody wanted to know lately, the latest last."""
        return list(self._asked)

    def due(self, nodes: Iterable[str], age_s: Callable[[Fact], float], now: float) -> list[Fact]:
        """Facts to look up now; each counts as tried. Seldom tried ones first, then old ones.

        `age_s` gives the age of the youngest record of a fact, infinity if there is none.
        """
        self._asked = OrderedDict(
            (fact, when) for fact, when in self._asked.items() if now - when < INTEREST_S
        )
        candidates = {(Kind.NODE, subject): _NODE_SHARE * self._ttl_s for subject in nodes}
        candidates |= {fact: 0.5 * self._ttl_s for fact in self._asked}
        self._tries = {fact: one for fact, one in self._tries.items() if fact in candidates}
        ages = {fact: age_s(fact) for fact in candidates}
        ready = [
            fact
            for fact, limit_s in candidates.items()
            if ages[fact] > limit_s and self._may_try(fact, now)
        ]
        ready.sort(key=lambda fact: (self._wait_s(fact), -ages[fact]))
        # All of them within three quarters of a record's life, at two rounds a period.
        share = int(len(candidates) * 0.5 * self._period_s / (0.75 * self._ttl_s)) + 1
        chosen = ready[: max(ROUND_MIN, share)]
        for fact in chosen:
            self._tried(fact, now)
        return chosen

    def _may_try(self, fact: Fact, now: float) -> bool:
        return fact not in self._tries or self._tries[fact].due <= now

    def _wait_s(self, fact: Fact) -> float:
        return self._tries[fact].wait_s if fact in self._tries else 0.0

    def _tried(self, fact: Fact, now: float) -> None:
        wait_s = min(2 * self._wait_s(fact), _WAIT_MAX_S) or self._period_s / 2
        self._tries[fact] = _Try(now + wait_s, wait_s)

    def try_now(self, fact: Fact, now: float) -> bool:
        """Whether to look this one up out of turn; counts as tried then."""
        if not self._may_try(fact, now):
            return False
        self.asked(fact, now)
        self._tried(fact, now)
        return True

    def again(self) -> None:
        """Somebody came into reach: what could not be found before may be now."""
        self._tries.clear()

    def found(self, fact: Fact) -> None:
        """There is a record of it that is news: it may be looked up again when that gets old."""
        self._tries.pop(fact, None)
