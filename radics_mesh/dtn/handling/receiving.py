"""What neighbours bring: judged, stored, only then acknowledged; each refusal counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import structlog

from radics_mesh.config import Foreign
from radics_mesh.dtn.handling.administration import Administration
from radics_mesh.dtn.handling.assembling import Assembler
from radics_mesh.dtn.handling.endpoints import Endpoints
from radics_mesh.dtn.handling.forwarding import Forwarding
from radics_mesh.dtn.handling.room import Room
from radics_mesh.dtn.routes.waiting import Waiting
from radics_mesh.dtn.rules.processing import Admitted, Gate, Peer, Refusal
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.trust.chains import ChainUnknown
from radics_mesh.dtn.wire.bundle import CUSTODY, Bundle
from radics_mesh.dtn.wire.content import Content
from radics_mesh.dtn.wire.offload import sized
from radics_mesh.errors import CapacityError, MeshError, PeerError, WireError
from radics_mesh.ids import NodeId
from radics_mesh.me import Me

log = structlog.get_logger(__name__)

_LOGGED_MAX = 1024


class Receiving:
    """`heed` says whether a VM's bundle, by its packed ownership chain, must not be taken;
    `take_up` is given what is stored."""

    def __init__(
        self,
        *,
        me: Me,
        store: BundleStore,
        gate: Gate,
        counters: Counter[str],
        admin: Administration,
        assembler: Assembler,
        endpoints: Endpoints,
        forwarding: Forwarding,
        waiting: Waiting,
        room: Room,
        take_up: Callable[[Held], None],
        heed: Callable[[bytes], bool],
    ) -> None:
        self._store = store
        self._clock = me.clock
        self._gate = gate
        self._counters = counters
        self._admin = admin
        self._assembler = assembler
        self._endpoints = endpoints
        self._forwarding = forwarding
        self._waiting = waiting
        self._room = room
        self._take_up = take_up
        self._heed = heed
        self.bytes_in = 0
        self._logged: set[tuple[str, Peer]] = set()

    async def receive(self, raw: Content, peer: Peer) -> bool:
        """Take a bundle from a neighbour; on return it may be acknowledged. Whether it is news.

        A duplicate (held, or delivered here) is taken and forgotten. Any other error means refused:
        WireError, PeerError (ChainUnknown: the same again, whole), CapacityError;
        counted, and logged once a reason and peer.
        """
        with self._counting_refusals(peer):
            now, wall = self._clock.monotonic(), self._clock.wall()
            judge = partial(self._gate.judge, raw, peer, now=now, wall=wall)
            admitted = await sized(len(raw), judge)
            if admitted.deleted:
                self._counters["deleted"] += 1
                self._admin.refused(admitted.held, reported=admitted.unintelligible)
                await self._store.flushed()  # what was said of it, before it is acknowledged
                return False
            if admitted.vm_chain and self._heed(admitted.vm_chain):
                raise Refusal("lower branch", "from a branch of its VM that counts no more")
            new = await self._keep(admitted)
        self._forwarding.came_with(admitted.chains, peer)
        self._received(admitted.held, len(raw), peer, new=new)
        return new

    async def receive_part(self, raw: Content, peer: Peer) -> bool:
        """Take what came of a bundle when its transfer broke off, as a fragment: on return, those
        bytes are acknowledged for good. Whether it is news; errors as of `receive`."""
        with self._counting_refusals(peer):
            now, wall = self._clock.monotonic(), self._clock.wall()
            judge = partial(self._gate.judge_part, raw, peer, now=now, wall=wall)
            admitted = await sized(len(raw), judge)
            new = await self._keep(admitted)
        self._counters["parts"] += 1
        self._received(admitted.held, len(raw), peer, new=new)
        return new

    def knows(self, begun: bytes, peer: Peer) -> bool:
        """Whether the bundle that begins so is held, or was delivered, here: its neighbour need not
        send the rest. Not where it asks for custody, which wants its own answer."""
        try:
            part, _ = Bundle.parse_part(begun)
        except WireError:
            return False
        for_vm = part.destination.vm_id is not None  # it may have come back as it was before
        known = self._store.holds if for_vm else self._store.seen
        if part.flags & CUSTODY or not known(part.id):
            return False
        self._forwarding.came_from(part.id, peer)
        self._counters["known_early"] += 1
        return True

    def may_come(self, begun: bytes) -> bool:
        """Whether there is room for the bundle that begins so, or will be: by its priority."""
        try:
            part, length = Bundle.parse_part(begun)
        except WireError:
            return True  # it is not known yet
        return self._room.has_for(part.priority, length)

    async def may_keep(self, raw: Content, peer: Peer) -> bool:
        """Whether `receive_part` would take this, where there is room."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        judge = partial(self._gate.judge_part, raw, peer, now=now, wall=wall)
        try:
            await sized(len(raw), judge)
        except MeshError:
            return False
        return True

    def _received(self, held: Held, size_bytes: int, peer: Peer, *, new: bool) -> None:
        if not new:
            self._forwarding.came_from(held.bundle_id, peer)
            self._admin.duplicate(held)
        self.bytes_in += size_bytes
        self._forwarding.came_in(size_bytes, peer)
        self._counters["received" if new else "duplicate"] += 1

    def judge(self, raw: bytes, peer: Peer) -> Admitted | None:
        """What `receive` would store, and who signed it; nothing is stored or counted."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        admitted = self._gate.judge(raw, peer, now=now, wall=wall)
        return None if admitted.deleted else admitted

    async def _keep(self, admitted: Admitted) -> bool:
        """Store what has arrived; False when it was known before."""
        held = admitted.held
        held.size_bytes = len(admitted.raw)
        if held.bundle_id.offset is not None and self._endpoints.is_local(held.destination):
            if held.total > self._store.quota_bytes:
                raise Refusal("too long", f"{held.total} bytes will never fit this store")
            if self._assembler.is_needless(held):
                return False
        arrived_with = held.custodian
        before = self._admin.take_custody(held)

        def stored(held: Held) -> None:
            self._waiting.came(held)
            self._take_up(held)

        def coming(held: Held) -> None:
            self._admin.arrived(held, before, unintelligible=admitted.unintelligible)

        self._room.make(held)
        new = await self._store.add(held, admitted.raw, stored, coming)
        if not new:
            held.custodian = arrived_with
        return new

    @contextmanager
    def _counting_refusals(self, peer: Peer) -> Iterator[None]:
        try:
            yield
        except (WireError, PeerError, CapacityError) as error:
            reason = _reason(error)
            self._counters[f"refused_{reason}"] += 1
            if (reason, peer) not in self._logged and len(self._logged) < _LOGGED_MAX:
                self._logged.add((reason, peer))
                log.warning("bundle refused", peer=_name(peer), kind=reason, reason=str(error))
            raise


def _reason(error: MeshError) -> str:
    if isinstance(error, Refusal | ChainUnknown):
        return error.reason
    return {WireError: "malformed", CapacityError: "full"}.get(type(error), "forbidden")


def _name(peer: Peer) -> str:
    return peer.eid if isinstance(peer, Foreign) else NodeId(peer).text
