"""Where this node is: the addresses of its interfaces, as whom others see it, and what changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from radics_mesh.config import Address
from radics_mesh.dht.server import Dht
from radics_mesh.node.facts import ADDRESSES_MAX, own_addresses, own_networks
from radics_mesh.scopes import in_order


class Whereabouts:
    """`moved` is told, for people, when the addresses of the interfaces have changed."""

    def __init__(self, listen_host: str, port: int, dht: Dht, moved: Callable[[str], None]) -> None:
        self._listen_host = listen_host
        self._port = port
        self._dht = dht
        self._moved = moved
        self._own = own_addresses(listen_host, port)
        self._networks = own_networks()

    def addresses(self) -> list[Address]:
        """Where others may dial this node: what it knows by itself, then as whom it is seen."""
        seen = [pair for pair in self._dht.observed() if pair not in self._own]
        return [Address(*pair) for pair in (*self._own[: ADDRESSES_MAX - len(seen)], *seen)]

    def look(self) -> None:
        """A new address (another network, another lease) is shown to the contacts at once."""
        own = own_addresses(self._listen_host, self._port)
        if own == self._own:
            return
        self._own, self._networks = own, own_networks()
        self._moved(f"this node is now at {', '.join(host for host, _ in own)}")
        self._dht.moved()

    def in_order(self, addresses: Iterable[Address]) -> list[Address]:
        """Another node's, as they should be tried from here."""
        return in_order(addresses, attrgetter("host"), self._networks)
