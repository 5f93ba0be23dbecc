"""Who is in reach: accepting sessions, dialling known addresses, one session a peer.

Flow of a session: an open stream → sealed (members) or on the list (foreign) → TCPCL
greets → `_open`: the only one with its peer? → the agent has a contact until the session ends.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog
import trio

from radics_mesh.broadcast import Broadcast
from radics_mesh.config import Address, Config, Foreign
from radics_mesh.dtn.handling.contact import Stream, Transmit
from radics_mesh.dtn.layers.dialler import Dialler
from radics_mesh.dtn.layers.dialling import Target
from radics_mesh.dtn.layers.doors import Door, Unproved, listen, one_of, only
from radics_mesh.dtn.layers.lines import Contact, Line, prefers
from radics_mesh.dtn.layers.parts import Keeper, Parts
from radics_mesh.dtn.layers.tcpcl_session import BUNDLE_MAX_BYTES, Identify, TcpclSession
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.spool import Spool, Spooled
from radics_mesh.dtn.wire.content import Content
from radics_mesh.errors import LinkError, MeshError, PeerError
from radics_mesh.ids import NodeId
from radics_mesh.link import SocketAddress, plain, resolve_all
from radics_mesh.me import Me
from radics_mesh.sealed import (
    AdmissionRequest,
    ByteStream,
    SealedStream,
    accept,
    connect,
    dial,
)

log = structlog.get_logger(__name__)

# Streams whose caller has not proved itself yet; for one more, one of them is closed.
UNPROVED_MAX = 64
# Callers of foreign peers that have not greeted yet, as UNPROVED_MAX.
UNNAMED_MAX = 16
# Nobody keeps us away for longer when it says goodbye.
DELAY_MAX_S = 3600.0
_LOGGED_MAX = 1024


class Agent(Protocol):
    """What contacts need of radics_mesh.dtn.agent."""

    async def receive(self, raw: bytes | Spooled, peer: Peer) -> object: ...

    def has_room(self, size_bytes: int) -> bool: ...

    def spool(self) -> Spool: ...

    def knows(self, begun: bytes, peer: Peer) -> bool: ...

    def may_come(self, begun: bytes) -> bool: ...

    async def may_keep(self, raw: Content, peer: Peer) -> bool: ...

    async def receive_part(self, raw: Content, peer: Peer) -> object: ...

    def contact_up(
        self,
        peer: Peer,
        transmit: Transmit,
        /,
        *,
        shown: bytes | None = None,
        stream: Stream | None = None,
    ) -> Contact: ...


@dataclass(frozen=True)
class Listening:
    """Where we listen, with the real ports."""

    members: Address
    foreign: Address | None


@dataclass(frozen=True)
class Change:
    """A session came up or went down."""

    peer: Peer
    up: bool


class Contacts:
    """All sessions of a node. `admit` serves strangers; None turns them away.

    `counters`: sessions, accepted, dialled, refused_<kind>, crowded, superseded, moved,
    revoked.
    """

    def __init__(
        self,
        *,
        me: Me,
        agent: Agent,
        config: Config,
        random: Callable[[], float],
        admit: Callable[[AdmissionRequest], Awaitable[None]] | None = None,
    ) -> None:
        self._me = me
        self._agent = agent
        self._config = config
        self._admit = admit
        self._lines: dict[Peer, Line] = {}
        self._opening: set[NodeId] = set()
        self.foreign_hosts: dict[Foreign, frozenset[str]] = {}
        self._parts = Parts(config.state / "parts")
        self._unproved = Unproved(UNPROVED_MAX)
        self._unnamed = Unproved(UNNAMED_MAX)
        self._listen_port = 0
        self._logged: set[tuple[str, object]] = set()
        self.counters: Counter[str] = Counter()
        self.changes: Broadcast[Change] = Broadcast()
        self._foreign = [foreign for foreign in config.foreign if not foreign.over_udp]
        self._dialler = Dialler(
            own=me.node_id,
            config=config,
            random=random,
            lines=self._lines,
            attempt=self._attempt,
        )

    async def run(
        self, *, task_status: trio.TaskStatus[Listening] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Listen, dial, carry bundles until cancelled. UsageError when a port is taken."""
        if self._config.neighbours:
            self._dialler.neighbours = await resolve_all(self._config.neighbours)
        for listed in self._foreign:
            found = await resolve_all([Address(listed.host)])
            self.foreign_hosts[listed] = frozenset(host for host, _ in found)
        await self._parts.recover(self._agent)
        async with AsyncExitStack() as stack:
            # Before the nursery: a taken port is the user's mistake, not a group of exceptions.
            members = await listen(stack, self._config.listen)
            foreign = None
            if self._config.foreign_listen is not None:
                foreign = await listen(stack, self._config.foreign_listen)
            self._listen_port = members.address.port
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._serve, members, self._accept_member)
                if foreign is not None:
                    nursery.start_soon(self._serve, foreign, self._accept_foreign)
                self._dialler.start(nursery)
                task_status.started(
                    Listening(members.address, foreign.address if foreign else None)
                )
                try:
                    await trio.sleep_forever()
                finally:
                    self._dialler.stop()

    # --- what others see ---

    def learn(self, node_id: NodeId, addresses: Iterable[Address]) -> None:
        """A member states that it is at these addresses; keep a session with it from now on.

        With `neighbours` configured, addresses of others are of no use and are left out.
        """
        left = self._dialler.states(node_id, addresses)
        line = self._lines.get(node_id)
        if line is not None and line.host in left:
            # TCP would not know it for as long as silence is borne.
            self.counters["moved"] += 1
            line.session.stop()

    def drop_revoked(self) -> None:
        """Members have been revoked: sessions with them end. Those that begin are refused by the
        key exchange."""
        for line in list(self._lines.values()):
            stream = line.stream
            if isinstance(stream, SealedStream) and self._me.verifier.is_out(stream.peer_chain):
                self.counters["revoked"] += 1
                line.session.stop()

    def hear(self, peer: Peer, address: Address) -> None:
        """A beacon says that a peer is there: try it too, after its other addresses."""
        self._dialler.hear(peer, address)

    def hear_no_more(self, peer: Peer) -> None:
        """Beacons of it have stopped; it is forgotten if they were all that was known of it."""
        self._dialler.hear_no_more(peer)

    def peers(self) -> list[Peer]:
        """With whom there is a session now."""
        return list(self._lines)

    def sought(self) -> dict[Peer, list[Address]]:
        """Whom this node dials again and again, because there is no session; where."""
        return self._dialler.sought()

    def host_of(self, peer: Peer) -> str:
        """Where the other end of its session is; empty where that is not known."""
        line = self._lines.get(peer)
        return "" if line is None else line.host

    def sent_of(self, peer: Peer, bundle: Content) -> int | None:
        """How much of a bundle that is on its way to a peer has left; None: not known."""
        line = self._lines.get(peer)
        return None if line is None else line.session.sent_of(bundle)

    def rtt_s(self, peer: Peer) -> float | None:
        """Measured round trip, None without a session or a measurement."""
        line = self._lines.get(peer)
        return None if line is None else line.rtt_s()

    # --- accepting ---

    async def _serve(
        self, door: Door, serve: Callable[[trio.SocketStream], Awaitable[None]]
    ) -> None:
        async def guarded(stream: trio.SocketStream) -> None:
            async with stream:
                with self._refusing(_remote(stream)):
                    await serve(stream)

        await trio.serve_listeners(guarded, door.listeners)

    async def _accept_member(self, stream: trio.SocketStream) -> None:
        remote = _remote(stream)
        with self._unproved.caller(remote[0]) as scope:
            accepted = await accept(stream, self._me, remote, listen_port=self._listen_port)
        if scope.cancelled_caught:
            self.counters["crowded"] += 1
            return
        if isinstance(accepted, AdmissionRequest):
            await self._serve_stranger(accepted)
            return
        self.counters["accepted"] += 1
        self._check_neighbour(accepted)
        if accepted.listens is not None:
            self._dialler.learn(accepted.peer, accepted.listens)
        await self._carry(accepted, only(accepted.peer), initiated=False)

    async def _serve_stranger(self, request: AdmissionRequest) -> None:
        if self._admit is None:
            raise PeerError("a stranger asks to be admitted, which this node does not do")
        await self._admit(request)

    def _check_neighbour(self, stream: SealedStream) -> None:
        """Where the peer listens names it; the port that it dials from does not."""
        neighbours, listens = self._dialler.neighbours, stream.listens
        if neighbours is not None and (
            listens is None or (listens.host, listens.port) not in neighbours
        ):
            raise PeerError("a member that is no neighbour")

    async def _accept_foreign(self, stream: trio.SocketStream) -> None:
        host = _remote(stream)[0]
        known = [f for f, hosts in self.foreign_hosts.items() if host in hosts]
        if not known:
            raise PeerError("a foreign peer that is not on the list")
        with self._unnamed.caller(host) as scope:
            through = partial(self._unnamed.through, scope)
            await self._carry(
                stream,
                one_of(known),
                initiated=False,
                idle_s=self._config.foreign_idle_s or math.inf,
                through=through,
            )
        self.counters["crowded"] += scope.cancelled_caught

    # --- dialling ---

    async def _attempt(self, target: Target, address: Address) -> bool:
        in_order = False
        with self._refusing((address.host, address.port)):
            await self._dial(target, address)
            in_order = True
        return in_order

    async def _dial(self, target: Target, address: Address) -> None:
        self.counters["dialled"] += 1
        if isinstance(target.peer, Foreign):
            stream = await dial(address, self._local_host)
            await self._carry(stream, one_of([target.peer]), initiated=True)
            return
        neighbours = self._dialler.neighbours
        if neighbours is not None and not await resolve_all([address]) & neighbours:
            raise LinkError(f"{address} is no neighbour")
        sealed = await connect(
            address,
            self._me,
            expect=target.expect,
            listen_port=self._listen_port,
            local_host=self._local_host,
        )
        target.peer = sealed.peer
        if sealed.peer in self._lines or sealed.peer in self._opening:
            await sealed.aclose()  # the same node, known to us by two addresses
            return
        self._opening.add(sealed.peer)
        try:
            await self._carry(sealed, only(sealed.peer), initiated=True)
        finally:
            self._opening.discard(sealed.peer)

    @property
    def _local_host(self) -> str | None:
        """Dial from where we listen, if that is one address: peers may know us by it."""
        host = self._config.listen.host
        return None if host in ("", "*", "0.0.0.0", "::", "localhost") else host

    # --- sessions ---

    async def _carry(
        self,
        stream: ByteStream,
        identify: Identify,
        *,
        initiated: bool,
        idle_s: float = math.inf,
        through: Callable[[], None] = lambda: None,
    ) -> None:
        """Run a session to its end. MeshError when that is not an orderly one.

        `through` is called when the peer has said who it is.
        """

        def greeted(peer: Peer) -> None:
            through()
            self._open(Line(peer, initiated, stream, session))

        keeper = None
        if isinstance(stream, SealedStream):  # a foreign peer's acknowledgements promise less
            keeper = Keeper(self._parts, self._agent, stream.peer)
        session = TcpclSession(
            stream,
            own=self._me.identity.eid,
            identify=identify,
            receiver=self._agent,
            keepalive_s=self._config.keepalive_s,
            bundle_max_bytes=min(BUNDLE_MAX_BYTES, self._config.store_quota_bytes),
            segment_bytes=self._config.segment_bytes,
            idle_s=idle_s,
            has_room=self._agent.has_room,
            large=self._agent,
            keeper=keeper,
            on_greeted=greeted,
        )
        try:
            await session.run()
        finally:
            line = self._lines.get(session.peer) if session.peer is not None else None
            if line is not None and line.session is session:
                self._close(line)

    def _open(self, line: Line) -> None:
        """The peer has greeted: the session counts from now on, unless there is a better one."""
        old = self._lines.get(line.peer)
        if old is not None:
            self.counters["superseded"] += 1
            loser = old if prefers(self._me.node_id, line, old) else line
            loser.session.stop()
            if loser is line:
                return
            self._close(old)
        self._lines[line.peer] = line
        self.counters["sessions"] += 1
        shown = line.stream.peer_chain if isinstance(line.stream, SealedStream) else None
        line.contact = self._agent.contact_up(
            line.peer, line.session.transmit, shown=shown, stream=line.session.transmit
        )
        log.info("contact up", peer=_name(line.peer))
        self.changes.tell(Change(line.peer, up=True))

    def _close(self, line: Line) -> None:
        del self._lines[line.peer]
        self._dialler.delay(line.peer, min(line.session.delay_s, DELAY_MAX_S))
        if line.contact is not None:
            line.contact.close()
        line.over.set()
        log.info("contact down", peer=_name(line.peer))
        self.changes.tell(Change(line.peer, up=False))

    @contextmanager
    def _refusing(self, remote: SocketAddress) -> Iterator[None]:
        """A peer's failure ends its stream and no more; each kind is logged once a peer."""
        try:
            yield
        except (MeshError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            kind = type(error).__name__
            self.counters[f"refused_{kind}"] += 1
            if (kind, remote[0]) not in self._logged and len(self._logged) < _LOGGED_MAX:
                self._logged.add((kind, remote[0]))
                log.info("session failed", remote=remote, kind=kind, reason=str(error))


def _remote(stream: trio.SocketStream) -> SocketAddress:
    try:
        return plain(stream.socket.getpeername())
    except OSError:  # gone already
        return "unknown", 0


def _name(peer: Peer) -> str:
    return peer.eid if isinstance(peer, Foreign) else peer.text
