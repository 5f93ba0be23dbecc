"""What this node states, and when it must say so again.

A record that is not renewed goes stale everywhere, so each is signed anew, with a higher sequence,
RENEWALS times in its life. A withdrawal is a statement too, repeated until every copy of what it
withdraws has expired; and again when somebody comes into reach who may not have heard it (`again`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from radics_mesh.clock import Monotonic
from radics_mesh.identity import Identity
from radics_mesh.knowledge.refresh import Fact
from radics_mesh.knowledge.sequence import SequenceNumbers
from radics_mesh.records import Kind, Record, sign

RENEWALS = 3
# Withdrawals that are kept in mind; beyond them the oldest is no longer said again.
WITHDRAWN_MAX = 256


@dataclass
class _Statement:
    body: Mapping[str, object]
    ttl_s: int
    withdrawn: bool
    due: float
    until: float


class Statements:
    """Every method that signs may block for a disk sync, about once an hour."""

    def __init__(self, identity: Identity, chain: bytes, sequence: SequenceNumbers) -> None:
        self._identity = identity
        self.chain = chain
        self._sequence = sequence
        self._made: dict[Fact, _Statement] = {}

    def __contains__(self, fact: Fact) -> bool:
        """Whether it is stated now, and not withdrawn."""
        made = self._made.get(fact)
        return made is not None and not made.withdrawn

    def state(
        self,
        kind: Kind,
        subject: str,
        body: Mapping[str, object],
        *,
        ttl_s: int,
        now: Monotonic,
    ) -> Record:
        """A record to be spread now; UsageError when it is too long."""
        statement = _Statement(body, ttl_s, False, now + ttl_s / RENEWALS, math.inf)
        record = self._sign((kind, subject), statement)
        self._made[kind, subject] = statement
        return record

    def withdraw(
        self,
        kind: Kind,
        subject: str,
        *,
        ttl_s: int,
        now: Monotonic,
        body: Mapping[str, object] | None = None,
    ) -> Record:
        """`ttl_s`: of the record that is withdrawn, if this run of the program did not make it.
        `body`: what is still true."""
        known = self._made.get((kind, subject))
        ttl_s = known.ttl_s if known else ttl_s
        period_s = ttl_s / RENEWALS
        statement = _Statement(body or {}, ttl_s, True, now + period_s, now + 2.0 * ttl_s)
        # Behind all earlier ones, so that the first is the oldest.
        self._made.pop((kind, subject), None)
        self._made[kind, subject] = statement
        withdrawn = [fact for fact, made in self._made.items() if made.withdrawn]
        if len(withdrawn) > WITHDRAWN_MAX:
            del self._made[withdrawn[0]]
        return self._sign((kind, subject), statement)

    def again(self, now: Monotonic) -> None:
        """Repeat withdrawals once more as after they were made."""
        for made in self._made.values():
            if made.withdrawn and made.until <= now:
                made.due, made.until = now, now + made.ttl_s

    def standing(self) -> list[tuple[Kind, str]]:
        """The facts that are stated now, and not withdrawn."""
        return [fact for fact, made in self._made.items() if not made.withdrawn]

    def body(self, kind: Kind, subject: str) -> Mapping[str, object]:
        """What is stated of a fact; empty when nothing is."""
        made = self._made.get((kind, subject))
        return made.body if made else {}

    def due(self, now: Monotonic) -> list[Record]:
        """Those to be spread again, signed anew."""
        due = [(f, made) for f, made in self._made.items() if made.due <= now < made.until]
        for _, made in due:
            made.due = now + made.ttl_s / RENEWALS
        return [self._sign(fact, made) for fact, made in due]

    def _sign(self, fact: Fact, statement: _Statement) -> Record:
        return sign(
            self._identity,
            self.chain,
            *fact,
            sequence=self._sequence.next(),
            ttl_s=statement.ttl_s,
            body=statement.body,
            withdrawn=statement.withdrawn,
        )
