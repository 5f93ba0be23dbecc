"""Room in the store for what comes: whether there is any, and whom a full store lets go for it."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from radics_mesh.dtn.handling.administration import Administration
from radics_mesh.dtn.handling.endpoints import Endpoints
from radics_mesh.dtn.handling.forwarding import Forwarding
from radics_mesh.dtn.routes.waiting import Waiting
from radics_mesh.dtn.storage.eviction import choose, unique
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.admin_records import Reason


class Room:
    """`evicts`: whether others may go for what comes."""

    def __init__(
        self,
        *,
        store: BundleStore,
        counters: Counter[str],
        admin: Administration,
        endpoints: Endpoints,
        forwarding: Forwarding,
        waiting: Waiting,
        evicts: bool,
    ) -> None:
        self._store = store
        self._counters = counters
        self._admin = admin
        self._endpoints = endpoints
        self._forwarding = forwarding
        self._waiting = waiting
        self._evicts = evicts

    def has(self, size_bytes: int) -> bool:
        """Whether a bundle of so many bytes could be taken now. Where others may go for it that
        is not known before its priority is: see `has_for`."""
        could = self._evicts and self._store.could_have_room(size_bytes)
        return could or self._store.has_room(size_bytes)

    def has_for(self, priority: int, size_bytes: int) -> bool:
        """The same for one of this priority, of which nothing has come yet."""
        short_bytes = self._store.short_bytes(size_bytes)
        if short_bytes <= 0:
            return True
        return self._evicts and bool(self._chosen(priority, short_bytes))

    def make(self, coming: Held) -> None:
        """Where that is allowed, let others go for it: see `eviction`."""
        short_bytes = self._store.quotas.short_bytes(coming.size_bytes)
        if not self._evicts or short_bytes <= 0 or self._store.seen(coming.bundle_id):
            return
        for held in self._chosen(coming.priority, short_bytes):
            self._counters["evicted"] += 1
            self._admin.deleted(held, Reason.DEPLETED_STORAGE)
            self._store.drop(held)

    def _chosen(self, priority: int, short_bytes: int) -> list[Held]:
        flying = {held for contact in self._forwarding.contacts for held in contact.in_flight}

        def is_free(held: Held) -> bool:
            return held not in flying and not self._endpoints.is_local(held.destination)

        copies = filter(self._store.__contains__, self._waiting.spare_copies(priority))
        least = chain(copies, self._store.least(priority))
        return choose(unique(least), short_bytes, is_free)
