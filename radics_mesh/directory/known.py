"""What this node believes, out of all that its book holds. Nothing here asks anybody.

Where nothing can be reached this is all there is, and it says so by the age of the entries and
their `stale` flag: a fact is stale when nobody has renewed it for as long as it said that it
lives, or when its publisher cannot be reached by now.

A fact that stands is stated anew every third of its life. So what is younger than that answers for
itself, and what is older has missed a renewal or was not heard of here: the DHT is asked before it
is believed (`answers`). Thus no look-up tells of a withdrawn fact for longer than one publication
period, as long as anybody reachable knows better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from radics_mesh.clock import Clock, Monotonic
from radics_mesh.directory.changes import Slotted
from radics_mesh.ids import NodeId
from radics_mesh.knowledge.book import Entry, RecordBook
from radics_mesh.knowledge.holders import Holders, Standing
from radics_mesh.knowledge.refresh import Fact
from radics_mesh.knowledge.statements import RENEWALS, Statements
from radics_mesh.membership import Certificate, Chain, Verifier
from radics_mesh.records import Kind, Record

# What a renewal may take to be signed and to arrive.
RENEWAL_TAKES_S = 3.0


class Known:
    def __init__(
        self, me: NodeId, verifier: Verifier, clock: Clock, holders: Holders, own: Statements
    ) -> None:
        self.me = me
        self.book = RecordBook(verifier)
        self._verifier = verifier
        self._clock = clock
        self._holders = holders
        self._own = own
        # Whether nothing has come from a node for too long, by whoever watches over that.
        self.is_unreachable: Callable[[NodeId], bool] = lambda node: False

    def entries(self, kind: Kind, subject: str | None = None) -> list[Entry]:
        """Who states a fact, the youngest first; None: of every subject."""
        entries = self.book.entries(kind, subject, self._clock.monotonic())
        shown = [self._shown(entry) for entry in entries if self.counts(entry.record)]
        return sorted(shown, key=lambda entry: (entry.stale, entry.age_s))

    def entry(self, slot: Slotted) -> Entry | None:
        """What one publisher states of a fact, None when it does not, or it does not count."""
        entry = self.book.entry(*slot, self._clock.monotonic())
        if entry is None or entry.record.withdrawn or not self.counts(entry.record):
            return None
        return self._shown(entry)

    def subjects(self, kind: Kind) -> set[str]:
        """What is stated of a kind, by anybody."""
        return {entry.record.subject for entry in self.entries(kind)}

    def slots(self, kind: Kind) -> list[Slotted]:
        return [entry.record.slot for entry in self.entries(kind)]

    def each_own(self, tell: Callable[[Record], None]) -> None:
        """What the book holds of this node's own records."""
        for kind in Kind:
            for record in self.book.last(kind):
                if record.publisher == self.me:
                    tell(record)

    def _shown(self, entry: Entry) -> Entry:
        gone = entry.publisher != self.me and self.is_unreachable(entry.publisher)
        return replace(entry, stale=True) if gone else entry

    def answers(self, entries: Sequence[Entry]) -> bool:
        """Whether these entries of one fact are young enough to be told without asking."""
        fresh = [entry for entry in entries if not entry.stale]
        return bool(fresh) and all(
            entry.publisher == self.me
            or entry.age_s < entry.record.ttl_s / RENEWALS + RENEWAL_TAKES_S
            for entry in fresh
        )

    def counts(self, record: Record) -> bool:
        """Of itself a node believes only what it states now, of VMs only what is proved, and of
        revoked members only where their VMs were last."""
        if record.publisher == self.me and (record.kind, record.subject) not in self._own:
            return False
        if record.kind is not Kind.VM:
            return not self._verifier.is_out(record.chain)
        return self._holders.standing(record) is Standing.COUNTS

    def held(self) -> list[Entry]:
        """What may be passed on, proved or not: whoever takes it asks for the proof."""
        return [
            entry
            for entry in self.book.everything(self._clock.monotonic())
            if not self._verifier.is_out(entry.record.chain)
            and (
                entry.publisher != self.me or (entry.record.kind, entry.record.subject) in self._own
            )
        ]

    def members(self) -> list[Record]:
        """What every node last said of itself, those that left or were revoked since among them."""
        return self.book.last(Kind.NODE)

    def key_of(self, node: NodeId) -> bytes:
        """A node's public key, as far as is known here, whether or not it has left; else empty."""
        said = self.book.last(Kind.NODE, node.text)
        return next((one.signer for one in said if self.counts(one)), b"")

    def certificate(self, node: NodeId) -> Certificate | None:
        """Of a member that showed one, or whose record is known here."""
        found = self._verifier.standing(node)
        if found is not None:
            return found
        known = self.entries(Kind.NODE, node.text)
        chains = [e.record.chain for e in known if e.record.publisher == node]
        return Chain.parse(chains[0]).member if chains else None

    def is_stale(self, slot: Slotted, now: Monotonic) -> bool:
        entry = self.book.entry(*slot, now)
        return entry is None or entry.stale

    def age_s(self, fact: Fact, now: Monotonic) -> float:
        """Of the youngest record of a fact, infinity if there is none."""
        entries = self.book.entries(*fact, now)
        return entries[0].age_s if entries else math.inf
