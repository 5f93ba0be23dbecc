"""A neighbour that can take bundles now, and what is on its way to it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import trio

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.trust.chains import Shared
from radics_mesh.dtn.wire.content import Content

Transmit = Callable[[bytes], Awaitable[None]]
# The same of a layer that takes bundles which are in files; others get them in memory.
Stream = Callable[[Content], Awaitable[None]]
# Enough to hide a round trip behind its neighbours, few enough to be sent again after a break.
IN_FLIGHT_MAX = 16
IN_FLIGHT_BYTES = 8 << 20


class Contact:
    """A neighbour that can take bundles now. Made by `Forwarding.contact_up`."""

    def __init__(
        self,
        peer: Peer,
        transmit: Transmit,
        since: Monotonic,
        shared: Shared | None = None,
        stream: Stream | None = None,
        *,
        down: Callable[[Contact], None],
    ) -> None:
        """`shared`: chains that travel by hash; None: bundles go whole, with their previous hop.
        `down` is called when it is closed, and may be again."""
        self.peer = peer
        self.shared = shared
        # The longest bundle that it can take; None: any.
        self.limit_bytes: int | None = None
        self.since = since
        self.forwarded = 0
        self.bytes_out = 0
        self.bytes_in = 0
        self.in_flight: set[Held] = set()
        # Of what is in flight, what is on the wire, for people who look how far it is.
        self.on_wire: dict[Held, Content] = {}
        self._transmit = transmit
        self._stream = stream
        self.refused: list[Held] = []
        # Of what is in flight, what the neighbour has sent here meanwhile.
        self.crossed: set[Held] = set()
        self.closed = False
        self.rest_s = 0.0
        self.rest_until = Monotonic(-math.inf)
        self.woken = trio.Event()
        self.scope = trio.CancelScope()
        self._down = down

    @property
    def has_room(self) -> bool:
        flying_bytes = sum(held.size_bytes for held in self.in_flight)
        return len(self.in_flight) < IN_FLIGHT_MAX and flying_bytes < IN_FLIGHT_BYTES

    async def send(self, content: Content) -> None:
        if self._stream is not None and not isinstance(content, bytes):
            await self._stream(content)
        else:
            await self._transmit(bytes(content))

    def close(self) -> None:
        """The neighbour is gone. What was not acknowledged waits again. Idempotent."""
        self._down(self)
