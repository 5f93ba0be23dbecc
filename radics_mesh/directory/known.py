"""What this node believes, out of all that its book holds. Nothing here asks anybody.

Where nothing can be reached this is all there is, and it says so by the age of the entries and
their `stale` flag.
"""

from __future__ import annotations

import math

from radics_mesh.clock import Clock, Monotonic
from radics_mesh.directory.changes import Slotted
from radics_mesh.ids import NodeId
from radics_mesh.knowledge.book import Entry, RecordBook
from radics_mesh.knowledge.holders import Holders, Standing
from radics_mesh.knowledge.refresh import Fact
from radics_mesh.knowledge.statements import Statements
from radics_mesh.membership import Certificate, Chain, Verifier
from radics_mesh.records import Kind, Record


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

    def entries(self, kind: Kind, subject: str | None = None) -> list[Entry]:
        """Who states a fact, the youngest first; None: of every subject."""
        entries = self.book.entries(kind, subject, self._clock.monotonic())
        return [entry for entry in entries if self.counts(entry.record)]

    def counts(self, record: Record) -> bool:
        """Of itself a node believes only what it states now, of VMs only what is proved, and of
        revoked members only where their VMs were last."""
        if record.publisher == self.me and (record.kind, record.subject) not in self._own:
            return False
        if record.kind is not Kind.VM:
            return not self._verifier.is_out(record.chain)
        return self._holders.standing(record) is Standing.COUNTS

    def members(self) -> list[Record]:
        """What every node last said of itself, those that were revoked since among them."""
        entries = self.book.entries(Kind.NODE, None, self._clock.monotonic())
        return [e.record for e in entries if e.record.publisher.text == e.record.subject]

    def key_of(self, node: NodeId) -> bytes:
        """A node's public key, as far as is known here; else empty."""
        known = self.entries(Kind.NODE, node.text)
        return next((e.record.signer for e in known if e.record.publisher == node), b"")

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
