"""What this node believes of whom, by their words and its own probes. Sans-IO.

Every word from outside passes `hear`: what is outdated or known falls out before its signature
costs anything; then its signer must be a member (`admits`), within its budget, and have signed it.
What is news is believed, and passed on as a rumour, also when it is about nodes outside the view:
those are relayed for the others.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from radics_mesh.errors import PeerError, WireError
from radics_mesh.gossip.budget import Budget
from radics_mesh.gossip.members import Member, Members, State
from radics_mesh.gossip.probes import Health
from radics_mesh.gossip.rumours import Rumours
from radics_mesh.gossip.suspicion import CONFIRMATIONS, Suspicion
from radics_mesh.gossip.words import Alive, Suspect, Word, say_alive, say_suspect
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, NodeId
from radics_mesh.link import SocketAddress

# Nodes outside the view of which is remembered what was heard last.
HEARD_MAX = 4096
STRANGERS_MAX = 64
# An honest node changes its incarnation, and accuses others, once a probe at most.
BURST, PER_S = 32.0, 1.0


@dataclass(frozen=True)
class Change:
    """A member came into a state."""

    node: NodeId
    state: State


class Beliefs:
    """`counters`: words_* by what became of them, accused (by us), refuted (we, of ourselves)."""

    def __init__(
        self,
        identity: Identity,
        mesh: Digest,
        members: Members,
        admits: Callable[[bytes], bool],
        shortest_s: Callable[[int], float],
    ) -> None:
        """`shortest_s`: the minimum of a suspicion, by the number of nodes."""
        self.members = members
        self.rumours = Rumours()
        self.health = Health()
        self.counters: Counter[str] = Counter()
        self.changes: list[Change] = []
        self.own = say_alive(identity, mesh, 0)
        # Those whose words were not believed, as their membership is not known, and who told them.
        self.strangers: OrderedDict[NodeId, SocketAddress] = OrderedDict()
        # Members that others accuse and this node has not looked at yet.
        self.to_check: list[NodeId] = []
        self.suspects: dict[NodeId, Member] = {}
        self._identity = identity
        self._mesh = mesh
        self._admits = admits
        self._shortest_s = shortest_s
        self._budget = Budget(BURST, PER_S)
        self._heard: OrderedDict[NodeId, tuple[int, bool]] = OrderedDict()
        self._accused: OrderedDict[NodeId, tuple[int, set[NodeId]]] = OrderedDict()

    @property
    def size(self) -> int:
        """How many nodes there seem to be, this one included; more than the view holds."""
        return 1 + max(len(self.members), len(self._heard))

    # --- hearing --------------------------------------------------------------------------------

    def hear(self, word: Word, source: SocketAddress, now: float) -> bool:
        """Take a word into account; whether it was news. Never raises."""
        if isinstance(word, Alive):
            verdict = self._hear_alive(word, source, now)
        else:
            verdict = self._hear_suspect(word, source, now)
        self.counters[f"words_{verdict}"] += 1
        return verdict == "believed"

    def _hear_alive(self, word: Alive, source: SocketAddress, now: float) -> str:
        node = word.node_id
        if node == self._identity.node_id:
            return self._hear_of_self(word)
        member = self.members.get(node)
        if word.at is None:  # it said so itself
            word = word.seen_at(source)
        said = (word.incarnation, word.left)
        known = (member.word.incarnation, member.word.left) if member else self._heard.get(node)
        if member is not None:
            member.hint(word.at)
        if known is not None and said <= known and (member or not self.members.wants(node)):
            return "known"
        if self._refuses(word, source, now):
            return "refused"
        self._note(node, said)
        if member is None:
            self._meet(word, now)
        else:
            self._renew(member, word, now)
        if known is None or said > known:
            self.rumours.add(word)
        return "believed"

    def _hear_of_self(self, word: Alive) -> str:
        """Our own, from before a restart perhaps: what we say now must be newer than that."""
        own = self.own
        if (word.incarnation, word.left) <= (own.incarnation, own.left) or own.left:
            return "known"
        try:
            word.check(self._mesh)
        except (PeerError, WireError):
            return "refused"
        self._speak(word.incarnation + 1)
        return "believed"

    def _speak(self, incarnation: int) -> None:
        self.own = say_alive(self._identity, self._mesh, incarnation)
        self.rumours.add(self.own)

    def leave(self) -> None:
        """From now on this node says that it goes."""
        self.own = say_alive(self._identity, self._mesh, self.own.incarnation, left=True)
        self.rumours.add(self.own)

    def _meet(self, word: Alive, now: float) -> None:
        if not word.left and self.members.add(word, now) is not None:
            self.counters["joined"] += 1
            self.changes.append(Change(word.node_id, State.ALIVE))

    def _renew(self, member: Member, word: Alive, now: float) -> None:
        before, member.word = member.state, word
        self.counters["returned"] += member.is_gone and not word.left
        self.suspects.pop(member.node_id, None)
        if word.left:
            self.members.part(member, State.LEFT, now)
        else:
            self.members.revive(member, now)
        if member.state is not before:
            self.changes.append(Change(member.node_id, member.state))

    def _hear_suspect(self, word: Suspect, source: SocketAddress, now: float) -> str:
        if word.node_id == self._identity.node_id:
            return "known"
        if word.subject == self._identity.node_id:
            return self._hear_accusation(word, source, now)
        member = self.members.get(word.subject)
        if member is None:
            return self._relay_accusation(word, source, now)
        suspicion = member.suspicion
        if member.is_gone or word.incarnation != member.word.incarnation:
            return "outdated"
        if suspicion and (suspicion.is_settled or word.node_id in suspicion.accusers):
            return "known"
        if self._refuses(word, source, now):
            return "refused"
        self._suspect(member, word, now)
        if word.subject not in self.to_check:
            self.to_check.append(word.subject)
        return "believed"

    def _hear_accusation(self, word: Suspect, source: SocketAddress, now: float) -> str:
        """SWIM section 4.2: refute it in the next incarnation. One that we were never in is a lie,
        or we have been restarted; then the accuser shows us our own word."""
        if word.incarnation != self.own.incarnation or self.own.left:
            return "outdated"
        if self._refuses(word, source, now):
            return "refused"
        self._speak(self.own.incarnation + 1)
        self.health.change(1)  # LHA-Probe: perhaps we are slow
        self.counters["refuted"] += 1
        return "believed"

    def _relay_accusation(self, word: Suspect, source: SocketAddress, now: float) -> str:
        incarnation, accusers = self._accused.get(word.subject, (-1, set()))
        known = self._heard.get(word.subject)
        if known is None or word.incarnation != known[0]:
            return "outdated"
        if incarnation != word.incarnation:
            accusers = set()
        if word.node_id in accusers or len(accusers) > CONFIRMATIONS:
            return "known"
        if self._refuses(word, source, now):
            return "refused"
        self._accused[word.subject] = (word.incarnation, accusers | {word.node_id})
        if len(self._accused) > HEARD_MAX:
            self._accused.popitem(last=False)
        self.rumours.add(word)
        return "believed"

    def _refuses(self, word: Word, source: SocketAddress, now: float) -> bool:
        """Whether a word that would be news must not be believed."""
        if not self._admits(word.signer):
            self.counters["strangers"] += 1
            self.strangers[word.node_id] = source
            if len(self.strangers) > STRANGERS_MAX:
                self.strangers.popitem(last=False)
            return True
        try:
            word.check(self._mesh)
        except (PeerError, WireError):
            self.counters["forged"] += 1
            return True
        # Last: what others forge in its name costs a member nothing.
        if self._budget.take(word.signer, now):
            return False
        self.counters["flooding"] += 1
        return True

    def _note(self, node: NodeId, said: tuple[int, bool]) -> None:
        self._heard[node] = said
        self._heard.move_to_end(node)
        if len(self._heard) > HEARD_MAX:
            self._heard.popitem(last=False)

    # --- suspecting -----------------------------------------------------------------------------

    def accusation(self, member: Member) -> Suspect:
        """This node's own word that it cannot reach a member."""
        said = member.suspicion.accusers.get(self._identity.node_id) if member.suspicion else None
        subject, incarnation = member.node_id, member.word.incarnation
        return said or say_suspect(self._identity, self._mesh, subject, incarnation)

    def accuse(self, member: Member, now: float) -> None:
        """Our probes failed."""
        if member.is_gone or (member.suspicion and member.suspicion.is_settled):
            return
        self.counters["accused"] += 1
        member.reached = False
        self._suspect(member, self.accusation(member), now)

    def _suspect(self, member: Member, word: Suspect, now: float) -> None:
        if member.suspicion is None:
            member.suspicion = Suspicion(word.incarnation, now)
            member.state, member.since = State.SUSPECT, now
            self.suspects[member.node_id] = member
            self.changes.append(Change(member.node_id, State.SUSPECT))
        if member.suspicion.confirm(word):
            self.rumours.add(word)

    def suspicion_ends(self, member: Member) -> float:
        if member.suspicion is None:
            return math.inf
        return member.suspicion.ends(self._shortest_s(self.size), len(self.members))

    def give_up(self, member: Member, now: float) -> None:
        """It has not answered in time."""
        self.suspects.pop(member.node_id, None)
        self.rumours.drop(member.node_id)
        self.members.part(member, State.UNREACHABLE, now)
        self.changes.append(Change(member.node_id, State.UNREACHABLE))

    def take_strangers(self) -> list[NodeId]:
        """Whose words were not believed since the last call, for want of their membership."""
        strangers = list(self.strangers)
        self.strangers.clear()
        return strangers

    def drop_strangers(self) -> None:
        """Forget who is no member any more."""
        for member in list(self.members):
            if not self._admits(member.word.key):
                self.members.forget(member.node_id)
                self.suspects.pop(member.node_id, None)
                self.rumours.drop(member.node_id)
