"""Anti-entropy: what this node lacks, and what others do. Sans-IO.

    every now and then, and at each contact:   digest ──▶     (this I hold)
                                               ◀── items      (of the buckets that differ)
                                               want ──▶       (what I lack or hold older)
                                               ◀── records

Whoever answers a digest sends its own, so that both sides end with the same. What has just become
known is told at once besides: its item, to FAN_OUT others in each round, in NEWS_ROUNDS rounds; a
record itself goes to nobody who has not asked for it. Renewals of what is known are no news: a
digest names some of the records that grow old (AGING_MAX), and gets younger ones.

A small book is compared as a whole. Once it holds more than WHOLE_MAX records, only what is of
this node's *scope*: of the publishers in its view, and the facts that somebody here asked for.

Records are checked by whoever takes them (`Holdings.learn`), as those from anywhere else. An
address that has not proved itself gets nothing longer than what it sent.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random
from typing import Protocol

from radics_mesh.errors import WireError
from radics_mesh.gossip import entropy_messages as messages
from radics_mesh.gossip.budget import Budget
from radics_mesh.gossip.digests import Index, Item, differing, name_in, sums
from radics_mesh.gossip.entropy_messages import ITEMS_MAX, NAMES_MAX, Carried, Digest, Items, Want
from radics_mesh.knowledge.book import Entry
from radics_mesh.link import SocketAddress

# Up to so many records two nodes compare all that they hold.
WHOLE_MAX = 1024
# Datagrams of items in answer to one digest.
ANSWERS_MAX = 4
FAN_OUT = 3
# Beyond these a record comes with the next digest.
NEWS_ROUNDS = 8
NEWS_MAX = 256
# The share of its life after which a record is asked for anew, though nothing else is known of it;
# before it would be looked up in the DHT, which costs more (radics_mesh.knowledge.refresh).
AGING_SHARE = 0.4
GONE_SHARE = 3.0
# Records sent to one address: at once, and a second. More is asked for again later.
BURST, PER_S = 64.0, 16.0
# What is held is looked through no more often.
CACHED_S = 0.2
TRIES = 3
PENDING_MAX = 256
ASKED_MAX = 1024
ASK_MAX_S = 600.0


class Holdings(Protocol):
    """What is held, and who judges what comes."""

    def held(self) -> Collection[Entry]:
        """All that may be passed on, withdrawals too."""
        ...

    def learn(self, raw: bytes) -> bool:
        """Check a packed record; whether it is held now. Never raises."""
        ...

    def scope(self) -> frozenset[bytes]:
        """Tags of the publishers and facts that matter here, at most SCOPE_MAX."""
        ...


@dataclass(frozen=True)
class Settings:
    # Between two comparisons with somebody; doubled, up to the last, while they bring nothing.
    compare_s: float = 10.0
    compare_max_s: float = 40.0
    # While they bring something.
    soon_s: float = 1.0
    news_s: float = 0.5
    # How long a record that was asked for may take; then it is asked for again, TRIES times in all.
    try_s: float = 0.4


@dataclass
class _Asked:
    source: SocketAddress
    due: float
    tries: int = 1


class Entropy:
    """`proved` says whether a member answers at an address.

    `counters`: digests, differed, wanted, records_out, records_in, records_new, throttled,
    unproved, malformed.
    """

    def __init__(
        self,
        holdings: Holdings,
        *,
        proved: Callable[[SocketAddress], bool],
        random: Random,
        now: float,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.counters: Counter[str] = Counter()
        self.outgoing: list[tuple[bytes, SocketAddress]] = []
        # Those that can be told something, as of now; whoever runs this sets it before `tick`.
        self.peers: list[SocketAddress] = []
        self._holdings = holdings
        self._proved = proved
        self._random = random
        self._index = Index()
        self._budget = Budget(BURST, PER_S)
        self._news: OrderedDict[bytes, int] = OrderedDict()
        self._stirred = True
        self._versions: dict[bytes, bytes] | None = None
        self._wait_s = self.settings.compare_s
        self._compare_at = now + self.settings.soon_s * random.random()
        self._news_at = now
        self._learned = 0
        # What was asked for: name and sequence; when it may be asked for again, and the wait then.
        self._asked: OrderedDict[tuple[bytes, int], tuple[float, float]] = OrderedDict()
        # What has not come yet, by name.
        self._pending: dict[bytes, _Asked] = {}
        self._cached: tuple[float, dict[bytes, tuple[Item, Entry]]] = (-math.inf, {})

    # --- coming in ------------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: SocketAddress, now: float) -> None:
        """Never raises."""
        try:
            message = messages.parse(datagram)
        except WireError:
            self.counters["malformed"] += 1
            return
        if not (isinstance(message, Carried) or self._proved(source)):
            self.counters["unproved"] += 1
            return
        match message:
            case Digest():
                self._answer(message, source, now)
            case Items():
                self._choose(message, source, now)
            case Want():
                self._serve(message, source, now)
            case Carried():
                self._take(message.record)

    def _answer(self, digest: Digest, source: SocketAddress, now: float) -> None:
        held = self._held(now)
        theirs = [item for item, _ in held.values() if item.is_of(digest.scope)]
        buckets = differing(sums(theirs), digest.sums)
        aging = set(digest.aging)
        fitting = [i for i in theirs if i.bucket in buckets and i.name not in aging]
        # Bounded; what is left out has its chance the next time.
        self._random.shuffle(fitting)
        fitting = [held[name][0] for name in digest.aging if name in held] + fitting
        for at in range(0, min(len(fitting), ANSWERS_MAX * ITEMS_MAX), ITEMS_MAX):
            self._put(Items(tuple(fitting[at : at + ITEMS_MAX])).pack(), source)
        if buckets:
            self.counters["differed"] += 1
            if not digest.answers:
                self._put(self._digest(held, answers=True).pack(), source)

    def _choose(self, message: Items, source: SocketAddress, now: float) -> None:
        """Ask for what is missing here, and of this node's scope."""
        held = self._held(now)
        scope = self._scope(held)
        wanted = [
            item.name
            for item in message.items
            if item.is_of(scope) and self._lacks(item, held) and self._may_ask(item, now)
        ]
        if wanted:
            self.counters["wanted"] += len(wanted)
            self._put(Want(tuple(wanted[:NAMES_MAX])).pack(), source)
            due = now + self.settings.try_s
            for name in wanted[: PENDING_MAX - len(self._pending)]:
                self._pending[name] = _Asked(source, due)

    def _may_ask(self, item: Item, now: float) -> bool:
        """Not while it may be on its way; ever more rarely what came and was refused, perhaps."""
        asked = (item.name, item.sequence)
        due, wait_s = self._asked.pop(asked, (-math.inf, self.settings.soon_s))
        allowed = due <= now
        if allowed:
            due, wait_s = now + wait_s, min(1.5 * wait_s, ASK_MAX_S)
        self._asked[asked] = (due, wait_s)
        if len(self._asked) > ASKED_MAX:
            self._asked.popitem(last=False)
        return allowed

    def _lacks(self, item: Item, held: dict[bytes, tuple[Item, Entry]]) -> bool:
        if item.name not in held:
            return True
        ours, entry = held[item.name]
        if item.sequence <= ours.sequence:
            return False
        return item.version != ours.version or is_aging(entry)

    def _serve(self, message: Want, source: SocketAddress, now: float) -> None:
        held = self._held(now)
        for name in message.names:
            if name not in held:
                continue
            if not self._budget.take(repr(source).encode(), now):
                self.counters["throttled"] += 1
                return
            _, entry = held[name]
            self.counters["records_out"] += 1
            self._put(Carried(entry.record.pack(entry.age_s)).pack(), source)

    def _take(self, record: bytes) -> None:
        self.counters["records_in"] += 1
        self._forget_request(record)
        if self._holdings.learn(record):
            self.counters["records_new"] += 1
            self.stir()

    def _forget_request(self, record: bytes) -> None:
        """It has come, whatever becomes of it."""
        name = name_in(record)
        if name is not None:
            self._pending.pop(name, None)

    # --- what is due ----------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """When `tick` must be called next."""
        due = [self._compare_at, *(asked.due for asked in self._pending.values())]
        if self._news or self._stirred:
            due.append(self._news_at)
        return min(due)

    def _ask_again(self, now: float) -> None:
        """For what has not come: the question got lost, or the answer."""
        late = {name: asked for name, asked in self._pending.items() if asked.due <= now}
        again: dict[SocketAddress, list[bytes]] = {}
        for name, asked in late.items():
            asked.tries += 1
            asked.due = now + self.settings.try_s
            again.setdefault(asked.source, []).append(name)
            if asked.tries >= TRIES:
                del self._pending[name]
        for source, names in again.items():
            for at in range(0, len(names), NAMES_MAX):
                self._put(Want(tuple(names[at : at + NAMES_MAX])).pack(), source)

    def tick(self, now: float) -> None:
        self._ask_again(now)
        if self._stirred and self._news_at <= now:
            self._look()
        if self._news and self._news_at <= now:
            self._tell_news(now)
        if self._compare_at <= now:
            self._compare(now)

    def stir(self) -> None:
        """Something may be news here, from wherever it came."""
        self._stirred = True

    def _look(self) -> None:
        """What is news. The first time nothing is."""
        self._stirred = False
        self._cached = (-math.inf, {})
        items = [self._index.item(entry.record) for entry in self._holdings.held()]
        before, self._versions = self._versions, {item.name: item.version for item in items}
        if before is None:
            return
        for item in items:
            if before.get(item.name) != item.version:
                self._news[item.name] = 0
                if len(self._news) > NEWS_MAX:
                    self._news.popitem(last=False)

    def meet(self, address: SocketAddress, now: float) -> None:
        """Compare with somebody who has just come."""
        self._put(self._digest(self._held(now)).pack(), address)

    def _compare(self, now: float) -> None:
        learned = self.counters["records_new"]
        settings = self.settings
        if learned != self._learned:
            self._wait_s = wait_s = settings.compare_s
            wait_s = settings.soon_s
        else:
            wait_s = self._wait_s
            self._wait_s = min(2 * self._wait_s, settings.compare_max_s)
        self._learned = learned
        self._compare_at = now + wait_s * self._random.uniform(0.8, 1.2)
        if self.peers:
            self.counters["digests"] += 1
            self.meet(self._random.choice(self.peers), now)

    def _tell_news(self, now: float) -> None:
        self._news_at = now + self.settings.news_s
        held = self._held(now)
        chosen = [name for name in self._news if name in held][:ITEMS_MAX]
        for name in list(self._news):
            self._news[name] += 1
            if self._news[name] >= NEWS_ROUNDS or name not in held:
                del self._news[name]
        if not chosen:
            return
        told = Items(tuple(held[name][0] for name in chosen)).pack()
        for address in self._random.sample(self.peers, min(FAN_OUT, len(self.peers))):
            self._put(told, address)

    # --- what is held ---------------------------------------------------------------------------

    def _held(self, now: float) -> dict[bytes, tuple[Item, Entry]]:
        """By name. A large book is not gone through for each datagram."""
        when, held = self._cached
        if now - when > CACHED_S:
            held = self._index.of(self._holdings.held())
            self._cached = (now, held)
        return held

    def _scope(self, held: dict[bytes, tuple[Item, Entry]]) -> frozenset[bytes]:
        """Empty, which is everything, as long as that is not much."""
        return frozenset() if len(held) <= WHOLE_MAX else self._holdings.scope()

    def _digest(self, held: dict[bytes, tuple[Item, Entry]], *, answers: bool = False) -> Digest:
        scope = self._scope(held)
        ours = [(item, entry) for item, entry in held.values() if item.is_of(scope)]
        return Digest(scope, sums(item for item, _ in ours), self._aging(ours), answers)

    def _aging(self, ours: list[tuple[Item, Entry]]) -> tuple[bytes, ...]:
        """Some that grow old, and one of those that have been for long: its publisher is gone."""
        aging = [(item.name, entry) for item, entry in ours if is_aging(entry)]
        gone = {name for name, entry in aging if entry.age_s > GONE_SHARE * entry.record.ttl_s}
        recent = [name for name, _ in aging if name not in gone]
        some = self._random.sample(recent, min(messages.AGING_MAX - 1, len(recent)))
        return (*some, *self._random.sample(sorted(gone), min(1, len(gone))))

    def _put(self, datagram: bytes, address: SocketAddress) -> None:
        self.counters["datagrams_out"] += 1
        self.counters["bytes_out"] += len(datagram)
        self.outgoing.append((datagram, address))


def is_aging(entry: Entry) -> bool:
    """Whether it is soon stale, or is. A withdrawal says nothing that could grow old."""
    return not entry.record.withdrawn and entry.age_s > AGING_SHARE * entry.record.ttl_s
