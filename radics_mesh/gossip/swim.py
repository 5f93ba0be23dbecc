"""The failure detector of one node: what comes in, what is due, what goes out. Sans-IO.

    datagrams ─▶ receive ─▶ Beliefs (who is there) ─▶ changes
    time      ─▶ tick ────▶ Probe, Relays, rumours ─▶ outgoing

Every period it probes the next of its view, in an order that is shuffled each time round (SWIM
section 4.3). A member whose probe failed is probed once more before it is accused: at 30 % loss
two of a hundred probes fail, and every accusation goes through the whole mesh. Who is suspected
hears of it with the next ping of anybody (Lifeguard section IV-C, the buddy system), some who hear
of a suspicion probe the suspect, and before it counts as unreachable it is pinged three times more.

Nobody gets an answer longer than what he sent, as long as he has not answered from his address.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from random import Random

from radics_mesh.errors import PeerError, WireError
from radics_mesh.gossip import messages
from radics_mesh.gossip.beliefs import Beliefs, Change
from radics_mesh.gossip.members import Member, Members
from radics_mesh.gossip.messages import (
    DATAGRAM_MAX_BYTES,
    Ack,
    Ask,
    Nack,
    News,
    Ping,
    Sync,
)
from radics_mesh.gossip.outbox import Outbox
from radics_mesh.gossip.probes import HELPERS, TRIES, Health, Pings, Probe, Relay, Relays
from radics_mesh.gossip.settings import Settings
from radics_mesh.gossip.words import (
    Acknowledgement,
    Suspect,
    Word,
    acknowledge,
)
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, NodeId
from radics_mesh.link import SocketAddress

# Datagrams in answer to one that compares views.
SYNC_DATAGRAMS = 3


class Swim:
    """`now` is any clock that does not step. `admits` says whose key is known as a member's.

    `counters`: those of Beliefs, and pings, probes_failed, malformed, unproved (answers that would
    have been longer than the question), forged_acks.
    """

    def __init__(
        self,
        identity: Identity,
        mesh: Digest,
        *,
        random: Random,
        now: float,
        admits: Callable[[bytes], bool] = lambda key: True,
        settings: Settings | None = None,
    ) -> None:
        self.settings = settings = settings or Settings()
        self.members = Members(
            identity.node_id,
            random.randbytes(16),
            view_max=settings.view_max,
            near_max=settings.near_max,
        )
        self.beliefs = Beliefs(identity, mesh, self.members, admits, settings.shortest_s)
        self._outbox = Outbox(self.beliefs)
        self._identity = identity
        self._mesh = mesh
        self._random = random
        self._probe: Probe | None = None
        self._ring: list[NodeId] = []
        self._relays = Relays()
        self._pings = Pings(random)
        # A mesh that starts all at once shall not talk all at once.
        self._probe_at = now + settings.period_s * random.random()
        self._news_at = now
        self._sync_at = now + settings.sync_soon_s * random.random()
        self._retry_at = now + settings.retry_s
        self._healing_until = -math.inf
        self._joined = self._returned = 0
        self._met: list[SocketAddress] = []

    @property
    def counters(self) -> Counter[str]:
        return self.beliefs.counters

    @property
    def health(self) -> Health:
        return self.beliefs.health

    @property
    def outgoing(self) -> list[tuple[bytes, SocketAddress]]:
        """Datagrams to send, in order."""
        return self._outbox.datagrams

    def take(self) -> list[tuple[bytes, SocketAddress]]:
        """The same, which are the caller's to send now."""
        return self._outbox.take()

    def changes(self) -> list[Change]:
        """What happened to members since the last call."""
        happened, self.beliefs.changes = self.beliefs.changes, []
        return happened

    def met(self) -> list[SocketAddress]:
        """Who has answered for the first time, or again after it was gone, since the last call."""
        met, self._met = self._met, []
        return met

    # --- coming in ------------------------------------------------------------------------------

    def receive(self, datagram: bytes, source: SocketAddress, now: float) -> None:
        """Never raises."""
        try:
            message = messages.parse(datagram)
        except WireError:
            self.counters["malformed"] += 1
            return
        also: list[bytes] = []
        if not isinstance(message, Nack):
            also = self._hear(message.words, source, now)
        limit = DATAGRAM_MAX_BYTES if self.members.proved_at(source) else len(datagram)
        match message:
            case Ping():
                self._answer(message.nonce, source, also, limit)
            case Ack():
                self._take_ack(message.proof, source, now)
            case Ask():
                self._help(message, source, now)
            case Nack():
                self._take_nack(message)
            case Sync():
                self._compare(message, source, limit)
            case News():
                pass
        self._heal(now)

    def _heal(self, now: float) -> None:
        """Whoever comes back is seldom alone: the others are tried at once."""
        returned = self.counters["returned"]
        if returned != self._returned:
            self._returned, self._healing_until = returned, now + self.settings.healing_s
            self._retry_at = min(self._retry_at, now + self.settings.healing_retry_s)

    def _hear(self, words: list[Word], source: SocketAddress, now: float) -> list[bytes]:
        """Words that the other must know: ours if it suspects us, and its own newer ones, which it
        must outdo if it has been restarted."""
        also = []
        for word in words:
            self.beliefs.hear(word, source, now)
            if isinstance(word, Suspect):
                if word.subject == self._identity.node_id:
                    also.append(self.beliefs.own.pack())
            elif word.at is None:
                member = self.members.get(word.node_id)
                if member is not None and word.is_older_than(member.word):
                    also.append(member.word.pack())
        return also

    def _answer(self, nonce: bytes, source: SocketAddress, also: list[bytes], limit: int) -> None:
        proof = acknowledge(self._identity, self._mesh, nonce, self.beliefs.own.incarnation)
        if self._outbox.send(messages.ack_head(proof), source, also, limit):
            asker = self.members.proved_at(source)
            if asker is not None:
                asker.acknowledged_at = source

    def _take_ack(self, proof: Acknowledgement, source: SocketAddress, now: float) -> None:
        sent = self._pings.find(proof.nonce, now)
        if sent is None:
            asker = self._relays.answered(proof.nonce)
            if asker is not None:
                self._outbox.send(messages.ack_head(proof), asker)
            return
        node = proof.node_id
        try:
            if sent.node not in (None, node):
                raise PeerError("an acknowledgement by another node")
            proof.check(self._mesh)
        except (PeerError, WireError):
            self.counters["forged_acks"] += 1
            return
        self._pings.end(proof.nonce)
        member = self.members.get(node)
        if member is None:
            # Somebody is there of whom nothing is known: ask for its word.
            if sent.node is None and self.members.wants(node):
                self._send_sync(source, answers=False)
            return
        if source in sent.addresses:
            if member.heard < member.since or not member.proved:
                self._met.append(source)
            self.members.proves(member, source, now)
        else:  # over a helper
            member.vouched(now)
        self._end_probe(proof.nonce)

    def _end_probe(self, nonce: bytes) -> None:
        if self._probe is not None and nonce == self._probe.nonce:
            self.health.change(-1)
            self._probe_at = self._probe.began + self._period_s()
            self._probe = None

    def _take_nack(self, message: Nack) -> None:
        if self._probe is not None and message.nonce == self._probe.nonce:
            self._probe.nacked += 1

    def _help(self, message: Ask, source: SocketAddress, now: float) -> None:
        """SWIM section 3.1: ping it for the asker, who alone can check what it answers."""
        if self.members.proved_at(source) is None:
            return
        member = self.members.get(message.target)
        if member is None or not member.addresses or message.nonce in self._pings:
            self._outbox.put(messages.nack(message.nonce), source)
            return
        self._relays.add(message.nonce, Relay(source, now + self.settings.try_s))
        self._ping(member, message.nonce, member.addresses[0])

    def _compare(self, message: Sync, source: SocketAddress, limit: int) -> None:
        """Send those words that the other has not, our own first, and want its own the same way."""
        held = [member.word_at() for member in self.members.live()]
        self._random.shuffle(held)
        held.insert(0, self.beliefs.own)
        lacking = [word.pack() for word in held if messages.tag(word) not in message.tags]
        for _ in range(SYNC_DATAGRAMS if limit == DATAGRAM_MAX_BYTES else 1):
            if lacking:
                lacking = self._outbox.send_words(lacking, source, limit)
        unknown = message.tags - {messages.tag(word) for word in held}
        if unknown and not message.answers and limit == DATAGRAM_MAX_BYTES:
            self._send_sync(source, answers=True)

    # --- what is due ----------------------------------------------------------------------------

    @property
    def deadline(self) -> float:
        """When `tick` must be called next."""
        due = [self._sync_at, self._probe.due if self._probe else self._probe_at]
        due.append(self._relays.due)
        if len(self.beliefs.rumours) and len(self.members):
            due.append(self._news_at)
        if self.members.gone():
            due.append(self._retry_at)
        due.extend(self._suspect_due(one) for one in self.beliefs.suspects.values())
        return min(due)

    def tick(self, now: float) -> None:
        """Do what is due."""
        for nonce, asker in self._relays.overdue(now):
            self._outbox.put(messages.nack(nonce), asker)
        self._go_on_probing(now)
        for member in list(self.beliefs.suspects.values()):
            if self._suspect_due(member) <= now:
                self._last_tries(member, now)
        if self._news_at <= now and len(self.beliefs.rumours):
            self._tell_news(now)
        if self._sync_at <= now:
            self._sync(now)
        if self._retry_at <= now:
            self._retry(now)

    def _period_s(self) -> float:
        return self.settings.period_s * self.health.factor

    def _go_on_probing(self, now: float) -> None:
        probe = self._probe
        if probe is None and self._probe_at <= now:
            self._begin_probe(now)
        elif probe is not None and probe.due <= now:
            member = self.members.get(probe.target)
            if member is None or member.is_gone:
                self._probe, self._probe_at = None, now
            elif probe.tries < TRIES:
                self._try(probe, member)
            else:
                self._fail(probe, member, now)

    def _begin_probe(self, now: float) -> None:
        member = self._next_target(now)
        self._probe_at = now + self._period_s()
        if member is None:
            self.health.change(-1)  # nobody is left who could show how it is
            return
        step_s = self.settings.try_s * self.health.factor
        nonce = self._pings.begin(member.node_id, now)
        self._probe = Probe(member.node_id, nonce, now, step_s, self._probe_at)
        self._try(self._probe, member)

    def _next_target(self, now: float) -> Member | None:
        """Who is accused by others first, then round the view; seldom who is beyond reach."""
        accused, self.beliefs.to_check = self.beliefs.to_check, []
        chance = self.settings.volunteers / max(1, len(self.members))
        self._ring[:0] = [node for node in accused if self._random.random() < chance]
        for refilled in (False, True):
            while self._ring:
                member = self.members.get(self._ring.pop(0))
                if member is not None and self._may_probe(member, now):
                    return member
            if not refilled:
                self._ring = [member.node_id for member in self.members.live()]
                self._random.shuffle(self._ring)
        return None

    def _may_probe(self, member: Member, now: float) -> bool:
        if member.is_gone or not member.addresses:
            return False
        beyond = not member.reached and member.doubts >= 2
        return not beyond or now - member.tried >= self.settings.beyond_s

    def _try(self, probe: Probe, member: Member) -> None:
        addresses = member.addresses
        again = probe.tries > 0
        self._ping(member, probe.nonce, addresses[probe.tries % 2 % len(addresses)], whole=again)
        probe.tries += 1
        if not again:
            return
        helpers = [
            one
            for one in self.members.live()
            if one.is_near and one is not member and one.node_id not in probe.asked
        ]
        for helper in self._random.sample(helpers, min(HELPERS, len(helpers))):
            probe.asked.add(helper.node_id)
            self._outbox.send(messages.ask_head(probe.nonce, member.node_id), helper.addresses[0])

    def _fail(self, probe: Probe, member: Member, now: float) -> None:
        self.counters["probes_failed"] += 1
        self.health.change(probe.health_change())
        self._probe, self._probe_at = None, now
        member.doubts += 1
        member.tried = now
        if not member.reached:
            return
        if member.doubts >= 2 or member.suspicion is not None:
            self.beliefs.accuse(member, now)
        else:
            self._ring.insert(0, member.node_id)

    # --- suspects, and those who are gone -------------------------------------------------------

    def _suspect_due(self, member: Member) -> float:
        """When the next of the last tries goes out, or the time is over."""
        suspicion = member.suspicion
        if suspicion is None:
            return math.inf
        left_s = (TRIES - suspicion.finals) * self.settings.try_s
        return max(self.beliefs.suspicion_ends(member) - left_s, suspicion.final_at)

    def _last_tries(self, member: Member, now: float) -> None:
        suspicion = member.suspicion
        assert suspicion is not None
        if suspicion.finals >= TRIES:
            self.beliefs.give_up(member, now)
            return
        addresses = member.addresses
        if addresses:
            self._ping_afresh(member, addresses[suspicion.finals % 2 % len(addresses)], now)
        suspicion.finals += 1
        suspicion.final_at = now + self.settings.try_s

    def _retry(self, now: float) -> None:
        """Ping one who is gone, the longest untried first."""
        healing = now < self._healing_until
        settings = self.settings
        self._retry_at = now + (settings.healing_retry_s if healing else settings.retry_s)
        ready = [m for m in self.members.gone() if m.tried + m.rest_s <= now or healing]
        if not ready:
            return
        member = min(ready, key=lambda one: one.tried)
        member.rest_s = min(settings.rest_max_s, max(settings.rest_first_s, 2 * member.rest_s))
        member.tried = now
        for address in member.addresses[:1] if healing else member.addresses[:2]:
            self._ping_afresh(member, address, now)

    # --- going out ------------------------------------------------------------------------------

    def meet(self, address: SocketAddress, now: float) -> None:
        """Somebody may be there: a bootstrap address, an old acquaintance, a neighbour."""
        known = self.members.proved_at(address)
        if known is None or known.is_gone:
            nonce = self._pings.begin(None, now)
            self._pings.sent_to(nonce, address)
            self._outbox.send(messages.ping_head(nonce), address, [self.beliefs.own.pack()])

    def learn(self, node: NodeId, addresses: Iterable[SocketAddress]) -> None:
        """Where a member says that it can be reached."""
        member = self.members.get(node)
        if member is not None:
            for address in addresses:
                member.hint(address)

    def leave(self) -> None:
        """Say to some that this node goes; call nothing after it."""
        self.beliefs.leave()
        live = self._near()
        for member in self._random.sample(live, min(2 * self.settings.fan_out, len(live))):
            self._outbox.send(messages.news_head(), member.addresses[0], [self.beliefs.own.pack()])

    def _near(self) -> list[Member]:
        """Those that can be told something: who answers, or, as long as nobody has, anybody."""
        live = [member for member in self.members.live() if member.addresses]
        return [member for member in live if member.is_near] or live

    def _tell_news(self, now: float) -> None:
        self._news_at = now + self.settings.news_s
        live = self._near()
        for member in self._random.sample(live, min(self.settings.fan_out, len(live))):
            if len(self.beliefs.rumours):
                self._outbox.send(messages.news_head(), member.addresses[0])

    def _sync(self, now: float) -> None:
        """Compare views with somebody; soon again while there is something to learn."""
        joined = self.counters["joined"] + self.counters["returned"]
        soon = joined != self._joined
        self._joined = joined
        live = self._near()
        if live:
            self._send_sync(self._random.choice(live).addresses[0], answers=False)
        wait_s = self.settings.sync_soon_s if soon or not live else self.settings.sync_s
        self._sync_at = now + wait_s * self._random.uniform(0.8, 1.2)

    def _send_sync(self, address: SocketAddress, *, answers: bool) -> None:
        own = self.beliefs.own
        held = [own, *(member.word for member in self.members.live())]
        self._outbox.send(messages.sync_head(held, answers=answers), address, [own.pack()])

    def _ping_afresh(self, member: Member, address: SocketAddress, now: float) -> None:
        nonce = self._pings.begin(member.node_id, now)
        self._ping(member, nonce, address, whole=True)

    def _ping(
        self, member: Member, nonce: bytes, address: SocketAddress, *, whole: bool = False
    ) -> None:
        """`whole`: with our own word, as the other may not know this address (any more)."""
        self.counters["pings"] += 1
        also = []
        if whole or member.acknowledged_at != address:
            also.append(self.beliefs.own.pack())
        if member.suspicion is not None or member.is_gone:
            # Lifeguard section IV-C: whoever is suspected hears of it first.
            also.append(member.word_at().pack())
            also.append(self.beliefs.accusation(member).pack())
        self._pings.sent_to(nonce, address)
        self._outbox.send(messages.ping_head(nonce), address, also)
