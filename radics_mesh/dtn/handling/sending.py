"""Bundles that are made here, of applications and of this node itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial

from radics_mesh.clock import to_dtn
from radics_mesh.dtn.handling.administration import AdminBundle, Administration
from radics_mesh.dtn.handling.room import Room
from radics_mesh.dtn.rules.processing import flags_of, originate
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.trust.confidentiality import sealed_bytes
from radics_mesh.dtn.wire.admin_records import CustodySignal
from radics_mesh.dtn.wire.bundle import ADMINISTRATIVE, BULK, CUSTODY, EXPEDITED, BundleId
from radics_mesh.dtn.wire.content import FileBytes
from radics_mesh.dtn.wire.offload import sized
from radics_mesh.errors import CapacityError, UsageError
from radics_mesh.ids import Eid
from radics_mesh.me import Me


class Sending:
    """`take_up` is given what is stored: it has to go somewhere."""

    def __init__(
        self,
        *,
        me: Me,
        store: BundleStore,
        counters: Counter[str],
        admin: Administration,
        room: Room,
        take_up: Callable[[Held], None],
        lifetime_s: int,
    ) -> None:
        self._me = me
        self._store = store
        self._clock = me.clock
        self._counters = counters
        self._admin = admin
        self._room = room
        self._take_up = take_up
        self._lifetime_s = lifetime_s

    async def send(
        self,
        destination: Eid,
        payload: bytes | FileBytes,
        *,
        source: Eid,
        lifetime_s: int,
        stamp: tuple[int, int] | None,
        ownership: bytes,
        priority: int,
        asks: int,
        report_to: Eid,
        receiver: bytes = b"",
        patient: bool = False,
    ) -> BundleId:
        if lifetime_s <= 0 or not BULK <= priority <= EXPEDITED:
            raise UsageError(f"lifetime {lifetime_s} s, priority {priority}: no such bundle")
        source = self._me.name_towards(destination, source)
        report_to = self._me.name_towards(destination, report_to)
        if stamp is None:
            stamp = to_dtn(self._clock.wall()), await self._store.sequence()
        make = partial(
            originate,
            self._me,
            destination,
            payload,
            source=source,
            stamp=stamp,
            lifetime_s=lifetime_s,
            ownership=ownership,
            priority=priority,
            asks=asks,
            report_to=report_to,
            receiver=receiver,
            keep=self._store.scratch,
        )
        raw = await sized(len(payload), lambda: make().encoded())
        held = Held(
            bundle_id=BundleId(source, *stamp),
            destination=destination,
            priority=priority,
            lifetime_s=lifetime_s,
            age_us=0,
            received=self._clock.monotonic(),
            previous=None,
            signer=self._me.node_id,
            size_bytes=len(raw),
            flags=flags_of(destination, priority, asks),
            report_to=report_to,
            total=sealed_bytes(len(payload)) if receiver else len(payload),
        )
        if asks & CUSTODY and self._admin.take_custody(held) is None:
            raise CapacityError("this node has custody of as much as it may")
        self._room.make(held)
        if patient:
            await self._store.room(source, len(raw))
        if await self._store.add(held, raw, self._take_up, self._admin.originated):
            self._counters["sent"] += 1
        return held.bundle_id

    def emit(self, bundle: AdminBundle) -> None:
        """Send a report or a signal, durable in one transaction with what the store is asked next.
        CapacityError, UsageError. Only a signal may have others evicted: a report of an eviction
        must not begin the next one."""
        source = self._me.name_towards(bundle.destination, self._me.identity.eid)
        number, numbered = self._store.sequence_now()
        stamp = to_dtn(self._clock.wall()), number
        lifetime_s = min(max(1, bundle.lifetime_s), self._lifetime_s)
        payload = bundle.record.encode()
        raw = originate(
            self._me,
            bundle.destination,
            payload,
            source=source,
            stamp=stamp,
            lifetime_s=lifetime_s,
            ownership=b"",
            priority=bundle.priority,
            asks=ADMINISTRATIVE,
        ).encode()
        held = Held(
            bundle_id=BundleId(source, *stamp),
            destination=bundle.destination,
            priority=bundle.priority,
            lifetime_s=lifetime_s,
            age_us=0,
            received=self._clock.monotonic(),
            previous=None,
            signer=self._me.node_id,
            size_bytes=len(raw),
            flags=flags_of(bundle.destination, bundle.priority, ADMINISTRATIVE),
            total=len(payload),
        )
        if isinstance(bundle.record, CustodySignal):
            self._room.make(held)
        self._store.add_with_next(held, raw, self._emitted, self._not_emitted, numbered)

    def _emitted(self, held: Held) -> None:
        self._counters["admin_records_sent"] += 1
        self._take_up(held)

    def _not_emitted(self) -> None:
        self._counters["admin_records_lost"] += 1
