"""Where else nodes are: addresses beside the one in the routing table. Sans-IO.

A node can have several, of two families and on several networks. What it proved itself under is
kept, and what its signed record names; that is tried when the address in use fails, and whoever
asks for nodes is told an address of the family that it speaks itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from radics_mesh.link import SocketAddress
from radics_mesh.scopes import is_v6, may_tell

NODES_MAX = 1024
EACH_MAX = 4


class Homes:
    def __init__(self) -> None:
        self._proved: OrderedDict[bytes, list[SocketAddress]] = OrderedDict()
        self._stated: OrderedDict[bytes, list[SocketAddress]] = OrderedDict()

    def prove(self, node_id: bytes, address: SocketAddress) -> None:
        """It answered there."""
        _put(self._proved, node_id, [address, *self._proved.get(node_id, ())])

    def state(self, node_id: bytes, addresses: Iterable[SocketAddress]) -> None:
        """It says that it is there; this replaces what it said before."""
        _put(self._stated, node_id, addresses)

    def lose(self, node_id: bytes, address: SocketAddress) -> None:
        """Nobody answers there now."""
        if address in self._proved.get(node_id, ()):
            self._proved[node_id].remove(address)

    def others(self, node_id: bytes, known: SocketAddress) -> list[SocketAddress]:
        """Where else to try, what was proved first."""
        both = (*self._proved.get(node_id, ()), *self._stated.get(node_id, ()))
        return [address for address in dict.fromkeys(both) if address != known]

    def for_caller(
        self, node_id: bytes, known: SocketAddress, caller: SocketAddress
    ) -> SocketAddress | None:
        """The address to tell a caller, `known` if it can be of use; None: there is none."""
        candidates = [known, *self._proved.get(node_id, ())]
        of_use = [a for a in candidates if may_tell(a[0], caller[0])]
        alike = [a for a in of_use if is_v6(a[0]) == is_v6(caller[0])]
        return next(iter(alike or of_use), None)


def _put(
    among: OrderedDict[bytes, list[SocketAddress]],
    node_id: bytes,
    addresses: Iterable[SocketAddress],
) -> None:
    among[node_id] = list(dict.fromkeys(addresses))[:EACH_MAX]
    among.move_to_end(node_id)
    if len(among) > NODES_MAX:
        among.popitem(last=False)
