"""Datagram links: UDP, the mesh's outer seal, and the restriction to neighbours.

    UdpLink ─ Restricted (only with `neighbours`) ─ SealedDatagrams ─ Channel (tags: TAG_*)

A link promises nothing: datagrams are lost, repeated, reordered. All of them are sealed with the
mesh key (several while it is changed: radics_mesh.seals), so that an outsider's packet is dropped
before any parser sees it; the seal names no sender, and whoever acts on a datagram must check a
signature inside.

Sealed form: SecretBox nonce (24 bytes), MAC (16), then encrypted: tag (1 byte), data.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import structlog
import trio
from nacl.secret import SecretBox

from radics_mesh.config import Address
from radics_mesh.errors import LinkError, UsageError
from radics_mesh.seals import Seals
from radics_mesh.seals import SocketAddress as SocketAddress

log = structlog.get_logger(__name__)

SEAL_OVERHEAD_BYTES = SecretBox.NONCE_SIZE + SecretBox.MACBYTES + 1
TAG_DHT = 1
TAG_SWIM = 2
TAG_RECORDS = 3
_RECEIVE_MAX_BYTES = 65_535
# Datagrams that wait for a slow reader; more are dropped, as a full socket buffer would.
_QUEUE = 256


class DatagramLink(Protocol):
    """Where datagrams go out and come in. One task at a time may receive."""

    @property
    def local(self) -> SocketAddress:
        """Where it is bound, with the real port."""
        ...

    async def send(self, data: bytes, address: SocketAddress) -> None:
        """LinkError when it cannot even leave here; nothing is said about its arrival."""
        ...

    async def receive(self) -> tuple[bytes, SocketAddress]:
        """The next datagram and its (unproved) source. LinkError once closed."""
        ...

    def close(self) -> None: ...


class UdpLink:
    """A UDP socket; bound to `::` it speaks both IPv4 and IPv6."""

    def __init__(self, udp: trio.socket.SocketType) -> None:
        self._udp = udp
        self._v6 = udp.family == socket.AF_INET6
        self.local = plain(udp.getsockname())

    @classmethod
    async def open(cls, address: Address | SocketAddress) -> UdpLink:
        """Bind (port 0: any free one); UsageError when the address is taken or not ours."""
        host, port = address if isinstance(address, tuple) else (address.host, address.port)
        try:
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            family, _, _, _, bindable = found[0]
            udp = trio.socket.socket(family, socket.SOCK_DGRAM)
        except OSError as error:
            raise UsageError(f"cannot listen on {host}: {error.strerror or error}") from error
        try:
            if family == socket.AF_INET6:
                udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host != "::"))
            await udp.bind(bindable)
        except OSError as error:
            udp.close()
            raise UsageError(
                f"cannot listen on UDP {host} port {port}: {error.strerror}"
            ) from error
        return cls(udp)

    async def send(self, data: bytes, address: SocketAddress) -> None:
        host, port = address
        if self._v6 and "." in host and ":" not in host:
            host = f"::ffff:{host}"
        try:
            await self._udp.sendto(data, (host, port))
        except (OSError, UnicodeError, trio.ClosedResourceError) as error:
            raise LinkError(f"cannot send to {host} port {port}: {error}") from error

    async def receive(self) -> tuple[bytes, SocketAddress]:
        while True:
            try:
                data, source = await self._udp.recvfrom(_RECEIVE_MAX_BYTES)
            except ConnectionError:
                # An ICMP error about an earlier datagram: it says nothing about the socket.
                continue
            except (OSError, trio.ClosedResourceError) as error:
                raise LinkError(f"the link is closed: {error}") from error
            return data, plain(source)

    def close(self) -> None:
        self._udp.close()


class Restricted:
    """A link that reaches some addresses only, as if the others were out of radio range."""

    def __init__(self, inner: DatagramLink, reachable: Iterable[SocketAddress]) -> None:
        self._inner = inner
        self._reachable = frozenset(reachable)
        self.local = inner.local

    async def send(self, data: bytes, address: SocketAddress) -> None:
        if address not in self._reachable:
            raise LinkError(f"{address[0]} port {address[1]} is no neighbour")
        await self._inner.send(data, address)

    async def receive(self) -> tuple[bytes, SocketAddress]:
        while True:
            data, source = await self._inner.receive()
            if source in self._reachable:
                return data, source

    def close(self) -> None:
        self._inner.close()


class SealedDatagrams:
    """Seals what goes out with the mesh key, opens what comes in, sorts it by its tag.

    `seals` says under which keys, and may be told of others. `counters`: opened, copies (of what
    was opened under another key), bytes_in, bytes_out, refused (sealed with none of our keys),
    unknown_tag, overflow (its reader is too slow).
    """

    def __init__(self, link: DatagramLink, mesh_key: bytes, *others: bytes) -> None:
        """`others`: older keys that still count."""
        self.seals = Seals([mesh_key, *others])
        self._link = link
        self._queues: dict[int, trio.MemorySendChannel[tuple[bytes, SocketAddress]]] = {}
        self.local = link.local
        self.counters: Counter[str] = Counter()

    def channel(self, tag: int) -> Channel:
        """The link of one protocol; its tag (0 to 255) may be taken once."""
        if tag in self._queues:
            raise UsageError(f"datagram tag {tag} is taken")
        sender, receiver = trio.open_memory_channel[tuple[bytes, SocketAddress]](_QUEUE)
        self._queues[tag] = sender
        return Channel(self, tag, receiver)

    async def run(self) -> None:
        """Receive until cancelled or the link is closed (LinkError)."""
        while True:
            sealed, source = await self._link.receive()
            self._sort(sealed, source)

    def _sort(self, sealed: bytes, source: SocketAddress) -> None:
        found = self.seals.open(sealed, source)
        if found is None:
            self._refuse("refused", source)
            return
        opened, is_copy = found
        if is_copy:
            self.counters["copies"] += 1
            return
        queue = self._queues.get(opened[0]) if opened else None
        if queue is None:
            self._refuse("unknown_tag", source)
            return
        try:
            queue.send_nowait((opened[1:], source))
        except trio.WouldBlock:
            self._refuse("overflow", source)
        except trio.BrokenResourceError:
            self._refuse("unknown_tag", source)
        else:
            self.counters["opened"] += 1
            self.counters["bytes_in"] += len(sealed)

    def _refuse(self, reason: str, source: SocketAddress) -> None:
        self.counters[reason] += 1
        if self.counters[reason] == 1:
            log.warning("datagram refused", reason=reason, source=source)

    async def send(self, tag: int, data: bytes, address: SocketAddress) -> None:
        for sealed in self.seals.seal(bytes((tag,)) + data, address):
            await self._link.send(sealed, address)
            self.counters["bytes_out"] += len(sealed)

    def close(self) -> None:
        self._link.close()
        for queue in self._queues.values():
            queue.close()


class Channel:
    """One protocol's share of a sealed link: a DatagramLink."""

    def __init__(
        self,
        sealed: SealedDatagrams,
        tag: int,
        queue: trio.MemoryReceiveChannel[tuple[bytes, SocketAddress]],
    ) -> None:
        self._sealed = sealed
        self._tag = tag
        self._queue = queue
        self.local = sealed.local

    async def send(self, data: bytes, address: SocketAddress) -> None:
        await self._sealed.send(self._tag, data, address)

    async def receive(self) -> tuple[bytes, SocketAddress]:
        try:
            return await self._queue.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError) as error:
            raise LinkError("the link is closed") from error

    def close(self) -> None:
        self._queue.close()


async def resolve(address: Address) -> list[SocketAddress]:
    """The numeric addresses of a host, LinkError when it has none (now)."""
    try:
        found = await trio.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise LinkError(f"cannot resolve {address.host}: {error}") from error
    return list(dict.fromkeys(plain(sockaddr) for *_, sockaddr in found))


async def resolve_all(addresses: Iterable[Address]) -> frozenset[SocketAddress]:
    """All numeric addresses of some hosts, waiting at most some seconds for a name service."""
    found: set[SocketAddress] = set()
    for address in addresses:
        try:
            with trio.fail_after(5):
                found.update(await resolve(address))
        except (LinkError, trio.TooSlowError) as error:
            log.warning("neighbour not resolved", address=str(address), reason=str(error))
    return frozenset(found)


def plain(sockaddr: object) -> SocketAddress:
    """A socket's address: IPv4 out of its IPv6 mapping, an IPv6 scope into the host's text."""
    assert isinstance(sockaddr, tuple)
    host, port = str(sockaddr[0]), int(sockaddr[1])
    if len(sockaddr) == 4:
        mapped = ipaddress.IPv6Address(host.partition("%")[0]).ipv4_mapped
        if mapped is not None:
            host = str(mapped)
        elif sockaddr[3] and "%" not in host:
            host = f"{host}%{sockaddr[3]}"
    return host, port


def tcp_rtt_s(stream: object) -> float | None:
    """The kernel's smoothed round-trip time of a connection, None where it keeps none.

    It comes from TCP's own acknowledgements of whatever passes (keepalives at least), and so has
    nothing of the peer's disk in it. linux/tcp.h: tcpi_rtt, microseconds, byte 68 of tcp_info.
    """
    if not isinstance(stream, trio.SocketStream) or not hasattr(socket, "TCP_INFO"):
        return None
    try:
        info = stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 72)
    except OSError:
        return None
    return int.from_bytes(info[68:72], sys.byteorder) / 1e6 if len(info) == 72 else None
