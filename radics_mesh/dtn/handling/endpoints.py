"""Local endpoints: who is registered, and one task each that hands over bundles one by one.

A handler's normal return means that the bundle is processed for good. It then leaves the store and
is remembered as delivered, in one transaction; a crash before that delivers it again.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from functools import partial

import structlog
import trio

from radics_mesh.dtn.rules.groups import Copies
from radics_mesh.dtn.rules.processing import Delivery, open_delivery
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.dtn.wire.content import Content
from radics_mesh.dtn.wire.offload import sized
from radics_mesh.errors import (
    CapacityError,
    LinkError,
    MeshError,
    PeerError,
    UsageError,
    WireError,
)
from radics_mesh.ids import Eid
from radics_mesh.me import Me

log = structlog.get_logger(__name__)

Handler = Callable[[Delivery], Awaitable[None]]


class Elsewhere(Exception):
    """A handler raises it when its endpoint has just closed here (a VM that is being moved, a
    client that went away): the bundle is not processed, and goes where it belongs by then."""


class Registration:
    """Made by `Endpoints.register`."""

    def __init__(
        self, endpoints: Endpoints, endpoint: Eid, handler: Handler, *, prefix: bool
    ) -> None:
        self.endpoint = endpoint
        self.handler = handler
        self.prefix = prefix
        self.queue: deque[Held] = deque()
        self.closed = False
        self.woken = trio.Event()
        # Around the handler while it has a bundle, and when it has none.
        self.scope: trio.CancelScope | None = None
        self.idle = trio.Event()
        self.idle.set()
        self._endpoints = endpoints

    def covers(self, eid: Eid) -> bool:
        return eid.startswith(self.endpoint) if self.prefix else eid == self.endpoint

    def close(self) -> None:
        """No further bundle is handed over; one in the handler's hands is finished. Idempotent."""
        self._endpoints.unregister(self)

    async def end(self) -> None:
        """Close, and wait until the handler has let go of what it works with. A bundle that it is
        not done with is delivered again. Not cut short by a cancellation; not from the handler."""
        self.close()
        if self.scope is not None:
            self.scope.cancel()
        with trio.CancelScope(shield=True):
            await self.idle.wait()


class Endpoints:
    """All registrations. `elsewhere` gets the bundles whose endpoint has left this node;
    `delivered` hears of each that a handler has had, and whether it accepted it;
    `fragment` of each fragment for an endpoint here, and `left` says which of them are for one that
    is here no more; `records` handles administrative records to the node's own endpoint."""

    def __init__(
        self,
        me: Me,
        store: BundleStore,
        counters: Counter[str],
        elsewhere: Callable[[Held], None],
        delivered: Callable[[Held, bool], None],
        records: Handler,
        fragment: Callable[[Held], None],
        left: Callable[[], Iterable[Held]],
    ) -> None:
        self._me = me
        self._own = me.node_id
        self._identity = me.identity
        self._store = store
        self._counters = counters
        self._elsewhere = elsewhere
        self._delivered = delivered
        self._fragment = fragment
        self._left = left
        self._registrations: list[Registration] = []
        self._records = Registration(self, me.identity.eid, records, prefix=False)
        self._unclaimed: dict[int, Held] = {}
        self._copies: Copies[Registration] = Copies()
        self._nursery: trio.Nursery | None = None
        self.in_hands: set[Held] = set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for registration in (self._records, *self._registrations):
                    nursery.start_soon(self._serve, registration)
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def register(self, endpoint: Eid, handler: Handler, *, prefix: bool) -> Registration:
        """UsageError when this very endpoint is taken. A group may have many members."""
        taken = any(r.endpoint == endpoint and r.prefix == prefix for r in self._registrations)
        if taken and not endpoint.is_group:
            raise UsageError(f"{endpoint} is registered already")
        registration = Registration(self, endpoint, handler, prefix=prefix)
        self._registrations.append(registration)
        # The most exact one wins, so look at long endpoints first.
        self._registrations.sort(key=lambda r: (r.prefix, -len(r.endpoint)))
        if self._nursery is not None:
            self._nursery.start_soon(self._serve, registration)
        return registration

    def unregister(self, registration: Registration) -> None:
        if registration.closed:
            return
        registration.closed = True
        registration.woken.set()
        self._registrations.remove(registration)
        left, registration.queue = registration.queue, deque()
        for held in (*left, *self._left()):
            if held.destination.is_group:
                self._served(registration, held, processed=False)
            else:
                self.route(held)

    def served(self) -> list[Eid]:
        """The endpoints that have a handler of their own; no groups."""
        exact = (r.endpoint for r in self._registrations if not r.prefix)
        return [endpoint for endpoint in exact if not endpoint.is_group]

    def is_local(self, eid: Eid) -> bool:
        """Never so for a group: there are always others."""
        own = self._me.local(eid).node_id == self._own
        return own or (self._find(eid) is not None and not eid.is_group)

    def put(self, held: Held) -> None:
        """A bundle for a local endpoint. A fragment waits for its siblings, not for a handler."""
        registration = self._find(held.destination)
        if held.is_administrative and self._me.local(held.destination) == self._records.endpoint:
            registration = self._records
        if held.bundle_id.offset is not None:
            self._fragment(held)
        elif registration is None:
            self._unclaimed[held.key] = held
        else:
            registration.queue.append(held)
            registration.woken.set()

    def route(self, held: Held) -> None:
        """Put a bundle where it belongs now."""
        if held not in self._store:
            return
        if held.destination.is_group:
            self.offer(held)
            self._elsewhere(held)
        elif self.is_local(held.destination):
            self.put(held)
        else:
            self._elsewhere(held)

    def offer(self, held: Held) -> None:
        """Give a group's bundle to all its members here, if this node has not had it."""
        if held.bundle_id.offset is not None or self._store.has_delivered(held.bundle_id):
            return
        members = [r for r in self._registrations if r.covers(held.destination)]
        if self._copies.begin(held, members):
            for member in members:
                member.queue.append(held)
                member.woken.set()

    def is_claimed(self, held: Held) -> bool:
        return held.key not in self._unclaimed

    def claim(self) -> None:
        """After a new registration: give it what has waited for it, in order of arrival."""
        waiting, self._unclaimed = self._unclaimed, {}
        for held in waiting.values():
            self.route(held)

    def _find(self, eid: Eid) -> Registration | None:
        names = (eid, self._me.local(eid))
        return next((r for r in self._registrations if any(map(r.covers, names))), None)

    async def _serve(self, registration: Registration) -> None:
        while not registration.closed:
            if registration.queue:
                await self._hand_over(registration, registration.queue.popleft())
            else:
                registration.woken = trio.Event()
                await registration.woken.wait()

    async def _hand_over(self, registration: Registration, held: Held) -> None:
        if held not in self._store:
            return
        self.in_hands.add(held)
        processed = accepted = False
        try:
            raw = await self._store.content(held)
            if raw is None:
                return
            delivery = await self._opened(held, raw)
            if delivery is not None:
                accepted = await self._handled(registration, delivery)
            processed = True
        except Elsewhere:
            return
        finally:
            self.in_hands.discard(held)
            if held.destination.is_group:
                self._served(registration, held, processed=processed)
            elif processed:
                self._finish(held, accepted)
            else:  # cancelled within the handler, or not its any more: it is delivered again
                self.route(held)

    async def _opened(self, held: Held, raw: Content) -> Delivery | None:
        """None for a payload that this node cannot decrypt: it never will."""
        try:
            opened = partial(open_delivery, signer=held.signer, receiver=self._identity)
            try:
                keep = self._store.scratch
                delivery = await sized(len(raw), lambda: opened(Bundle.parse(raw), keep=keep))
            except CapacityError:  # then in memory
                delivery = await sized(len(raw), lambda: opened(Bundle.parse(raw)))
            return replace(delivery, age_s=held.age_at(self._me.clock.monotonic()) / 1e6)
        except (PeerError, WireError, LinkError) as error:
            self._counters["undecipherable"] += 1
            log.warning("bundle dropped", bundle=str(held.bundle_id), reason=str(error))
            return None

    async def _handled(self, registration: Registration, delivery: Delivery) -> bool:
        """Whether the handler has accepted it."""
        try:
            await _handle(registration, delivery)
        except MeshError as error:
            self._counters["dropped_by_handler"] += 1
            log.warning(
                "bundle dropped by its endpoint",
                bundle=str(delivery.bundle_id),
                endpoint=registration.endpoint,
                reason=str(error),
            )
            return False
        self._counters["delivered"] += 1
        return True

    def _served(self, registration: Registration, held: Held, *, processed: bool) -> None:
        last = self._copies.served(held, registration, processed=processed)
        if last and held in self._store:
            self._delivered(held, True)
            self._store.deliver_copy(held)

    def _finish(self, held: Held, accepted: bool) -> None:
        if held in self._store:  # else custody of it was released meanwhile
            self._delivered(held, accepted)
            self._store.finish(held)


async def _handle(registration: Registration, delivery: Delivery) -> None:
    registration.idle = trio.Event()
    try:
        with trio.CancelScope() as registration.scope:
            await registration.handler(delivery)
            return
        raise Elsewhere
    finally:
        registration.scope = None
        registration.idle.set()
