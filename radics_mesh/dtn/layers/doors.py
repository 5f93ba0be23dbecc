"""Where peers come in, and whether they are who they must be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass

import trio

from radics_mesh.config import Address, Foreign
from radics_mesh.dtn.layers.tcpcl_session import Identify
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.ids import Eid, NodeId
from radics_mesh.link import plain
from radics_mesh.sealed import reason_of


@dataclass(frozen=True)
class Door:
    """Open listeners and where they are."""

    address: Address
    listeners: list[trio.SocketListener]


async def listen(stack: AsyncExitStack, address: Address) -> Door:
    """Listen until the stack is left. UsageError when the address is taken or not ours."""
    host = None if address.host in ("", "*") else address.host
    try:
        listeners = await trio.open_tcp_listeners(address.port, host=host)
        if host == "::":
            # Trio's IPv6 sockets take no IPv4, and UDP at the same port takes both.
            port = plain(listeners[0].socket.getsockname())[1]
            listeners += await trio.open_tcp_listeners(port, host="0.0.0.0")
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot listen on TCP {address}: {reason_of(error)}") from error
    for listener in listeners:
        await stack.enter_async_context(listener)
    port = plain(listeners[0].socket.getsockname())[1]
    return Door(Address(address.host, port), listeners)


class Unproved:
    """Callers that have not proved themselves yet, at most `limit` of them.

    One too many costs the oldest of the host with the most its place. So whoever opens connections
    and says nothing drives out itself, and not members, who are through in a round trip.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._callers: dict[trio.CancelScope, str] = {}  # the oldest first

    @contextmanager
    def caller(self, host: str) -> Iterator[trio.CancelScope]:
        """The scope of one caller's proof; it is cancelled if the place is needed."""
        if len(self._callers) >= self._limit:
            self._make_room()
        with trio.CancelScope() as scope:
            self._callers[scope] = host
            try:
                yield scope
            finally:
                self._callers.pop(scope, None)

    def through(self, scope: trio.CancelScope) -> None:
        """This caller has proved itself, or greeted, and needs its place no more."""
        self._callers.pop(scope, None)

    def _make_room(self) -> None:
        counts = Counter(self._callers.values())
        oldest = max(self._callers, key=lambda scope: counts[self._callers[scope]])
        del self._callers[oldest]
        oldest.cancel()


def only(peer: NodeId) -> Identify:
    """A proved member may claim its own EID and no other."""

    def identify(eid: Eid) -> Peer:
        if eid.node_id != peer:
            raise PeerError(f"{peer.short} claims to be {eid}")
        return peer

    return identify


def one_of(known: Collection[Foreign]) -> Identify:
    """A foreign peer may claim an EID that is listed for where it comes from."""

    def identify(eid: Eid) -> Peer:
        for foreign in known:
            # IBR-DTN names a node without the slash at the end, others with it.
            if foreign.eid.rstrip("/") == eid.rstrip("/"):
                return foreign
        raise PeerError(f"foreign peer {eid} is not on the list for its address")

    return identify
