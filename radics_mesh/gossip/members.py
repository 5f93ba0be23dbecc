"""Whom this node watches, and whom it cannot reach since when: a bounded, partial view. Sans-IO.

States of a member, by its incarnation (SWIM section 4.2):

    alive ──accused by a member──▶ suspect ──timeout──▶ unreachable
      ▲                              │                      │
      └───── its own word, in a higher incarnation ─────────┘      and `left`, by its own word

Nobody is unreachable by another's word alone: each node counts the suspicion's time by itself.
Nobody is ever erased for being unreachable, and the time since when stays.

The view (VIEW_MAX) is not the whole mesh. A full one keeps, in this order: who is *pinned* (this
node has a session with it, or a use for what it publishes); the NEAR_MAX with the ids nearest to
its own, who are the ones that watch it, too; and of all others a uniform sample, those with the
smallest hash of their id with a secret salt (min-wise, as in Brahms): stable, and not to be won by
whoever makes itself heard most. Those ties across the whole mesh keep it in one piece.
"""

from __future__ import annotations

import enum
import hashlib
import math
from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from radics_mesh.gossip.suspicion import Suspicion
from radics_mesh.gossip.words import Alive
from radics_mesh.ids import NodeId
from radics_mesh.link import SocketAddress

VIEW_MAX = 128
NEAR_MAX = 64
# Who was in the view once and cannot be reached now.
GONE_MAX = 1024
ADDRESSES_MAX = 4


class State(enum.StrEnum):
    ALIVE = "alive"
    SUSPECT = "suspect"
    UNREACHABLE = "unreachable"
    LEFT = "left"


@dataclass
class Member:
    """A node of the view, or one that is gone. `since`: when it came into its state."""

    word: Alive
    since: float
    state: State = State.ALIVE
    suspicion: Suspicion | None = None
    # Where it may be reached, the best first; those that it answered from are proved.
    addresses: list[SocketAddress] = field(default_factory=list)
    proved: set[SocketAddress] = field(default_factory=set)
    # When it last proved to be there; minus infinity: never to this node.
    heard: float = -math.inf
    # Whether it has, itself or over a helper, since this node accused it last. Who is beyond reach
    # (further than two hops of radio, say) is not accused: others watch it, whose word counts.
    reached: bool = False
    # Failed probes since then. It is accused after the second.
    doubts: int = 0
    # Where our own acknowledgements went, so that it knows this node's word and address by now.
    acknowledged_at: SocketAddress | None = None
    # When it was last tried while it was gone or beyond reach, and how long it may rest after.
    tried: float = -math.inf
    rest_s: float = 0.0

    @property
    def node_id(self) -> NodeId:
        return self.word.node_id

    @property
    def is_gone(self) -> bool:
        return self.state in (State.UNREACHABLE, State.LEFT)

    def word_at(self) -> Alive:
        """Its word, with where this node would reach it."""
        return self.word.seen_at(self.addresses[0] if self.addresses else self.word.at)

    def hint(self, address: SocketAddress | None) -> None:
        """Somebody says that it is there: not before addresses that it answered from."""
        if address is None or address in self.addresses:
            return
        if len(self.addresses) >= ADDRESSES_MAX:
            spare = [one for one in self.addresses if one not in self.proved]
            if not spare:
                return
            self.addresses.remove(spare[-1])
        self.addresses.insert(len(self.proved), address)

    def vouched(self, now: float) -> None:
        """It answered, by whatever way."""
        self.heard, self.reached, self.doubts = now, True, 0

    @property
    def is_near(self) -> bool:
        """Whether datagrams reach it, as far as is known."""
        return self.reached and bool(self.proved)

    def answered(self, address: SocketAddress, now: float) -> None:
        """It did from there."""
        self.vouched(now)
        if address in self.addresses:
            self.addresses.remove(address)
        self.addresses.insert(0, address)
        for one in self.addresses[ADDRESSES_MAX:]:
            self.proved.discard(one)
        del self.addresses[ADDRESSES_MAX:]
        self.proved.add(address)


class Members:
    """The view of one node, without itself."""

    def __init__(
        self, own: NodeId, salt: bytes, *, view_max: int = VIEW_MAX, near_max: int = NEAR_MAX
    ) -> None:
        self._own = int.from_bytes(own, "big")
        self._salt = salt
        self._view_max = view_max
        self._near_max = near_max
        self._live: dict[NodeId, Member] = {}
        self._gone: OrderedDict[NodeId, Member] = OrderedDict()
        self._at: dict[SocketAddress, NodeId] = {}
        # Distance and lot of everyone in view, which never change.
        self._places: dict[NodeId, tuple[int, bytes]] = {}
        # How far a stranger may be to get into a full view; None: anybody gets in.
        self._bar: tuple[int, bytes] | None = None
        self.pinned: Collection[NodeId] = frozenset()

    def __len__(self) -> int:
        """How many are in the view: alive or suspect."""
        return len(self._live)

    def __iter__(self) -> Iterator[Member]:
        yield from self._live.values()
        yield from self._gone.values()

    def get(self, node: NodeId) -> Member | None:
        return self._live.get(node) or self._gone.get(node)

    def live(self) -> list[Member]:
        return list(self._live.values())

    def gone(self) -> list[Member]:
        return list(self._gone.values())

    def proved_at(self, address: SocketAddress) -> Member | None:
        """Who has answered from there, last."""
        node = self._at.get(address)
        member = None if node is None else self.get(node)
        return member if member is not None and address in member.proved else None

    def proves(self, member: Member, address: SocketAddress, now: float) -> None:
        member.answered(address, now)
        self._at[address] = member.node_id
        if len(self._at) > 4 * (GONE_MAX + self._view_max):
            self._at = {a: m.node_id for m in self for a in m.proved}

    # --- coming and going -----------------------------------------------------------------------

    def wants(self, node: NodeId) -> bool:
        """Whether a node that is not in the view would get in."""
        if self._bar is None or node in self.pinned:
            return True
        near, sample = self._bar
        distance, lot = self._place(node)
        return distance < near or lot < sample

    def add(self, word: Alive, now: float) -> Member | None:
        """Take a node into the view; None when it is full of those who matter more."""
        node = word.node_id
        if not self.wants(node):
            return None
        member = Member(word, now)
        member.hint(word.at)
        self._live[node] = member
        self._trim()
        return member if node in self._live else None

    def part(self, member: Member, state: State, now: float) -> None:
        """It is unreachable, or has left: remembered apart from the view."""
        member.state, member.since, member.suspicion = state, now, None
        member.tried, member.rest_s = now, 0.0
        self._live.pop(member.node_id, None)
        self._places.pop(member.node_id, None)
        self._gone[member.node_id] = member
        if len(self._gone) > GONE_MAX:
            self._gone.popitem(last=False)
        self._set_bar()

    def recall(self, word: Alive, state: State, since: float) -> None:
        """Somebody was gone when this program ran last."""
        if self.get(word.node_id) is None:
            member = Member(word, since, state)
            member.hint(word.at)
            self._gone[word.node_id] = member

    def revive(self, member: Member, now: float) -> None:
        """It is back, or was never gone."""
        if member.state is not State.ALIVE:
            member.since = now
        member.state, member.suspicion, member.doubts = State.ALIVE, None, 0
        if self._gone.pop(member.node_id, None) is not None:
            self._live[member.node_id] = member
            self._trim()

    def forget(self, node: NodeId) -> None:
        """It is no member any more."""
        self._live.pop(node, None)
        self._places.pop(node, None)
        self._gone.pop(node, None)
        self._set_bar()

    def _trim(self) -> None:
        """Let the least important ones go. Who cannot be reached is not among them."""
        while len(self._live) > self._view_max:
            ranked = self._ranked()
            spare = ranked[self._near_max :] or ranked or list(self._live)
            worst = max(spare, key=lambda node: self._place(node)[1])
            del self._live[worst]
            self._places.pop(worst, None)
        self._set_bar()

    def _ranked(self) -> list[NodeId]:
        """Those that are not pinned, the nearest first."""
        placed = [node for node in self._live if node not in self.pinned]
        return sorted(placed, key=lambda node: self._place(node)[0])

    def _set_bar(self) -> None:
        if len(self._live) < self._view_max:
            self._bar = None
            return
        ranked = self._ranked()
        sample = ranked[self._near_max :]
        near = self._place(ranked[: self._near_max][-1])[0] if ranked else 0
        self._bar = (near, max((self._place(node)[1] for node in sample), default=b""))

    def _place(self, node: NodeId) -> tuple[int, bytes]:
        """How far it is, and its lot in the sample."""
        known = self._places.get(node)
        if known is not None:
            return known
        lot = hashlib.blake2b(node, key=self._salt, digest_size=8).digest()
        place = int.from_bytes(node, "big") ^ self._own, lot
        if node in self._live:
            self._places[node] = place
        return place
