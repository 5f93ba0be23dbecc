"""How far an address means the same host: whom it may be told to, and in which order to try."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeVar

_Address = TypeVar("_Address")


class Scope(enum.IntEnum):
    """Wider ones are greater."""

    HOST = 0  # loopback: everybody's own
    LINK = 1  # link-local: one cable or cell, and a scope id that is only the host's own
    SITE = 2  # private (RFC 1918), shared (RFC 6598), unique local (RFC 4193): behind some router
    WORLD = 3


_SITES = [
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
]


@lru_cache(maxsize=4096)
def scope_of(host: str) -> Scope:
    """Of a numeric host; a name means the same to everybody who can resolve it."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return Scope.WORLD
    if address.is_loopback:
        return Scope.HOST
    if address.is_link_local:
        return Scope.LINK
    if any(address in network for network in _SITES):
        return Scope.SITE
    return Scope.WORLD


def may_tell(host: str, listener: str) -> bool:
    """Whether an address can be of use to who is at `listener`, and shows it no network but its
    own: a private address means another host, or nobody, to whoever is outside."""
    return scope_of(host) >= scope_of(listener)


def is_v6(host: str) -> bool:
    return ":" in host


def in_order(
    addresses: Iterable[_Address],
    host_of: Callable[[_Address], str],
    networks: Iterable[str],
) -> list[_Address]:
    """As they should be tried. `networks`: of this host's interfaces, `192.168.1.7/24`.

    First those on a network that this host is on too: shortest way, and no router has to let it
    through. Then the world's, then names of other sites (there may be a tunnel); what is
    another's loopback comes last, since it only works for nodes of one host.
    """
    own = [ipaddress.ip_interface(text).network for text in networks]

    def rank(address: _Address) -> int:
        host = host_of(address)
        scope = scope_of(host)
        if scope is Scope.HOST:
            return 3
        if _is_within(host, own):
            return 0
        return 1 if scope is Scope.WORLD else 2

    return sorted(addresses, key=rank)


def _is_within(
    host: str, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]
) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return any(address.version == net.version and address in net for net in networks)
