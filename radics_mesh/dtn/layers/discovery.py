"""Saying on every link that this node is there, and hearing who else is (see `ipnd`, `heard`).

Beacons go out on each interface, to the IPv4 group, the interface's broadcast address (some radios
carry no multicast) and the IPv6 group. Interfaces are looked up anew for each beacon: a stick with
a radio may be plugged in at any time.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence

import structlog
import trio

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.layers import ipnd
from radics_mesh.dtn.layers.heard import Found, Heard
from radics_mesh.dtn.layers.interfaces import Interface, interfaces
from radics_mesh.dtn.layers.ipnd import Beacon, Service
from radics_mesh.errors import UsageError
from radics_mesh.ids import Eid
from radics_mesh.link import plain

log = structlog.get_logger(__name__)

# Whoever is on the same link hears it, and nobody further.
_HOPS = 1
# struct ip_mreqn: group, own address, interface.
_MREQN = struct.Struct("=4s4si")
_ANY = bytes(4)


class Discovery:
    """Beacons of one node. `run` it; what is heard and worth a dial goes to `on_found`.

    `counters`: sent, unsent (an interface without a way out), and what `heard` counts.
    """

    def __init__(
        self,
        *,
        own: Eid,
        services: Sequence[Service],
        heard: Heard,
        on_found: Callable[[Found], None],
        names: Sequence[str],
        every_s: float,
        random: Callable[[], float],
        port: int = ipnd.PORT,
    ) -> None:
        """`names` of interfaces, or `interfaces.ALL`."""
        self._own = own
        self._services = tuple(services)
        self._heard = heard
        self._on_found = on_found
        self._names = names
        self._every_s = every_s
        self._random = random
        self._port = port
        self._sequence = int(random() * 0x10000)
        self._joined: set[tuple[int, int]] = set()
        self.counters: Counter[str] = heard.counters

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled. UsageError when the port is taken by somebody who does not share it."""
        sockets = [_open(socket.AF_INET)]
        if socket.has_ipv6:
            sockets.append(_open(socket.AF_INET6))
        try:
            async with trio.open_nursery() as nursery:
                for udp in sockets:
                    await udp.bind(
                        ("0.0.0.0" if udp.family == socket.AF_INET else "::", self._port)
                    )
                    nursery.start_soon(self._listen, udp)
                self._join(sockets)
                task_status.started()
                await self._speak(sockets)
        except OSError as error:
            raise UsageError(f"no beacons on UDP port {self._port}: {error.strerror}") from error
        finally:
            for udp in sockets:
                udp.close()

    # --- hearing ---

    async def _listen(self, udp: trio.socket.SocketType) -> None:
        while True:
            try:
                data, source = await udp.recvfrom(ipnd.BEACON_MAX_BYTES + 1)
            except ConnectionError:
                continue  # an ICMP error about a beacon of ours
            found = self._heard.hear(data, plain(source)[0], _now())
            if found is not None:
                log.info("heard", peer=found.name, address=str(found.address))
                self._on_found(found)

    def _join(self, sockets: Sequence[trio.socket.SocketType]) -> list[Interface]:
        """Hear the groups on all interfaces of now, also those that came since."""
        present = interfaces(self._names)
        for udp in sockets:
            for interface in present:
                key = udp.family, interface.index
                if key not in self._joined and _join(udp, interface):
                    self._joined.add(key)
        indices = {interface.index for interface in present}
        self._joined = {key for key in self._joined if key[1] in indices}
        return present

    # --- speaking ---

    async def _speak(self, sockets: Sequence[trio.socket.SocketType]) -> None:
        while True:
            self._sequence = (self._sequence + 1) & 0xFFFF
            period_s = max(1, round(self._every_s))
            beacon = Beacon(self._own, self._sequence, self._services, period_s).encode()
            for interface in self._join(sockets):
                for udp in sockets:
                    await self._say(udp, interface, beacon)
            self._heard.forget_silent(_now())
            # Nodes that were switched on together shall not shout together for ever.
            await trio.sleep(self._every_s * (0.75 + 0.5 * self._random()))

    async def _say(self, udp: trio.socket.SocketType, interface: Interface, beacon: bytes) -> None:
        try:
            for place in self._places(udp, interface):
                await udp.sendto(beacon, place)
                self.counters["sent"] += 1
        except OSError:  # it is going down, or has no address of this kind
            self.counters["unsent"] += 1

    def _places(
        self, udp: trio.socket.SocketType, interface: Interface
    ) -> list[tuple[str | int, ...]]:
        """Where to send so that all on this interface hear it; from now on by this interface."""
        if udp.family == socket.AF_INET6:
            return [(ipnd.GROUP_6, self._port, 0, interface.index)]
        if interface.address is None:
            return []
        # With the address, else another interface's might be what receivers see.
        own = socket.inet_aton(interface.address)
        by = _MREQN.pack(_ANY, own, interface.index)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, by)
        broadcast = [] if interface.broadcast is None else [(interface.broadcast, self._port)]
        return [(ipnd.GROUP_4, self._port), *broadcast]


def _open(family: socket.AddressFamily) -> trio.socket.SocketType:
    udp = trio.socket.socket(family, socket.SOCK_DGRAM)
    # Several nodes of one machine, and an IBR-DTN beside them, hear the same groups.
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
    else:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, _HOPS)
    return udp


def _join(udp: trio.socket.SocketType, interface: Interface) -> bool:
    try:
        if udp.family == socket.AF_INET6:
            group = socket.inet_pton(socket.AF_INET6, ipnd.GROUP_6)
            request = group + struct.pack("=I", interface.index)
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
        else:
            request = _MREQN.pack(socket.inet_aton(ipnd.GROUP_4), _ANY, interface.index)
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    except OSError as error:
        # Again after it went down and came back under its old number: still joined.
        return error.errno == errno.EADDRINUSE
    return True


def _now() -> Monotonic:
    # Trio's clock and not the node's: what is heard is forgotten in the time that beacons sleep in.
    return Monotonic(trio.current_time())
