"""The directory of one node: stating, asking, learning, running.

It is also the DHT's judge (`Contents`): what others store here is checked once and learned in the
same breath.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

import trio

from radics_mesh.clock import Clock, Monotonic
from radics_mesh.config import Config
from radics_mesh.dht.server import Dht
from radics_mesh.dht.store import Slot
from radics_mesh.directory.changes import Change, Changes, Slotted
from radics_mesh.directory.known import Known
from radics_mesh.directory.neighbours import named_neighbours
from radics_mesh.directory.refusals import Refusals
from radics_mesh.directory.saved import SavedBook
from radics_mesh.directory.search import Found, Search
from radics_mesh.directory.stating import Stating
from radics_mesh.directory.vms import VmEntry, Vms
from radics_mesh.directory.watch import Watch, Watches
from radics_mesh.errors import CapacityError, PeerError, WireError
from radics_mesh.exchange import TTL_S as OBJECT_TTL_S
from radics_mesh.exchange import ObjectExchange
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, Eid, NodeId, VmId
from radics_mesh.jobs import Jobs
from radics_mesh.knowledge import objects
from radics_mesh.knowledge.book import Entry, aged, is_record
from radics_mesh.knowledge.holders import Holders
from radics_mesh.knowledge.index import INDEXED
from radics_mesh.knowledge.refresh import Fact, Refresh
from radics_mesh.knowledge.sequence import SequenceNumbers
from radics_mesh.knowledge.statements import Statements
from radics_mesh.membership import Certificate, Verifier
from radics_mesh.ownership import Ownership
from radics_mesh.paths import Pattern
from radics_mesh.records import Kind, Record, dht_key

WORKERS = 8
# How often what was stated is looked through for what must be stated again.
TICK_S = 1.0
# How often the book is written to disk. A crash loses what was learned since; it is learned again.
SAVE_S = 300.0
# Names of a watched pattern that are looked for in each round.
WATCHED_MAX = 256


class Directory:
    """`run` keeps it alive; everything else may be called before and meanwhile.

    `counters`: refused_* by reason, outdated (late, replayed or rolled back), learned, lookups,
    lookups_remote, forgotten. `is_unreachable`: who can say that a node is out of reach, so that
    what it states is shown as stale before it has expired.
    """

    def __init__(
        self,
        *,
        dht: Dht,
        identity: Identity,
        chain: bytes,
        verifier: Verifier,
        clock: Clock,
        config: Config,
    ) -> None:
        self.me = identity.node_id
        self.counters: Counter[str] = Counter()
        self._dht = dht
        self._verifier = verifier
        self._clock = clock
        self._ttl_s = config.record_ttl_s
        self._round_s = config.publish_every_s / 2
        self._holders = Holders()
        self._sequence = SequenceNumbers(config.state / "sequence.msgpack", clock)
        self._refresh = Refresh(config.publish_every_s, config.record_ttl_s)
        self._own = Statements(identity, chain, self._sequence)
        self._known = Known(self.me, verifier, clock, self._holders, self._own)
        self._book = self._known.book
        self._saved = SavedBook(config.state / "records.msgpack", self._book, clock)
        self._jobs = Jobs()
        self._objects = ObjectExchange(dht, identity, chain, clock, self._jobs)
        self._changes = Changes()
        self._refusals = Refusals(self.counters)
        self._vms = Vms(
            self._known, self._holders, self._objects, clock, self._changes, self._refusals
        )
        self._stating = Stating(
            self.me,
            self._own,
            self._book,
            dht,
            self._jobs,
            clock,
            config.record_ttl_s,
            self._refusals,
            self._note,
            self._ask,
        )
        self._search = Search(self._ask, self.lookup, self._known.subjects, self._width)
        self._watches = Watches(self._known.entry, self._known.slots)
        self._changes.first = self._watches.hint
        # Chains that somebody still follows although another branch of the VM counts.
        self.lower = self._vms.lower
        self._fresh: set[Slotted] = set()
        self._contacts_added = 0
        self._saved.load()
        self._known.each_own(self._stating.heard_own)
        dht.serve(self)

    @property
    def is_unreachable(self) -> Callable[[NodeId], bool]:
        return self._known.is_unreachable

    @is_unreachable.setter
    def is_unreachable(self, judge: Callable[[NodeId], bool]) -> None:
        self._known.is_unreachable = judge

    # --- stating ------------------------------------------------------------------------------

    async def announce(
        self,
        kind: Kind,
        subject: str,
        body: Mapping[str, object],
        *,
        ttl_s: int | None = None,
    ) -> Record:
        """State a fact, now and again until withdrawn or stated anew.

        Returns when it is known here and on its way; whether any other node has it cannot be
        waited for. UsageError when it is too long for one datagram.
        """
        return self._stating.announce(kind, subject, body, ttl_s)

    async def withdraw(self, kind: Kind, subject: str) -> None:
        """Take a fact back. The withdrawal is repeated until all copies would have expired."""
        self._stating.withdraw(kind, subject)

    def renew(self, chain: bytes) -> None:
        """From now on this node proves what it states by that chain of its own."""
        self._own.chain = self._objects.chain = chain

    def certificate(self, node: NodeId) -> Certificate | None:
        """Of a member that showed one, or whose record is known here."""
        return self._known.certificate(node)

    async def leave(self) -> None:
        """Take back what ends with this node, before it ends in an orderly way. Takes as long as
        others take to answer: bound it."""
        await self._stating.leave()

    # --- asking -------------------------------------------------------------------------------

    async def lookup(self, kind: Kind, subject: str) -> list[Entry]:
        """Who states this fact: what is known here if that is young enough to answer for itself
        (Known.answers), else the same after asking the DHT; the youngest first, stale ones last.

        However it came here (DHT, gossip, bundles, sessions), an entry's age is what the record
        gathered on its way and here. Takes seconds when nodes fail to answer; never raises for it.
        """
        self.counters["lookups"] += 1
        self._refresh.asked((kind, subject), self._clock.monotonic())
        known = self.known(kind, subject)
        return known if self._known.answers(known) else await self._ask(kind, subject)

    async def _ask(self, kind: Kind, subject: str) -> list[Entry]:
        await self._fetch(kind, subject)
        return self.known(kind, subject)

    async def search(
        self, kind: Kind, pattern: Pattern, *, after: str = "", limit: int = 100
    ) -> Found:
        """Sources or services by the beginning of their names, `limit` names behind `after`."""
        return await self._search.search(kind, pattern, after=after, limit=limit)

    def watch(self, kind: Kind, pattern: Pattern) -> Watch:
        """What is known of the facts that match, and then what changes; CapacityError.

        As long as it is open, what matches is looked for in the DHT as well (of nodes, VMs and
        images only exact names: these have no index).
        """
        return self._watches.open(kind, pattern)

    def seek(self, kind: Kind, subject: str) -> None:
        """Look a fact up in the background, unless that was tried just now."""
        fact = (kind, subject)
        if self._refresh.try_now(fact, self._clock.monotonic()):
            self._look_up_again(fact)

    def known(self, kind: Kind, subject: str | None = None) -> list[Entry]:
        """The same from local knowledge alone; None: of every subject."""
        return self._known.entries(kind, subject)

    def members(self) -> list[Record]:
        """What every node last said of itself, those that left or were revoked among them."""
        return self._known.members()

    async def vm(self, vm_id: VmId) -> VmEntry | None:
        """The VM's record by its proven holder, stale or not; None when none is known."""
        await self.lookup(Kind.VM, vm_id.text)
        return self.known_vm(vm_id)

    def known_vm(self, vm_id: VmId) -> VmEntry | None:
        """The same from local knowledge alone."""
        return self._vms.known(vm_id)

    def ownership(self, vm_id: VmId) -> Ownership | None:
        """The best chain known of a VM, whether or not anybody states a record of it."""
        return self._holders.chain(vm_id)

    def held(self) -> list[Entry]:
        """What may be passed on to others: withdrawals too, and what is stale, for it says so; not
        what this node stated in an earlier life, nor what revoked members say."""
        return self._known.held()

    def asked_for(self) -> list[Fact]:
        """Facts that somebody here looked up lately, the latest last."""
        return self._refresh.asked_for()

    def key_of(self, node: NodeId) -> bytes:
        """A node's public key, as far as is known here, whether or not it has left; else empty."""
        return self._known.key_of(node)

    def is_lower(self, chain: Ownership) -> bool:
        """Whether another branch of its VM is known that counts for more."""
        return self._holders.is_lower(chain)

    def locate(self, eid: Eid) -> NodeId | None:
        """Which node bundles for this endpoint should go to, as far as is known here.

        For a VM that is unknown or whose record is not fresh a look-up starts in the background;
        a Change of kind VM follows if it finds something.
        """
        vm_id = eid.vm_id
        if vm_id is None:
            return eid.node_id
        known, fact = self.known_vm(vm_id), (Kind.VM, vm_id.text)
        outdated = known is None or known.entry.stale
        if outdated and self._refresh.try_now(fact, self._clock.monotonic()):
            self._jobs.start(lambda: self._fetch(*fact), once=fact)
        return self._holders.holder(vm_id)

    async def _fetch(self, kind: Kind, subject: str) -> None:
        """Ask the DHT; what it finds is learned through `admit`."""
        self.counters["lookups_remote"] += 1
        await self._dht.get(dht_key(kind, subject))
        if kind is Kind.VM:
            await self._vms.prove(subject)

    # --- learning -----------------------------------------------------------------------------

    def learn(self, raw: bytes) -> Entry | None:
        """A packed record that came by another way; None when refused (counted) or outdated."""
        try:
            record = self._book.parse(raw, self._clock.wall())
            self._note(record)
        except (WireError, PeerError, CapacityError) as error:
            self._refusals.refuse(error)
            return None
        return self._book.entry(*record.slot, self._clock.monotonic())

    def learn_ownership(self, packed: bytes) -> Ownership | None:
        """A chain of ownership from a bundle or a hand-off; None when refused (counted)."""
        return self._vms.learn(packed)

    def admit(self, key: bytes, value: bytes) -> Slot:
        """As `radics_mesh.dht.store.Contents`: check a value for the DHT, and learn it."""
        try:
            if is_record(value):
                return self._admit_record(key, value)
            signer = objects.check(key, value, self._verifier, self._clock.wall())
        except (WireError, PeerError, CapacityError) as error:
            self._refusals.refuse(error)
            raise
        return Slot(bytes(signer or b""), 0, OBJECT_TTL_S)

    def _admit_record(self, key: bytes, value: bytes) -> Slot:
        record = self._book.parse(value, self._clock.wall())
        if record.key != key:
            raise PeerError(f"a {record.kind} record under another key than its own")
        self._note(record)
        remaining_s = self._book.remaining_s(record, self._clock.monotonic())
        if record.kind is Kind.INDEX and record.withdrawn:
            # Its publisher went to another page to make room in this one; books bar what is older.
            remaining_s = 0.0
        return Slot(bytes(record.publisher), record.sequence, remaining_s)

    def aged(self, value: bytes, held_s: float) -> bytes:
        """As `Contents`."""
        return aged(value, held_s) if is_record(value) else value

    def _note(self, record: Record) -> None:
        if record.publisher == self.me:
            self._sequence.used(record.sequence)
        if not self._book.hold(record, self._clock.monotonic()):
            return
        if record.publisher == self.me:
            self._stating.heard_own(record)
        self.counters["learned"] += 1
        self._refresh.found((record.kind, record.subject))
        self._fresh.add(record.slot)
        if self._vms.lacks_proof(record):
            prove, subject = self._vms.prove, record.subject
            self._jobs.start(lambda: prove(subject), once=("prove", subject))
            return
        self._changes.tell(Change(*record.slot))

    # --- objects ------------------------------------------------------------------------------

    async def put_object(self, content: bytes) -> Digest:
        """Make bytes available by their digest, from now on. UsageError above 128 KiB."""
        return self._objects.put(content)

    async def get_object(self, digest: Digest) -> bytes | None:
        """The bytes of that digest, from here or the DHT; None when nobody reachable has them."""
        return await self._objects.get(digest)

    # --- running ------------------------------------------------------------------------------

    def changes(self) -> trio.MemoryReceiveChannel[Change]:
        """Changes from now on; see `Broadcast.listen` for what a slow reader loses."""
        return self._changes.listen()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; then what is known is written to disk."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._jobs.run, WORKERS)
                nursery.start_soon(self._every, TICK_S, self._tick)
                nursery.start_soon(self._every, self._round_s, self._look_around)
                nursery.start_soon(self._every, SAVE_S, self._tidy)
                task_status.started()
        finally:
            self._saved.save()

    async def _every(self, period_s: float, act: Callable[[], None]) -> None:
        while True:
            await trio.sleep(period_s)
            act()

    def _tick(self) -> None:
        self._stating.restate()
        self._objects.put_again()

    def _tidy(self) -> None:
        self.counters["forgotten"] += self._book.forget_old(self._clock.monotonic())
        self._saved.save()

    def _look_around(self) -> None:
        """Report what has gone stale, and look up what should be fresh."""
        now = self._clock.monotonic()
        for slot in [slot for slot in self._fresh if self._known.is_stale(slot, now)]:
            self._fresh.discard(slot)
            self._changes.tell(Change(*slot))
        added = self._dht.counters["contacts_added"]
        if added != self._contacts_added:
            self._contacts_added = added
            self._refresh.again()
            self._stating.again()
        self._look_for_watched(now)
        nodes = {node.text for node in self._nodes() - {self.me}}
        for fact in self._refresh.due(nodes, lambda fact: self._known.age_s(fact, now), now):
            self._look_up_again(fact)

    def _look_for_watched(self, now: Monotonic) -> None:
        for kind, pattern in self._watches.wanted():
            if not pattern.below:
                self._refresh.asked((kind, pattern.text), now)
            elif kind in INDEXED:
                find = partial(self._search.search, kind, pattern, after="", limit=WATCHED_MAX)
                self._jobs.start(find, once=("watched", kind, pattern))

    def reach_changed(self, node: NodeId) -> None:
        """What `is_unreachable` says of a node is another than before."""
        for slot in [slot for slot in self._fresh if slot[2] == node]:
            self._changes.tell(Change(*slot))

    def _width(self, subject: str) -> int:
        return self._book.width(Kind.INDEX, subject)

    def _nodes(self) -> set[NodeId]:
        """Every node that was heard of: from the DHT, by its records, as another's neighbour."""
        nodes = {*self._dht.heard(), *self._book.publishers()}
        for entry in self.known(Kind.NODE):
            nodes |= named_neighbours(entry.record)
        return nodes

    def _look_up_again(self, fact: Fact) -> None:
        self._jobs.start(lambda: self._fetch(*fact), once=fact)
