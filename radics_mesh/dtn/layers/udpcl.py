"""UDP convergence layer (RFC 7122): one bundle in one datagram, for foreign peers.

Nothing is acknowledged, so what `transmit` promises is little: the datagram has left this machine,
and nobody has said for GRACE_S that nobody is there (ICMP). Who needs more asks for custody: a
custodian keeps a bundle until another node has answered for it, whatever carried it. A lost bundle
without custody is lost.

A peer counts as in reach as long as no ICMP error comes back, which keepalives (section 3.3: four
zero bytes) provoke also where no bundle goes. Bundles that are longer than the path's datagrams are
fragmented before (`limit_bytes`), as section 3.2 wants it, and the rate is bounded, as UDP itself
would take any.

Who sent a datagram is known by its source address alone, which anybody on the way can forge. So
its bundles may do no more than any of the peer's: reach, unsigned, the services listed for it.
Members do not speak UDPCL with each other: their sealed sessions prove who is there, and answer.
"""

from __future__ import annotations

import math
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Protocol

import structlog
import trio

from radics_mesh.config import Address, Config, Foreign
from radics_mesh.dtn.layers.dialling import Backoff
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.errors import LinkError, MeshError, PeerError, UsageError
from radics_mesh.link import plain, resolve_all

log = structlog.get_logger(__name__)

KEEPALIVE = bytes(4)
# What UDP over IPv4 can carry at all.
DATAGRAM_MAX_BYTES = 65_507
# A router or host that has nobody for a datagram says so within a round trip on a local link.
GRACE_S = 0.05
# Datagrams that are being stored; while there are so many, those that come are lost.
CONCURRENT = 64
_BUFFER_BYTES = 1 << 20


class Contact(Protocol):
    # The longest bundle that may be given to `transmit`.
    limit_bytes: int | None

    def close(self) -> None: ...


class Agent(Protocol):
    """What this layer needs of radics_mesh.dtn.agent."""

    async def receive(self, raw: bytes, peer: Peer) -> object: ...

    def contact_up(
        self, peer: Peer, transmit: Callable[[bytes], Awaitable[None]], /
    ) -> Contact: ...


class UdpLayer:
    """All peers over UDP. `counters`: received, refused, dropped, strangers, unreachable."""

    def __init__(self, *, agent: Agent, config: Config, random: Callable[[], float]) -> None:
        self._agent = agent
        self._config = config
        self._random = random
        self._peers = [foreign for foreign in config.foreign if foreign.over_udp]
        self._hosts: dict[str, Foreign] = {}
        self._taking = trio.CapacityLimiter(CONCURRENT)
        self._listen_at: Address | None = None
        self.counters: Counter[str] = Counter()

    async def run(
        self, *, task_status: trio.TaskStatus[Address | None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Until cancelled; tells where it listens, if anywhere. UsageError: the port is taken."""
        for foreign in self._peers:
            for host, _ in await resolve_all([Address(foreign.host)]):
                self._hosts[host] = foreign
        with ExitStack() as stack:
            listener = None
            if self._config.udp_listen is not None:
                listener = stack.enter_context(await _bound(self._config.udp_listen))
                port = plain(listener.getsockname())[1]
                self._listen_at = Address(self._config.udp_listen.host, port)
            async with trio.open_nursery() as nursery:
                if listener is not None:
                    nursery.start_soon(self._hear_all, listener, nursery)
                for foreign in self._peers:
                    if foreign.address is not None:
                        nursery.start_soon(self._keep_up, foreign, foreign.address, nursery)
                task_status.started(self._listen_at)
                await trio.sleep_forever()

    # --- coming in ---

    async def _hear_all(self, udp: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        """Datagrams from listed hosts that come from another port than the one that is dialled."""
        while True:
            try:
                data, source = await udp.recvfrom(DATAGRAM_MAX_BYTES)
            except ConnectionError:
                continue
            foreign = self._hosts.get(plain(source)[0])
            if foreign is None:
                self.counters["strangers"] += 1
            else:
                self._take(data, foreign, nursery)

    def _take(self, data: bytes, foreign: Foreign, nursery: trio.Nursery) -> None:
        if data == KEEPALIVE:
            return
        try:
            self._taking.acquire_on_behalf_of_nowait(borrower := object())
        except trio.WouldBlock:
            self.counters["dropped"] += 1
            return
        nursery.start_soon(self._store, data, foreign, borrower)

    async def _store(self, data: bytes, foreign: Foreign, borrower: object) -> None:
        try:
            await self._agent.receive(data, foreign)
            self.counters["received"] += 1
        except MeshError:  # the agent has counted and logged it; there is no way to tell the peer
            self.counters["refused"] += 1
        finally:
            self._taking.release_on_behalf_of(borrower)

    # --- going out ---

    async def _keep_up(self, foreign: Foreign, address: Address, nursery: trio.Nursery) -> None:
        backoff = Backoff(self._config.redial_first_s, self._config.redial_max_s, self._random)
        while True:
            try:
                with await _connected(self._listen_at, address) as udp:
                    path = _Path(udp, self._config.datagram_bytes_per_s)
                    if await self._along(path, foreign, nursery):
                        backoff.reset()
            except OSError as error:
                log.debug("no way to a peer", peer=foreign.eid, reason=str(error))
            self.counters["unreachable"] += 1
            await trio.sleep(backoff.next_s())

    async def _along(self, path: _Path, foreign: Foreign, nursery: trio.Nursery) -> bool:
        """A contact from when somebody seems to be there until nobody is. Whether there was one."""
        async with trio.open_nursery() as pair:
            pair.start_soon(self._hear, path, foreign, nursery)
            await path.say(KEEPALIVE)
            is_up = await path.stays_whole(GRACE_S)
            if is_up:
                await self._while_up(path, foreign)
            pair.cancel_scope.cancel()
        return is_up

    async def _while_up(self, path: _Path, foreign: Foreign) -> None:
        contact = self._agent.contact_up(foreign, path.transmit)
        contact.limit_bytes = min(self._config.datagram_max_bytes, DATAGRAM_MAX_BYTES)
        try:
            while await path.stays_whole(self._config.keepalive_s or math.inf):
                await path.say(KEEPALIVE)
        finally:
            contact.close()

    async def _hear(self, path: _Path, foreign: Foreign, nursery: trio.Nursery) -> None:
        """What comes from the peer's own port, ICMP errors among it."""
        while True:
            try:
                data = await path.udp.recv(DATAGRAM_MAX_BYTES)
            except OSError:
                path.broken.set()
                return
            self._take(data, foreign, nursery)


class _Path:
    """A connected socket, so that the kernel tells of ICMP errors, and the pace on it."""

    def __init__(self, udp: trio.socket.SocketType, bytes_per_s: float) -> None:
        self.udp = udp
        self.broken = trio.Event()
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    async def transmit(self, raw: bytes) -> None:
        """See the module's beginning. PeerError where no datagram is long enough."""
        if len(raw) > DATAGRAM_MAX_BYTES:
            raise PeerError(f"a bundle of {len(raw)} bytes fits no datagram")
        begins = max(trio.current_time(), self._free_at)
        self._free_at = begins + len(raw) / self._bytes_per_s
        await trio.sleep_until(begins)
        if not self.broken.is_set():
            await self.say(raw)
        if not await self.stays_whole(GRACE_S):
            raise LinkError("nobody is there")

    async def say(self, datagram: bytes) -> None:
        try:
            await self.udp.send(datagram)
        except OSError as error:
            log.debug("cannot send", reason=str(error))
            self.broken.set()

    async def stays_whole(self, for_s: float) -> bool:
        with trio.move_on_after(for_s):
            await self.broken.wait()
        return not self.broken.is_set()


async def _bound(address: Address) -> trio.socket.SocketType:
    try:
        found = await trio.socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, sockaddr = found[0]
        udp = trio.socket.socket(family, socket.SOCK_DGRAM)
        # Beside it a socket for each peer is bound to the same place.
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        await udp.bind(sockaddr)
    except OSError as error:
        raise UsageError(f"cannot listen on UDP {address}: {error.strerror or error}") from error
    return udp


async def _connected(local: Address | None, address: Address) -> trio.socket.SocketType:
    """OSError when the peer's name or network is unknown now."""
    found = await trio.socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    family, _, _, _, sockaddr = found[0]
    udp = trio.socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        if local is not None:
            await udp.bind((local.host, local.port))
        await udp.connect(sockaddr)
    except BaseException:
        udp.close()
        raise
    return udp
