"""What this node states: signed, spread, renewed, withdrawn, and taken back when the node ends.

Every record of its own that a node hears from others although it does not state it any more (a
crash came before the withdrawal, or the state on disk is an older copy) it withdraws as well, once
it has been up for as long as such a record lives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import trio

from radics_mesh.clock import Clock
from radics_mesh.dht.server import Dht
from radics_mesh.directory.changes import Slotted
from radics_mesh.directory.indexing import Indexing
from radics_mesh.directory.refusals import Refusals
from radics_mesh.errors import CapacityError, PeerError
from radics_mesh.ids import NodeId
from radics_mesh.jobs import Jobs
from radics_mesh.knowledge.book import LASTING, Entry, RecordBook
from radics_mesh.knowledge.statements import RENEWALS, Statements
from radics_mesh.membership import Chain
from radics_mesh.records import Kind, Record, check_may_state

LEAVE_AT_ONCE = 32
_ORPHANS_MAX = 256


class Stating:
    """`note` takes a record into this node's own book; `ask` looks a fact up in the DHT."""

    def __init__(
        self,
        me: NodeId,
        own: Statements,
        book: RecordBook,
        dht: Dht,
        jobs: Jobs,
        clock: Clock,
        ttl_s: int,
        refusals: Refusals,
        note: Callable[[Record], None],
        ask: Callable[[Kind, str], Awaitable[list[Entry]]],
    ) -> None:
        self._me = me
        self._own = own
        self._book = book
        self._dht = dht
        self._jobs = jobs
        self._clock = clock
        self._ttl_s = ttl_s
        self._refusals = refusals
        self._note = note
        self._indexing = Indexing(
            me,
            self._state_index,
            lambda subject: self._withdraw(Kind.INDEX, subject),
            partial(ask, Kind.INDEX),
        )
        self._started = clock.monotonic()
        self._pages_due = self._started + ttl_s / RENEWALS
        self._orphans: dict[tuple[Kind, str], Record] = {}

    def announce(
        self, kind: Kind, subject: str, body: Mapping[str, object], ttl_s: int | None
    ) -> Record:
        """See Directory.announce."""
        now = self._clock.monotonic()
        record = self._own.state(kind, subject, body, ttl_s=ttl_s or self._ttl_s, now=now)
        self._spread(record)
        if self._indexing.add(kind, subject):
            self._settle()
        return record

    def withdraw(self, kind: Kind, subject: str) -> None:
        """See Directory.withdraw."""
        self._withdraw(kind, subject)
        if self._indexing.remove(kind, subject):
            self._settle()

    def _withdraw(self, kind: Kind, subject: str) -> Record:
        said = self._own.body(kind, subject)
        # Whoever writes to a node that has left still means it by its name.
        body = {"name": said["name"]} if kind is Kind.NODE and "name" in said else None
        now = self._clock.monotonic()
        record = self._own.withdraw(kind, subject, ttl_s=self._ttl_s, now=now, body=body)
        self._spread(record)
        return record

    def _state_index(self, subject: str, body: Mapping[str, object]) -> None:
        now = self._clock.monotonic()
        self._spread(self._own.state(Kind.INDEX, subject, body, ttl_s=self._ttl_s, now=now))

    def _settle(self) -> None:
        self._jobs.start(self._indexing.settle, once="index")

    def _spread(self, record: Record) -> None:
        try:
            check_may_state(Chain.parse(record.chain).member, record.kind)
        except PeerError as error:  # the others would refuse it
            self._refusals.refuse(error)
            return
        self._note(record)
        self._jobs.start(lambda: self._put_newest(record.slot), once=("put", record.slot))

    async def _put_newest(self, slot: Slotted) -> None:
        """Store the newest record of a slot; a newer one that comes meanwhile is stored too."""
        stored = -1
        while True:
            now = self._clock.monotonic()
            entry = self._book.entry(*slot, now)
            if entry is None or entry.record.sequence == stored:
                return
            stored = entry.record.sequence
            try:
                await self._dht.put(entry.record.key, entry.record.pack(entry.age_s))
            except (PeerError, CapacityError) as error:
                self._refusals.refuse(error)
                return

    # --- as time goes by ----------------------------------------------------------------------

    def heard_own(self, record: Record) -> None:
        """A record of this node's came from outside, or from its book of an earlier run."""
        fact = (record.kind, record.subject)
        if not record.withdrawn and fact not in self._own and len(self._orphans) < _ORPHANS_MAX:
            self._orphans[fact] = record

    def restate(self) -> None:
        """Spread what is due."""
        now = self._clock.monotonic()
        for record in self._own.due(now):
            self._spread(record)
        if self._orphans and now - self._started > self._ttl_s:
            orphans, self._orphans = self._orphans, {}
            for kind, subject in orphans:
                if (kind, subject) not in self._own:
                    self._withdraw(kind, subject)
        if now >= self._pages_due:
            self._pages_due = now + self._ttl_s
            if self._indexing.look_again():
                self._settle()

    def again(self) -> None:
        """Somebody came into reach who may not have heard what was withdrawn meanwhile."""
        self._own.again(self._clock.monotonic())

    async def leave(self) -> None:
        """Withdraw what ends with this node; on return it is stored wherever it could be.

        What others want to know of it while it is away stays and goes stale: the VMs that it holds
        and the checkpoints that it keeps.
        """
        facts = self._own.standing()
        facts.sort(key=lambda fact: fact[0] is not Kind.NODE)
        ending = [fact for fact in facts if fact[0] is Kind.NODE or fact[0] not in LASTING]
        limit = trio.CapacityLimiter(LEAVE_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for fact in ending:
                record = self._withdraw(*fact)
                nursery.start_soon(self._put_limited, record.slot, limit)

    async def _put_limited(self, slot: Slotted, limit: trio.CapacityLimiter) -> None:
        async with limit:
            await self._put_newest(slot)
