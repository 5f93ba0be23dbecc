"""The machine's network interfaces, as Linux names them, for those who speak to a whole link."""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass

# linux/sockios.h, linux/if.h
_SIOCGIFFLAGS, _SIOCGIFADDR, _SIOCGIFBRDADDR = 0x8913, 0x8915, 0x8919
_IFF_UP, _IFF_LOOPBACK = 0x1, 0x8
# struct ifreq: the name, then 24 bytes of which the first are what was asked for.
_IFREQ = struct.Struct("16s24x")

ALL = "all"


@dataclass(frozen=True)
class Interface:
    """`address` None: it has no IPv4. `broadcast` None: nor is there such an address, as on a
    tunnel."""

    index: int
    name: str
    address: str | None
    broadcast: str | None


def interfaces(names: Collection[str]) -> list[Interface]:
    """Those of these names that are up now; with ALL every one but the loopback."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for index, name in socket.if_nameindex():
            flags = struct.unpack_from("H", _ask(asked, _SIOCGIFFLAGS, name) or bytes(18), 16)[0]
            wanted = name in names or (ALL in names and not flags & _IFF_LOOPBACK)
            if wanted and flags & _IFF_UP:
                address = _address(asked, _SIOCGIFADDR, name)
                broadcast = _address(asked, _SIOCGIFBRDADDR, name)
                found.append(Interface(index, name, address, broadcast))
    return found


def _address(asked: socket.socket, what: int, name: str) -> str | None:
    # The address follows family (2 bytes) and port (2) of a sockaddr_in.
    answer = _ask(asked, what, name)
    address = socket.inet_ntoa(answer[20:24]) if answer else "0.0.0.0"
    return None if address == "0.0.0.0" else address


def _ask(asked: socket.socket, what: int, name: str) -> bytes | None:
    """None when the interface is gone, or has no such thing."""
    try:
        return fcntl.ioctl(asked, what, _IFREQ.pack(name.encode()))
    except OSError:
        return None
