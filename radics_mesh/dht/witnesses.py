"""As whom others see this node: the addresses that its datagrams come from, seen from outside.

Behind a router a node does not know its own outer address; contacts tell it. Each of them may lie,
so an address counts only while WITNESSES_MIN of them, at as many hosts, say the same; and it is
never more than one address to try, after all that the node knows by itself. Sans-IO.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from radics_mesh.link import SocketAddress
from radics_mesh.scopes import Scope, scope_of

WITNESSES_MIN = 2
# A word counts so long; contacts are asked again well before.
WORD_S = 900.0
_WORDS_MAX = 64
_BELIEVED_MAX = 2


class Witnesses:
    """`now` is any clock that does not step."""

    def __init__(self) -> None:
        # By the witness' host: a host that bears many ids is one witness.
        self._words: OrderedDict[str, tuple[SocketAddress, float]] = OrderedDict()

    def say(self, witness: SocketAddress, seen: SocketAddress, now: float) -> None:
        """One at that address says that this node has this one. What can be of no use to anybody
        outside (a loopback address, seen from the same host) is no news."""
        if scope_of(seen[0]) <= Scope.LINK:
            return
        self._words[witness[0]] = (seen, now)
        self._words.move_to_end(witness[0])
        if len(self._words) > _WORDS_MAX:
            self._words.popitem(last=False)

    def forget(self) -> None:
        """This node has moved: what was seen is no more."""
        self._words.clear()

    def believed(self, now: float) -> list[SocketAddress]:
        """What enough of them say, the most of them first."""
        fresh = [seen for seen, since in self._words.values() if now - since < WORD_S]
        return [
            seen
            for seen, count in Counter(fresh).most_common(_BELIEVED_MAX)
            if count >= WITNESSES_MIN
        ]
