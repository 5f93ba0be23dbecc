"""Whom a look-up asks next, and whom it believes to exist. Sans-IO.

Everybody names nodes, and liars name nodes that do not exist, as close to the key as they please.
So a node's word is good for CREDIT nodes that have not answered yet; each that answers is good for
two more, so that honest nodes' word is soon as good as needed. What nobody with credit names is
asked only when there is nothing else and fewer than k nodes have answered. Contacts of this node's
own table need no credit.

A node under an address at which another one was named already is left out: one host that answers
to a thousand ids counts once. Whatever is said, no more than ASKED_MAX nodes are asked.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from kademlia.node import Node

from radics_mesh.link import SocketAddress

ASKED_MAX = 64
CREDIT = 2
CREDIT_EACH = 3  # what it took, and two more
# What is remembered of a look-up: enough for 64 full answers of 32 nodes.
_HEARD_MAX = 2048


class State(enum.Enum):
    NEW = 0
    ASKED = 1
    ANSWERED = 2
    FAILED = 3


@dataclass
class _Heard:
    node: Node
    distance: int
    depth: int
    # Ids of who named it. Empty: this node's own table.
    referrers: list[bytes] = field(default_factory=list)
    state: State = State.NEW


class Frontier:
    """Of one look-up. `depth`: how many nodes one after the other led to the last one asked."""

    def __init__(self, target: Node, ksize: int, known: Iterable[Node]) -> None:
        self._target = target
        self._ksize = ksize
        self._heard: dict[bytes, _Heard] = {}
        self._at: dict[SocketAddress, bytes] = {}
        self._credit: defaultdict[bytes, int] = defaultdict(lambda: CREDIT)
        self.asked = 0
        self.depth = 0
        for node in known:
            self._add(node, 1)

    def _add(self, node: Node, depth: int) -> _Heard | None:
        address = (node.ip, node.port)
        if self._at.setdefault(address, node.id) != node.id or len(self._heard) >= _HEARD_MAX:
            return None
        heard = _Heard(node, self._target.distance_to(node), depth)
        self._heard[node.id] = heard
        return heard

    def hear(self, referrer: Node, nodes: Iterable[Node]) -> None:
        """Of the nodes that it names the k closest to the key are worth a thought."""
        depth = self._heard[referrer.id].depth + 1
        for node in sorted(nodes, key=self._target.distance_to)[: self._ksize]:
            heard = self._heard.get(node.id)
            if heard is None:
                heard = self._add(node, depth)
            elif not heard.referrers:
                continue
            if heard is not None and referrer.id not in heard.referrers:
                heard.referrers.append(referrer.id)
                if heard.state is State.ANSWERED:
                    self._credit[referrer.id] += CREDIT_EACH - 1

    def next(self, *, anybody: bool = False) -> Node | None:
        """Whom to ask now; counts as asked. `anybody`: whoever names it."""
        if self.asked >= ASKED_MAX:
            return None
        bound = self._bound()
        new = [h for h in self._heard.values() if h.state is State.NEW and h.distance < bound]
        trusted = [heard for heard in new if self._lender(heard) is not None]
        chosen = min(trusted or (new if anybody else ()), key=_distance, default=None)
        if chosen is None:
            return None
        lender = self._lender(chosen)
        if lender:
            self._credit[lender] -= 1
        chosen.state = State.ASKED
        self.asked += 1
        self.depth = max(self.depth, chosen.depth)
        return chosen.node

    def _lender(self, heard: _Heard) -> bytes | None:
        """Whose word is taken for it; empty: none is needed, None: nobody's is good."""
        if not heard.referrers:
            return b""
        best = max(heard.referrers, key=self._credit.__getitem__)
        return best if self._credit[best] > 0 else None

    def _bound(self) -> int:
        """Farther nodes cannot be among the k closest that answer."""
        answered = sorted(h.distance for h in self._heard.values() if h.state is State.ANSWERED)
        return answered[self._ksize - 1] if len(answered) >= self._ksize else 1 << 160

    def answered(self, node: Node) -> None:
        heard = self._heard[node.id]
        heard.state = State.ANSWERED
        for referrer in heard.referrers:
            self._credit[referrer] += CREDIT_EACH

    def failed(self, node: Node) -> None:
        """It does not come back by hearsay."""
        self._heard[node.id].state = State.FAILED

    def nearest(self) -> list[Node]:
        """The k closest that answered, the closest first."""
        answered = [h for h in self._heard.values() if h.state is State.ANSWERED]
        return [heard.node for heard in sorted(answered, key=_distance)[: self._ksize]]

    @property
    def is_full(self) -> bool:
        """Whether k nodes have answered."""
        return self._bound() < 1 << 160


def _distance(heard: _Heard) -> int:
    return heard.distance
