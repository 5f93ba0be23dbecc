"""The bundle agent: what applications send and receive, and what neighbours bring and take.

The one front of its parts: `sending` makes bundles, `receiving` takes them as `processing` decides,
`store` keeps, `endpoints` delivers here, `forwarding` hands on, `lifetimes` ends what is too old. A
stored bundle is in exactly one place: waiting for a contact, in flight, in a registration's queue,
in its handler's hands, or unclaimed (its local endpoint is not registered).

Long, because all that others may ask of the parts is here, and how they are joined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection

import trio

from radics_mesh.dtn.handling.administration import Administration, Reported
from radics_mesh.dtn.handling.assembling import Assembler
from radics_mesh.dtn.handling.contact import Contact, Stream, Transmit
from radics_mesh.dtn.handling.cutting import Cutter
from radics_mesh.dtn.handling.departures import Departures
from radics_mesh.dtn.handling.endpoints import Endpoints, Handler, Registration
from radics_mesh.dtn.handling.forwarding import Forwarding
from radics_mesh.dtn.handling.lifetimes import Lifetimes
from radics_mesh.dtn.handling.receiving import Receiving
from radics_mesh.dtn.handling.room import Room
from radics_mesh.dtn.handling.sending import Sending
from radics_mesh.dtn.handling.summaries import BundleSummary, Summaries
from radics_mesh.dtn.routes.module import Module
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.dtn.routes.waiting import Locate, Waiting
from radics_mesh.dtn.rules.fragments import may_be_cut
from radics_mesh.dtn.rules.processing import Admitted, Delivery, Gate, Peer
from radics_mesh.dtn.rules.reports import asked_for
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.spool import Spool
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.trust.chains import Shared, name_of
from radics_mesh.dtn.trust.confidentiality import Policy
from radics_mesh.dtn.wire.admin_records import NOTHING, Reason, Status
from radics_mesh.dtn.wire.bundle import CUSTODY, MUST_NOT_FRAGMENT, NORMAL, BundleId
from radics_mesh.dtn.wire.content import Content, FileBytes
from radics_mesh.dtn.wire.offload import sized
from radics_mesh.errors import UsageError
from radics_mesh.ids import NONE_EID, Eid, NodeId, VmId
from radics_mesh.me import Me

__all__ = ["Agent", "BundleSummary", "Contact", "Delivery", "Registration"]


class Agent:
    """One node's agent. `locate` says on which node a VM is, None while that is unknown.

    Made before anything else that uses bundles; `run` it for as long as the node lives.
    """

    def __init__(
        self,
        *,
        me: Me,
        store: BundleStore,
        router: Module | RoutingTable,
        locate: Locate,
        lifetime_s: int,
        of_ibr: Callable[[Eid], bool] = lambda eid: False,
        evicts: bool = False,
        privacy: Policy | None = None,
        noted: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        """`noted`: see `Forwarding`."""
        self._me = me
        self._store = store
        self._clock = me.clock
        self._lifetime_s = lifetime_s
        self._gate = Gate(me)
        self._privacy = privacy or Policy(me.identity)
        self.counters: Counter[str] = Counter()
        # Whether a VM's bundle, by its packed ownership chain, must not be taken.
        self.heed: Callable[[bytes], bool] = lambda chain: False
        # A neighbour has come into reach.
        self.on_contact: Callable[[Peer], None] = lambda peer: None
        self._admin = Administration(
            me=me,
            store=store,
            clock=me.clock,
            counters=self.counters,
            emit=lambda bundle: self._sending.emit(bundle),
            again=lambda held: self._endpoints.route(held),
            of_ibr=of_ibr,
        )
        self._waiting = Waiting(me.node_id, router, locate)
        self._forwarding = Forwarding(
            own=me.identity.eid,
            store=store,
            waiting=self._waiting,
            clock=me.clock,
            counters=self.counters,
            forwarded=self._admin.forwarded,
            noted=noted,
            cutter=lambda: self._cutter,
        )
        self._cutter = Cutter(
            me=me,
            store=store,
            custody=self._admin.custody,
            counters=self.counters,
            take_up=self._take_up,
            given=self._given,
        )
        self._assembler = Assembler(
            store=store,
            gate=self._gate,
            clock=me.clock,
            custody=self._admin.custody,
            counters=self.counters,
            take_up=self._take_up,
            heed=lambda chain: self.heed(chain),
        )
        self._endpoints = Endpoints(
            me,
            store,
            self.counters,
            elsewhere=self._forwarding.put,
            delivered=self._delivered,
            fragment=self._assembler.add,
            left=lambda: self._assembler.take_all(lambda eid: not self.is_here(eid)),
            records=self._admin.handle,
        )
        self._room = Room(
            store=store,
            counters=self.counters,
            admin=self._admin,
            endpoints=self._endpoints,
            forwarding=self._forwarding,
            waiting=self._waiting,
            evicts=evicts,
        )
        self._sending = Sending(
            me=me,
            store=store,
            counters=self.counters,
            admin=self._admin,
            room=self._room,
            take_up=self._take_up,
            lifetime_s=lifetime_s,
        )
        self._receiving = Receiving(
            me=me,
            store=store,
            gate=self._gate,
            counters=self.counters,
            admin=self._admin,
            assembler=self._assembler,
            endpoints=self._endpoints,
            forwarding=self._forwarding,
            waiting=self._waiting,
            room=self._room,
            take_up=self._take_up,
            heed=lambda chain: self.heed(chain),
        )
        self._lifetimes = Lifetimes(
            store=store,
            clock=me.clock,
            counters=self.counters,
            admin=self._admin,
            assembler=self._assembler,
            endpoints=self._endpoints,
            ticked=self.routes_changed,
        )
        self._summaries = Summaries(
            store=store,
            clock=me.clock,
            custody=self._admin.custody,
            endpoints=self._endpoints,
            forwarding=self._forwarding,
        )
        store.on_live(self._take_up)
        for held in store.live():
            self._take_up(held)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver, forward and expire until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._endpoints.run)
            await nursery.start(self._forwarding.run)
            await nursery.start(self._admin.run)
            await nursery.start(self._cutter.run)
            await nursery.start(self._assembler.run)
            nursery.start_soon(self._lifetimes.run)
            task_status.started()

    # --- applications ---

    async def send(
        self,
        destination: Eid,
        payload: bytes | FileBytes,
        *,
        source: Eid | None = None,
        lifetime_s: int | None = None,
        stamp: tuple[int, int] | None = None,
        ownership: bytes = b"",
        priority: int = NORMAL,
        custody: bool = False,
        reports: Status = NOTHING,
        report_to: Eid | None = None,
        must_not_fragment: bool = False,
        patient: bool = False,
        encrypt: bool = False,
    ) -> BundleId:
        """Returns when the bundle would survive power loss. CapacityError, UsageError.

        `encrypt`: so that only the destination node can read the payload, as `privacy` may demand
        anyway. Where there is no key that is an error, KeyUnknown or UsageError.

        `stamp`, (creation time, sequence number), is for senders that count by themselves: the same
        stamp twice is the same bundle. `source` may be a VM's endpoint, with the packed ownership
        chain that ends at this node. On cancellation it may or may not have been sent.

        `patient`: wait when the store is full, for as long as that takes, instead of CapacityError.
        `payload` in a file: that must not change before this returns.

        `reports` are wanted on these things, by every node, at `report_to` (this node's own
        endpoint unless told: see `watch_reports`).
        """
        source = self._me.identity.eid if source is None else source
        asks = asked_for(reports) | (CUSTODY if custody else 0)
        asks |= MUST_NOT_FRAGMENT if must_not_fragment else 0
        if report_to is None:
            report_to = self._me.identity.eid if reports else NONE_EID
        return await self._sending.send(
            destination,
            payload,
            source=source,
            lifetime_s=self._lifetime_s if lifetime_s is None else lifetime_s,
            stamp=stamp,
            ownership=ownership,
            priority=priority,
            asks=asks,
            report_to=report_to,
            receiver=self._privacy.key_for(destination, asked=encrypt),
            patient=patient,
        )

    def watch_reports(self, hear: Reported) -> Callable[[], None]:
        """Have `hear` called with every status report that comes to this node's own endpoint, and
        its source. What is returned ends that."""
        self._admin.on_report.append(hear)
        return lambda: self._admin.on_report.remove(hear)

    def leap(self) -> None:
        """This node's disk was set back: bundles from now on bear no names that it gave since."""
        self._store.leap()

    def register(self, endpoint: Eid, handler: Handler, *, prefix: bool = False) -> Registration:
        """Hand bundles for `endpoint` (or all that begin with it) to `handler`, one at a time.

        Its normal return means processed for good; MeshError drops the bundle; anything that
        cancels it delivers the bundle again. UsageError when the endpoint is taken.
        """
        registration = self._endpoints.register(endpoint, handler, prefix=prefix)
        for held in self._forwarding.take_all(self._endpoints.is_local):
            self._endpoints.route(held)
        self._endpoints.claim()
        if endpoint.is_group:
            for held in self._forwarding.outgoing():
                if registration.covers(held.destination):
                    self._endpoints.offer(held)
        return registration

    def served(self) -> list[Eid]:
        """The endpoints that have a handler of their own here; no groups."""
        return self._endpoints.served()

    def share_of(self, vm_id: VmId) -> float:
        """The part of the store's quota that bundles of a VM take here."""
        return self._store.quotas.of(vm_id.eid) / self._store.quota_bytes

    # --- neighbours ---

    async def receive(self, raw: Content, peer: Peer) -> bool:
        """Take a bundle from a neighbour; on return it may be acknowledged. Whether it is news.

        A duplicate (held, or delivered here) is taken and forgotten. Any other error means refused:
        WireError, PeerError (ChainUnknown: the same again, whole), CapacityError;
        counted, and logged once a reason and peer.
        """
        return await self._receiving.receive(raw, peer)

    async def receive_part(self, raw: Content, peer: Peer) -> bool:
        """Take what came of a bundle when its transfer broke off, as a fragment: on return, those
        bytes are acknowledged for good. Whether it is news; errors as of `receive`."""
        return await self._receiving.receive_part(raw, peer)

    def knows(self, begun: bytes, peer: Peer) -> bool:
        """Whether the bundle that begins so is held, or was delivered, here: its neighbour need not
        send the rest. Not where it asks for custody, which wants its own answer."""
        return self._receiving.knows(begun, peer)

    def may_come(self, begun: bytes) -> bool:
        """Whether there is room for the bundle that begins so, or will be: by its priority."""
        return self._receiving.may_come(begun)

    async def may_keep(self, raw: Content, peer: Peer) -> bool:
        """Whether `receive_part` would take this, where there is room."""
        return await self._receiving.may_keep(raw, peer)

    def has_room(self, size_bytes: int) -> bool:
        """Whether a bundle of so many bytes could be taken now."""
        return self._room.has(size_bytes)

    def spool(self) -> Spool:
        """For a large bundle that comes piece by piece: `receive` what it gives. CapacityError."""
        return self._store.spool()

    def contact_up(
        self,
        peer: Peer,
        transmit: Transmit,
        *,
        shown: bytes | None = None,
        stream: Stream | None = None,
        limit_bytes: int | None = None,
    ) -> Contact:
        """A neighbour can take bundles. See `forwarding` for what `transmit` must do.

        `shown` is the neighbour's packed membership chain, where a handshake has proved both
        sides to each other and `transmit` may raise ChainUnknown: then chains travel by hash.
        What is longer than `limit_bytes` is cut into fragments.
        """
        shared = None
        if shown is not None:
            self._gate.learn(shown)
            shared = Shared(name_of(self._me.chain), name_of(shown))
        contact = self._forwarding.contact_up(peer, transmit, shared, stream)
        contact.limit_bytes = limit_bytes
        self.on_contact(peer)
        return contact

    # --- carriers of files ---

    def outgoing(self, nodes: Collection[NodeId] | None = None) -> list[Held]:
        """What is to leave; with `nodes` what those would get if they were the only contacts."""
        leaving = self._leaving()
        if nodes is None:
            return leaving
        return [held for held in leaving if self._forwarding.leads(held, nodes)]

    def stranded(self) -> list[Held]:
        """What no contact of now leads to its destination."""
        peers = [contact.peer for contact in self._forwarding.contacts]
        return [held for held in self._leaving() if not self._forwarding.leads(held, peers)]

    def _leaving(self) -> list[Held]:
        local = self._endpoints.is_local
        behind = [held for held in self._store.behind() if not local(held.destination)]
        return [*self._forwarding.outgoing(), *behind]

    async def cut(self, held: Held, limit_bytes: int) -> bool:
        """Put pieces of so many bytes in the place of a bundle that waits. Whether that was done:
        it may not be cut, or there is no room for both."""
        if not may_be_cut(held.flags, held.bundle_id.source):
            return False
        await self._cutter.to_fit(held, limit_bytes, lambda held: None).wait()
        return held not in self._store

    def stranded_mark(self) -> object:
        """Something that changes when `stranded` does, without reading the store's backlog."""
        peers = [contact.peer for contact in self._forwarding.contacts]
        live = self._forwarding.outgoing()
        keys = tuple(h.key for h in live if not self._forwarding.leads(h, peers))
        return keys, len(self._store)

    def holds(self, bundle_id: BundleId) -> bool:
        return self._store.holds(bundle_id)

    def is_here(self, destination: Eid) -> bool:
        return self._endpoints.is_local(destination)

    async def departing(self, held: Held) -> bytes | None:
        """Its bytes for the next hop; None when it is no longer held, or damaged."""
        content = await self._forwarding.departing(held)
        return None if content is None else await sized(len(content), lambda: bytes(content))

    def taken_over(
        self, bundle_id: BundleId, key: int | None = None, by: NodeId | None = None
    ) -> bool:
        """A member has this bundle (with `key`: as it came in then); `by` None: nobody needs it.

        Whether it was here and has gone. One that is for here by now stays, and so may one of which
        its routing module leaves copies.
        """
        held = self._store.find(bundle_id)
        if held is None or (key is not None and held.key != key):
            return False
        if self._endpoints.is_local(held.destination):
            return False
        self._forwarding.taken_over(held, by)
        return held not in self._store

    def judge(self, raw: bytes, peer: Peer) -> Admitted | None:
        """What `receive` would store, and who signed it; nothing is stored or counted."""
        return self._receiving.judge(raw, peer)

    def delete(self, held: Held) -> None:
        """A person wants it gone; UsageError while it is in the hands of its receiver."""
        if held in self._endpoints.in_hands:
            raise UsageError(f"{held.bundle_id} is being delivered")
        if held in self._store:
            self.counters["cancelled"] += 1
            self._admin.deleted(held, Reason.CANCELLED)
            self._assembler.discard(held)
            self._store.drop(held)

    # --- routing ---

    def routes_changed(self) -> None:
        """Routes or locations of VMs are not what they were."""
        self._forwarding.routes_changed()

    def follow_contacts(self, told: Callable[[], None]) -> None:
        """`told` is called whenever a contact came or went."""
        self._forwarding.followers.append(told)

    def held_here(self) -> list[Held]:
        """What is in the store, but for what is far behind in its queues (see `backlog`)."""
        return self._store.live()

    def clear_needless(self) -> None:
        """More bundles are known to have arrived: let go of their copies."""
        self._forwarding.clear_needless()

    # --- for people ---

    @property
    def bytes_in(self) -> int:
        return self._receiving.bytes_in

    @property
    def bytes_out(self) -> int:
        return self._forwarding.bytes_out

    def leads(self, held: Held, peer: Peer) -> bool:
        """Whether this neighbour would get it, were there no other."""
        return self._forwarding.leads(held, [peer])

    def state_of(self, held: Held) -> str:
        """As in BundleSummary."""
        return self._summaries.state_of(held)

    @property
    def departures(self) -> Departures:
        """Where bundles went from here."""
        return self._forwarding.departures

    def contacts(self) -> list[Contact]:
        return list(self._forwarding.contacts)

    def bundles(self) -> list[BundleSummary]:
        """All that is held, in order of arrival."""
        return self._summaries.all()

    # --- inside ---

    def _take_up(self, held: Held) -> None:
        """A bundle is in the store: from now on it lives, and is going somewhere."""
        if not self._store.is_live(held):
            return  # behind many others of its queue: the store tells when its turn has come
        self._live(held)
        self._endpoints.route(held)

    def _live(self, held: Held) -> None:
        self._lifetimes.add(held)
        self._admin.stored(held)

    def _given(self, piece: Held) -> None:
        """A fragment that this node has custody of, and a neighbour has already."""
        self._live(piece)
        self._forwarding.taken_over(piece)

    def _delivered(self, held: Held, accepted: bool) -> None:
        self._assembler.forget(held.bundle_id)
        self._waiting.arrived(held)
        self._admin.delivered(held, accepted=accepted)  # last: see administration
