"""What a node knows from records: for every fact and publisher the newest, with its age. Sans-IO.

A fact (kind and subject) may be stated by many publishers; each has one place, and its higher
sequence wins. What has outlived its time is *stale*, which in a partition is all there is. A
withdrawn record stays as well, unseen, so that the record that it withdrew cannot come back.

Forgetting goes by age, the same everywhere: KEPT_S after its time is over, a withdrawal goes, and
so does a stale record of a kind that says what is to be had now (LASTING lists the others: where a
node or a VM was last is kept). Whatever is withdrawn is older than its withdrawal and lives no
longer, so every copy of it is gone first; `floors` bars one whose age lies. A full book forgets
earlier, the longest expired first, and the records of nodes last of all.

Ages: a record arrives with the age that it gathered on its way, and ages here by the monotonic
clock. The same record coming again changes nothing, least of all its age. Between two runs of the
program only wall clocks can tell; when they cannot, what was known counts as stale.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from radics_mesh.clock import Monotonic, Wall, is_plausible
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import CapacityError, MeshError, PeerError
from radics_mesh.ids import NodeId
from radics_mesh.knowledge.floors import FLOORS_MAX, Floors
from radics_mesh.membership import Verifier
from radics_mesh.records import RECORD_MAX_BYTES, Kind, Record

TOTAL_MAX = 8192
PUBLISHER_MAX = 512
_VERIFIED_MAX = 4096
_FORMAT = 2
# A week, so that a node that is met on Sundays is told of what was withdrawn meanwhile, and a day.
KEPT_S = 8 * 86400.0
LASTING = frozenset({Kind.NODE, Kind.VM, Kind.VM_NAME, Kind.CHECKPOINT})


@dataclass(frozen=True)
class Entry:
    """A record as it stands now."""

    record: Record
    age_s: float
    stale: bool

    @property
    def publisher(self) -> NodeId:
        return self.record.publisher


@dataclass(frozen=True)
class _Held:
    record: Record
    since: Monotonic

    def age_s(self, now: Monotonic) -> float:
        return self.record.age_s + now - self.since

    def entry(self, now: Monotonic) -> Entry:
        age_s = self.age_s(now)
        return Entry(self.record, age_s, age_s > self.record.ttl_s)

    def is_over(self, now: Monotonic) -> bool:
        """Whether it is to be forgotten for its age."""
        kind = self.record.kind
        # That a node has left goes with its name and its key: it may be written to all the same.
        lasting = kind in LASTING and (kind is Kind.NODE or not self.record.withdrawn)
        return not lasting and self.age_s(now) > self.record.ttl_s + KEPT_S


class Outdated(PeerError):
    """An older record than the one held. Where links come and go, some arrive late: no fault."""


class RecordBook:
    """Every record in it has a valid signature by a member."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._facts: dict[tuple[Kind, str], dict[NodeId, _Held]] = {}
        self._published: Counter[NodeId] = Counter()
        self._floors = Floors()
        # The signed part of a packed record: the record. Most of what arrives is known already,
        # and a signature costs a Pi a millisecond.
        self._verified: OrderedDict[bytes, Record] = OrderedDict()

    def __len__(self) -> int:
        return self._published.total()

    # --- learning -----------------------------------------------------------------------------

    def parse(self, raw: bytes, wall: Wall) -> Record:
        """The record, its age as of now; WireError or PeerError. Does not hold it."""
        fields = Fields.parse(raw, "record", limit_bytes=RECORD_MAX_BYTES)
        age_ms = fields.integer(0, 1 << 48)
        signed = raw[1 + len(pack(age_ms)) :]
        known = self._verified.get(signed)
        if known is None:
            known = Record.parse(raw, self._verifier, wall)
            self._verified[signed] = known
            if len(self._verified) > _VERIFIED_MAX:
                self._verified.popitem(last=False)
        else:
            self._verifier.member(known.chain, wall)
        return replace(known, age_s=age_ms / 1000)

    def hold(self, record: Record, now: Monotonic) -> bool:
        """Take note of a parsed record; whether it is news.

        Outdated for an older one than held (late, replayed, or a state rolled back), PeerError for
        two different ones with one sequence, CapacityError when the book is full of fresher ones.
        """
        kind, subject, publisher = record.slot
        held = self._facts.get((kind, subject), {}).get(publisher)
        if held is None:
            if self._floors.bars(record) or _Held(record, now).is_over(now):
                raise Outdated(f"a {kind} record from before what was forgotten")
            self._make_room(record, now)
            self._published[publisher] += 1
        elif record.sequence < held.record.sequence:
            raise Outdated(f"a {kind} record older than the one known")
        elif record.sequence == held.record.sequence:
            if record.statement != held.record.statement:
                raise PeerError(f"two {kind} records with one sequence")
            return False
        self._facts.setdefault((kind, subject), {})[publisher] = _Held(record, now)
        return True

    def _make_room(self, record: Record, now: Monotonic) -> None:
        if self._published[record.publisher] >= PUBLISHER_MAX:
            publisher = record.publisher
            self._forget(now, [h for h in self._all() if h.record.publisher == publisher])
        if len(self) >= TOTAL_MAX:
            self._forget(now, list(self._all()))

    def _forget(self, now: Monotonic, among: list[_Held]) -> None:
        """Drop the sixteenth of some records that matters least: stale or withdrawn ones."""
        spare = [h for h in among if h.record.withdrawn or h.entry(now).stale]
        if not spare:
            raise CapacityError("too many records")
        spare.sort(
            key=lambda h: (h.record.kind is Kind.NODE, h.record.ttl_s - h.age_s(now)),
        )
        for held in spare[: max(1, len(among) // 16)]:
            self._drop(held)

    def _drop(self, held: _Held) -> None:
        kind, subject, publisher = held.record.slot
        fact = self._facts[kind, subject]
        del fact[publisher]
        if not fact:
            del self._facts[kind, subject]
        self._published[publisher] -= 1
        if held.record.withdrawn or kind not in LASTING:
            self._floors.forgotten(held.record)

    def forget_old(self, now: Monotonic) -> int:
        """Drop what is over; how many."""
        over = [held for held in self._all() if held.is_over(now)]
        for held in over:
            self._drop(held)
        return len(over)

    # --- telling ------------------------------------------------------------------------------

    def _all(self) -> Iterator[_Held]:
        for fact in self._facts.values():
            yield from fact.values()

    def entry(self, kind: Kind, subject: str, publisher: NodeId, now: Monotonic) -> Entry | None:
        """The newest of one publisher, withdrawn or not."""
        held = self._facts.get((kind, subject), {}).get(publisher)
        return held.entry(now) if held else None

    def entries(self, kind: Kind, subject: str | None, now: Monotonic) -> list[Entry]:
        """All that stands, the youngest first; None: of every subject."""
        if subject is None:
            facts = [fact for (k, _), fact in self._facts.items() if k is kind]
        else:
            facts = [self._facts.get((kind, subject), {})]
        found = [
            held.entry(now) for fact in facts for held in fact.values() if not held.record.withdrawn
        ]
        return sorted(found, key=lambda entry: (entry.stale, entry.age_s))

    def width(self, kind: Kind, subject: str) -> int:
        """How many have ever stated it, those that withdrew it since among them."""
        return len(self._facts.get((kind, subject), {}))

    def last(self, kind: Kind, subject: str | None = None) -> list[Record]:
        """What each publisher said of a fact last, withdrawals among it; None: of every subject."""
        return [
            held.record
            for (k, s), fact in self._facts.items()
            if k is kind and subject in (None, s)
            for held in fact.values()
        ]

    def everything(self, now: Monotonic) -> list[Entry]:
        """All that is held, withdrawn or not, in no order."""
        return [held.entry(now) for held in self._all()]

    def publishers(self) -> set[NodeId]:
        """Everyone who has stated anything."""
        return {publisher for publisher, count in self._published.items() if count > 0}

    def remaining_s(self, record: Record, now: Monotonic) -> float:
        """How long a held record is still fresh; negative once it is stale."""
        held = self._facts[record.kind, record.subject][record.publisher]
        return record.ttl_s - held.age_s(now)

    # --- across a restart ---------------------------------------------------------------------

    def dump(self, now: Monotonic, wall: Wall) -> bytes:
        """All records with their ages, and when that was."""
        records = [held.record.pack(held.age_s(now)) for held in self._all()]
        return pack([_FORMAT, int(max(0.0, wall) * 1000), records, self._floors.dump()])

    def load(self, data: bytes, now: Monotonic, wall: Wall) -> int:
        """Take back what `dump` gave; how many records. WireError when it is something else."""
        fields = Fields.parse(data, "record book", limit_bytes=2 * TOTAL_MAX * RECORD_MAX_BYTES)
        form = fields.integer(1, _FORMAT)
        saved = Wall(fields.integer() / 1000)
        known_s = wall - saved if is_plausible(saved) and wall >= saved else None
        loaded = 0
        listed = fields.items(limit=TOTAL_MAX)
        self._floors.load(fields.items(limit=FLOORS_MAX) if form > 1 else [])
        for item in listed:
            raw = Fields([item], "record").blob(limit=RECORD_MAX_BYTES)
            try:
                record = self.parse(raw, wall)
                slept_s = float(record.ttl_s) if known_s is None else known_s
                self.hold(replace(record, age_s=record.age_s + slept_s), now)
            except MeshError:
                continue  # its signer's certificate has expired meanwhile, say
            loaded += 1
        return loaded


def aged(raw: bytes, held_s: float) -> bytes:
    """A packed record, older by `held_s`; the signed part stays as it is."""
    fields = Fields.parse(raw, "record", limit_bytes=RECORD_MAX_BYTES)
    age_ms = fields.integer(0, 1 << 48)
    grown_ms = min(age_ms + int(max(0.0, held_s) * 1000), 1 << 48)
    rest = [fields.any() for _ in range(3)]
    return pack([grown_ms, *rest])


def is_record(value: bytes) -> bool:
    """Whether bytes can be a packed record (and not an object, see `objects`)."""
    return value[:1] == b"\x94"
