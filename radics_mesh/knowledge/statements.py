"""What this node states, and when it must say so again.

A record that is not renewed goes stale everywhere, so each is signed anew, with a higher sequence,
three times in its life. A withdrawal is a statement too, repeated until every copy of what it
withdraws has expired.
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
        return fact in self._made

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
        statement = _Statement(body, ttl_s, False, now + ttl_s / 3, math.inf)
        record = self._sign((kind, subject), statement)
        self._made[kind, subject] = statement
        return record

    def withdraw(self, kind: Kind, subject: str, *, ttl_s: int, now: Monotonic) -> Record:
        """`ttl_s`: of the record that is withdrawn, if this run of the program did not make it."""
        known = self._made.get((kind, subject))
        ttl_s = known.ttl_s if known else ttl_s
        statement = _Statement({}, ttl_s, True, now + ttl_s / 3, now + 2.0 * ttl_s)
        self._made[kind, subject] = statement
        return self._sign((kind, subject), statement)

    def due(self, now: Monotonic) -> list[Record]:
        """Those to be spread again, signed anew."""
        self._made = {fact: made for fact, made in self._made.items() if made.until > now}
        due = [(fact, made) for fact, made in self._made.items() if made.due <= now]
        for _, made in due:
            made.due = now + made.ttl_s / 3
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
