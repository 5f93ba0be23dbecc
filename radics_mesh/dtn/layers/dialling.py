"""Whom to dial, where, and when again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import trio

from radics_mesh.config import Address, Foreign
from radics_mesh.ids import NodeId

# The latest addresses of a node that are tried; it moves, but not everywhere.
_ADDRESSES_MAX = 4


class Target:
    """Someone to have a session with. `peer` is unknown (None) for a bootstrap address at first;
    `expect` is who must answer there, if that is known from elsewhere."""

    def __init__(
        self,
        peer: NodeId | Foreign | None,
        addresses: Iterable[Address],
        *,
        expect: NodeId | None = None,
    ) -> None:
        self.peer = peer
        self.expect = expect
        self.addresses = list(addresses)
        # Where a beacon says that it is: unproved, so tried last, and displacing nothing.
        self.heard: Address | None = None
        # How long the peer wants to be left alone, as its last goodbye said.
        self.delay_s = 0.0
        # Set, and replaced, when there is a new address to try.
        self.news = trio.Event()
        # Where its latest record says that it is.
        self._stated: frozenset[str] = frozenset()

    def learn(self, addresses: Iterable[Address]) -> None:
        """The latest knowledge goes first."""
        new = list(dict.fromkeys(addresses))
        if not set(new) <= set(self.addresses):
            self.news.set()
            self.news = trio.Event()
        old = [address for address in self.addresses if address not in new]
        self.addresses = (new + old)[:_ADDRESSES_MAX]

    @property
    def places(self) -> list[Address]:
        """Everywhere it may be, the likeliest first."""
        heard = [] if self.heard is None or self.heard in self.addresses else [self.heard]
        return [*self.addresses, *heard]

    def hear(self, address: Address | None) -> None:
        """A beacon of it came from there; None: none came for long."""
        self.heard = address
        self.news.set()
        self.news = trio.Event()

    def states(self, addresses: Iterable[Address]) -> frozenset[str]:
        """As `learn`, from the peer's own record; the hosts that it has left since the last one.

        Where it is seen but never said to be, behind a NAT say, it cannot leave.
        """
        stated = list(addresses)
        before, self._stated = self._stated, frozenset(address.host for address in stated)
        self.learn(stated)
        return before - self._stated


class Backoff:
    """Waits that double up to a bound, each cut by up to a half at random so that nodes that
    lost each other at one moment do not dial at one moment."""

    def __init__(self, first_s: float, max_s: float, random: Callable[[], float]) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._random = random
        self._next_s = first_s

    def next_s(self) -> float:
        wait_s, self._next_s = self._next_s, min(self._max_s, self._next_s * 2)
        return wait_s * (0.5 + 0.5 * self._random())

    def reset(self) -> None:
        self._next_s = self._first_s
