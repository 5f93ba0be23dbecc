"""Handing bundles to neighbours: contacts, and for each a task that keeps several in flight.

A convergence layer says that a neighbour is there (`contact_up`) and gives an async `transmit`
that returns when the neighbour has acknowledged. What `transmit` raises decides:

  returns         the neighbour has it: it leaves this store (unless `came_from` that neighbour, or
                  its routing module leaves a copy here)
  CapacityError   the neighbour is full: it waits here, and the contact rests for a while
  ChainUnknown    the neighbour gets it once more, whole (radics_mesh.dtn.trust.chains)
  PeerError       the neighbour refuses this bundle: not offered again while this contact lasts
  LinkError       the contact is over; everything in flight waits for another one
  BrokenOff       the same, and the neighbour keeps what it has acknowledged: the rest is a fragment

A bundle that is longer than a contact's `limit_bytes` is cut.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from functools import partial

import structlog
import trio

from radics_mesh.clock import Clock, Monotonic
from radics_mesh.dtn.handling.broken_off import BrokenOff, PayloadBegun
from radics_mesh.dtn.handling.contact import Contact, Stream, Transmit
from radics_mesh.dtn.handling.cutting import Cutter
from radics_mesh.dtn.handling.departures import Departures
from radics_mesh.dtn.handling.leaving import Leaving, LeavingReader
from radics_mesh.dtn.routes.module import Handing
from radics_mesh.dtn.routes.waiting import Waiting
from radics_mesh.dtn.rules.fragments import may_be_cut
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.trust.chains import ChainUnknown, Shared
from radics_mesh.dtn.wire.bundle import Bundle, BundleId
from radics_mesh.dtn.wire.content import Content, stretch
from radics_mesh.errors import CapacityError, LinkError, PeerError, WireError
from radics_mesh.ids import Eid, NodeId

log = structlog.get_logger(__name__)

# How long a contact rests whose neighbour is full: doubled each time up to the bound.
_REST_FIRST_S, _REST_MAX_S = 0.5, 30.0


class Forwarding:
    """All contacts, and what waits for one."""

    def __init__(
        self,
        *,
        own: Eid,
        store: BundleStore,
        waiting: Waiting,
        clock: Clock,
        counters: Counter[str],
        forwarded: Callable[[Held, Peer | None], bool],
        cutter: Callable[[], Cutter],
        noted: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        """`forwarded` hears of every bundle that a neighbour has taken (None: not at a contact),
        and says whether it stays here nevertheless. `noted` returns when all that the routing
        modules noted is on disk."""
        self._own = own
        self._reader = LeavingReader(own, store, clock)
        self._noted = noted
        self._store = store
        self._waiting = waiting
        self._clock = clock
        self._counters = counters
        self._forwarded = forwarded
        self._cutter = cutter
        self._nursery: trio.Nursery | None = None
        self.contacts: list[Contact] = []
        # Called whenever a contact came or went.
        self.followers: list[Callable[[], None]] = []
        self.bytes_out = 0
        self.departures = Departures()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                for contact in self.contacts:
                    nursery.start_soon(self._serve, contact)
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def contact_up(
        self,
        peer: Peer,
        transmit: Transmit,
        shared: Shared | None = None,
        stream: Stream | None = None,
    ) -> Contact:
        contact = Contact(
            peer, transmit, self._clock.monotonic(), shared, stream, down=self.contact_down
        )
        if isinstance(peer, NodeId) and not self._is_in_contact(peer):
            self._waiting.table.contact_up(peer, contact.since)
        self.contacts.append(contact)
        if self._nursery is not None:
            self._nursery.start_soon(self._serve, contact)
        self._contacts_changed()
        return contact

    def contact_down(self, contact: Contact) -> None:
        if contact.closed:
            return
        contact.closed = True
        contact.scope.cancel()
        self.contacts.remove(contact)
        if isinstance(contact.peer, NodeId) and not self._is_in_contact(contact.peer):
            self._waiting.table.contact_down(contact.peer, self._clock.monotonic())
        for held in contact.refused:
            self._put_back(held)
        self._contacts_changed()

    def _contacts_changed(self) -> None:
        self.routes_changed()
        for told in self.followers:
            told()

    def _is_in_contact(self, peer: Peer) -> bool:
        return any(contact.peer == peer for contact in self.contacts)

    def put(self, held: Held) -> None:
        """A bundle for elsewhere."""
        if self._is_needless(held):
            self._counters["needless"] += 1
            self._store.drop(held)
            return
        self._waiting.put(held, self._clock.monotonic())
        self._wake()

    def _is_needless(self, held: Held) -> bool:
        """A copy of what has arrived; not if this node has custody, which a signal must end."""
        return held.custodian != self._own and self._waiting.is_needless(held)

    def clear_needless(self) -> None:
        """More bundles are known to have arrived: let go of their copies."""
        for held in self._waiting.take_all(self._is_needless):
            if held in self._store:
                self._counters["needless"] += 1
                self._store.drop(held)
            self._waiting.gone(held)

    def take_all(self, belongs: Callable[[Eid], bool]) -> list[Held]:
        """Waiting bundles that turned out to be for an endpoint here."""
        return self._waiting.take_all(lambda held: belongs(held.destination))

    def outgoing(self) -> list[Held]:
        """Everything that is to leave, also what is on its way already."""
        flying = [held for contact in self.contacts for held in contact.in_flight]
        refused = [held for contact in self.contacts for held in contact.refused]
        return [held for held in (*self._waiting, *flying, *refused) if held in self._store]

    def leads(self, held: Held, contacts: Collection[Peer]) -> bool:
        """Whether it would be handed to one of these."""
        return self._waiting.leads(held, contacts, self._clock.monotonic())

    def taken_over(self, held: Held, by: NodeId | None = None) -> None:
        """A member has it, by another way than a contact. None: nobody needs it any more."""
        self._counters["forwarded"] += 1
        self.departures.note(held, by, self._clock.wall())
        if by is None:
            self._waiting.gone(held)
        stays = by is not None and self._waiting.carried(held, by)
        if not self._forwarded(held, None) and not stays:
            self._store.drop(held)

    def came_in(self, size_bytes: int, peer: Peer) -> None:
        """A neighbour has brought that much."""
        for contact in self.contacts:
            if contact.peer == peer:
                contact.bytes_in += size_bytes

    def came_from(self, bundle_id: BundleId, peer: Peer) -> None:
        """A neighbour has sent a bundle that is held here. If it is on its way to that neighbour,
        each takes the other's for a duplicate; were both to drop their own, there would be none."""
        if isinstance(peer, NodeId):
            self._waiting.table.neighbours.has(peer, bundle_id)
            here = self._store.find(bundle_id)
            if here is not None and here.destination.is_group:
                self._waiting.table.flood.has(bundle_id, peer)
        for contact in self.contacts:
            if contact.peer == peer:
                contact.crossed |= {h for h in contact.in_flight if h.bundle_id == bundle_id}

    def came_with(self, chains: Collection[bytes], peer: Peer) -> None:
        """A neighbour has sent a bundle, so it holds the chains of these names."""
        for contact in self.contacts if chains else ():
            if contact.peer == peer and contact.shared is not None:
                contact.shared.holds(chains)

    def routes_changed(self) -> None:
        self._waiting.changed()
        self._wake()

    def _wake(self) -> None:
        for contact in self.contacts:
            contact.woken.set()

    def _put_back(self, held: Held) -> None:
        if held in self._store:
            self.put(held)
        else:
            self._waiting.gone(held)

    async def _serve(self, contact: Contact) -> None:
        with contact.scope:
            async with trio.open_nursery() as nursery:
                while True:
                    contact.woken = trio.Event()
                    again = await self._fill(contact, nursery)
                    wait_s = math.inf if again is None else again - self._clock.monotonic()
                    with trio.move_on_after(max(0.0, wait_s)):
                        await contact.woken.wait()

    async def _fill(self, contact: Contact, nursery: trio.Nursery) -> Monotonic | None:
        """Start as many transmissions as may be; when to try again (None: when woken)."""
        while contact.has_room:
            now = self._clock.monotonic()
            if contact.rest_until > now:
                return contact.rest_until
            peers = [other.peer for other in self.contacts]
            pick = self._waiting.pick(contact.peer, peers, self._store.__contains__, now)
            if pick.held is not None:
                await self._start(contact, pick.held, nursery)
            elif pick.again is not None or not self._more(contact, peers):
                return pick.again
        return None

    def _more(self, contact: Contact, peers: Collection[Peer]) -> bool:
        """What is behind others in the store's queues and may go where they may not."""
        now = self._clock.monotonic()
        return self._store.more(lambda held: self._waiting.goes_to(held, contact.peer, peers, now))

    async def _start(self, contact: Contact, held: Held, nursery: trio.Nursery) -> None:
        contact.in_flight.add(held)
        handing = self._waiting.hand(held, contact.peer)
        departing: Leaving | None = None
        try:
            if handing.noted:
                await self._noted()
            departing = await self._reader.read(held, contact.shared, handing.share)
        except CapacityError as error:  # what was noted cannot be written
            log.warning("no copies are handed on", reason=str(error))
            self._waiting.refused(held, contact.peer)
            self._rest(contact)
        finally:
            if departing is None:  # damaged, not noted, or cancelled while reading
                contact.in_flight.discard(held)
                self._put_back(held)
        if departing is not None and len(departing.raw) > (contact.limit_bytes or math.inf):
            self._cut_to_fit(contact, held, contact.limit_bytes or 0)
        elif departing is not None:
            # Reading the next one is a checkpoint, so this one reaches its session first: bundles
            # leave in order.
            nursery.start_soon(self._transmit, contact, held, departing, handing)

    def _cut_to_fit(self, contact: Contact, held: Held, limit_bytes: int) -> None:
        contact.in_flight.discard(held)
        self._waiting.refused(held, contact.peer)
        if may_be_cut(held.flags, held.bundle_id.source):
            self._cutter().to_fit(held, limit_bytes, partial(self._unfit, contact))
        else:
            self._unfit(contact, held)

    def _unfit(self, contact: Contact, held: Held) -> None:
        """Not for this contact, as it is; perhaps for another one."""
        self._counters["too_long"] += 1
        if contact.closed:
            self._put_back(held)
        else:
            contact.refused.append(held)

    async def departing(self, held: Held) -> Content | None:
        """The whole of it for the wire; None when it is damaged and so no longer held."""
        return await self._reader.whole(held)

    async def _hand_over(self, contact: Contact, held: Held, leaving: Leaving, copies: int) -> int:
        """How many bytes the neighbour took; else what `transmit` raised."""
        contact.on_wire[held] = leaving.raw
        try:
            await _transmitted(contact, leaving.raw)
        except ChainUnknown:
            if contact.shared is None or not leaving.left_out:
                raise
            self._counters["sent_whole"] += 1
            contact.shared.lacks(leaving.left_out)
            whole = await self._reader.read(held, Shared(), copies)
            if whole is None:
                raise
            leaving = whole
            contact.on_wire[held] = leaving.raw
            await _transmitted(contact, leaving.raw)
        if contact.shared is not None:
            contact.shared.holds(leaving.chains)
        return len(leaving.raw)

    async def _transmit(
        self, contact: Contact, held: Held, leaving: Leaving, handing: Handing
    ) -> None:
        keep: Callable[[Held], None] = self._put_back
        try:
            size_bytes = await self._hand_over(contact, held, leaving, handing.share)
            taken = partial(self._handed_on, peer=contact.peer, handing=handing)
            keep = self._met if held in contact.crossed else taken
            contact.forwarded += 1
            contact.bytes_out += size_bytes
            self.bytes_out += size_bytes
            contact.rest_s = 0.0
        except CapacityError:
            self._waiting.refused(held, contact.peer)
            self._rest(contact)
        except PeerError as error:
            log.info("bundle refused by neighbour", bundle=str(held.bundle_id), reason=str(error))
            self._counters["refused_by_neighbour"] += 1
            self._waiting.refused(held, contact.peer)
            keep = contact.refused.append
        except PayloadBegun as error:
            contact.close()
            keep = partial(self._broken_off, at=error.payload_bytes)
        except LinkError:
            contact.close()
        finally:
            contact.in_flight.discard(held)
            contact.on_wire.pop(held, None)
            contact.crossed.discard(held)
            keep(held)
            contact.woken.set()

    def _broken_off(self, held: Held, at: int) -> None:
        """The neighbour keeps the first `at` bytes of its payload."""
        if may_be_cut(held.flags, held.bundle_id.source):
            self._cutter().after_break(held, at, self._put_back)
        else:
            self._put_back(held)

    def _met(self, held: Held) -> None:
        """It crossed itself on the way, so it stays, and for a while: routes will change."""
        self._counters["crossed"] += 1
        now = self._clock.monotonic()
        held.age_us, held.received = held.age_at(now), now
        self._waiting.passed(held)
        self._put_back(held)

    def _handed_on(self, held: Held, peer: Peer, handing: Handing) -> None:
        self._counters["forwarded"] += 1
        self.departures.note(held, peer, self._clock.wall())
        stays = self._waiting.handed_on(held, peer, handing)
        # Also of one whose custody signal was quicker than the neighbour's acknowledgement.
        in_custody = self._forwarded(held, peer)
        if held not in self._store:  # its life ended in flight
            self._waiting.gone(held)
            return
        if stays:
            self._put_back(held)
        elif not in_custody:
            self._store.drop(held)

    def _rest(self, contact: Contact) -> None:
        """Once for all that was in flight when the neighbour was full."""
        if contact.rest_until > self._clock.monotonic():
            return
        contact.rest_s = min(_REST_MAX_S, max(_REST_FIRST_S, contact.rest_s * 2))
        contact.rest_until = Monotonic(self._clock.monotonic() + contact.rest_s)
        self._counters["neighbour_full"] += 1


async def _transmitted(contact: Contact, raw: Content) -> None:
    """PayloadBegun for BrokenOff, where the neighbour has some of the payload."""
    try:
        await contact.send(raw)
    except BrokenOff as error:
        try:
            part, length = Bundle.parse_part(stretch(raw, 0, error.acked_bytes))
        except WireError:
            raise LinkError(str(error)) from error
        if len(part.content) >= length:
            raise LinkError(str(error)) from error
        raise PayloadBegun(len(part.content)) from error
