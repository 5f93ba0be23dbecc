"""Honest and hostile members of one mesh, in simulation: the real code, delays, signed records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

import trio

from radics_mesh.clock import Wall
from radics_mesh.config import Address
from radics_mesh.dht.server import Dht
from radics_mesh.dht.store import Slot
from radics_mesh.errors import PeerError
from radics_mesh.identity import Identity
from radics_mesh.link_memory import MemoryLink, MemoryNetwork
from radics_mesh.me import Me
from radics_mesh.membership import Verifier
from radics_mesh.records import Kind, Record, dht_key, sign
from tests.dht.world import TrioClock, at
from tests.members import MESH, member

RECORD_TTL_S = 600


class SignedRecords:
    """Contents: records of members, as the directory checks them."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def admit(self, key: bytes, value: bytes) -> Slot:
        record = Record.parse(value, self._verifier, TrioClock().wall())
        if record.key != key:
            raise PeerError("a record under another key than its own")
        return Slot(bytes(record.publisher), record.sequence, record.ttl_s - record.age_s)

    def aged(self, value: bytes, held_s: float) -> bytes:
        return value


@dataclass
class Member:
    number: int
    identity: Identity
    chain: bytes
    dht: Dht
    link: MemoryLink

    @property
    def subject(self) -> str:
        return f"source/{self.number}"

    @property
    def key(self) -> bytes:
        return dht_key(Kind.SOURCE, self.subject)

    def record(self, sequence: int, subject: str = "") -> bytes:
        return sign(
            self.identity,
            self.chain,
            Kind.SOURCE,
            subject or self.subject,
            sequence=sequence,
            ttl_s=RECORD_TTL_S,
            body={"rate": sequence},
        ).pack(0.0)


Attack = Callable[["HostileWorld", Member, Random], None]


@dataclass
class Outcome:
    """Of look-ups: how long each took (simulated seconds), and how many did not find the newest."""

    found_s: list[float] = field(default_factory=list)
    outdated: int = 0
    missed: int = 0

    @property
    def asked(self) -> int:
        return len(self.found_s) + self.outdated + self.missed

    @property
    def rate(self) -> float:
        return len(self.found_s) / self.asked

    def quantile_s(self, share: float) -> float:
        ordered = sorted(self.found_s)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass
class HostileWorld:
    """Members 0 to `count` - 1; what `attacks` names are hostile from the moment they have joined.

    Member 0, where all begin, is honest: who joins at a liar only has no mesh to speak of.
    """

    nursery: trio.Nursery
    network: MemoryNetwork
    count: int
    attacks: Mapping[int, Attack]
    seed: int = 1
    members: dict[int, Member] = field(default_factory=dict)

    async def run(self, look_ups: int) -> Outcome:
        for number in range(self.count):
            await self._start(number)
        await trio.sleep(20)
        await self._publish(1)
        for number, attack in self.attacks.items():
            attack(self, self.members[number], Random(self.seed * 1000 + number))
        await trio.sleep(10)
        await self._publish(2)
        await trio.sleep(5)
        return await self._look_up(look_ups)

    async def _start(self, number: int) -> None:
        identity, chain = member(number)
        verifier = Verifier(MESH)
        link = self.network.link(at(number))
        dht = Dht(
            link=link,
            node_id=identity.node_id,
            clock=TrioClock(),
            bootstrap=[Address(*at(0))] if number else [],
            random=Random(self.seed * 1000 + number),
            me=Me(identity, verifier, chain, TrioClock()),
        )
        dht.serve(SignedRecords(verifier))
        self.members[number] = Member(number, identity, chain, dht, link)
        await self.nursery.start(dht.run)

    @property
    def honest(self) -> list[Member]:
        return [one for number, one in self.members.items() if number not in self.attacks]

    async def _publish(self, sequence: int) -> None:
        for one in self.honest:
            await one.dht.put(one.key, one.record(sequence))

    async def _look_up(self, count: int) -> Outcome:
        outcome, random = Outcome(), Random(self.seed)
        for _ in range(count):
            seeker, published = random.sample(self.honest, 2)
            began = trio.current_time()
            # Not from the seeker's own store: that would prove nothing about the others.
            seeker.dht.storage.forget(published.key)
            values = await seeker.dht.get(published.key)
            took_s = trio.current_time() - began
            sequences = [_sequence(value, published) for value in values]
            if 2 in sequences:
                outcome.found_s.append(took_s)
            elif 1 in sequences:
                outcome.outdated += 1
            else:
                outcome.missed += 1
        return outcome

    def counted(self) -> Counter[str]:
        """What the honest members counted, all together."""
        total: Counter[str] = Counter()
        for one in self.honest:
            total += one.dht.counters
        return total

    def most_held(self) -> int:
        return max(len(one.dht.storage) for one in self.honest)


def _sequence(value: bytes, published: Member) -> int:
    record = Record.parse(value, Verifier(MESH), Wall(TrioClock().wall()))
    return record.sequence if record.publisher == published.identity.node_id else 0
