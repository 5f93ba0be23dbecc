"""Stored bundles as they go on the wire: with this hop's changes, and without the chains that the
neighbour is known to hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from radics_mesh.clock import Clock
from radics_mesh.dtn.rules.processing import depart
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.trust.chains import BESIDE_MAX_BYTES, Shared, carried, without
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.dtn.wire.content import Content
from radics_mesh.dtn.wire.offload import sized
from radics_mesh.ids import Eid


@dataclass(frozen=True)
class Leaving:
    """What goes on the wire, and the chains' names: of those in it, and of those left out."""

    raw: Content
    chains: frozenset[bytes] = frozenset()
    left_out: frozenset[bytes] = frozenset()


class LeavingReader:
    """Reads what is to leave; `own` is the previous hop where one is named."""

    def __init__(self, own: Eid, store: BundleStore, clock: Clock) -> None:
        self._own = own
        self._store = store
        self._clock = clock

    async def whole(self, held: Held) -> Content | None:
        """All of it; None when it is damaged and so no longer held."""
        leaving = await self.read(held, None, 0)
        return None if leaving is None else leaving.raw

    async def read(self, held: Held, shared: Shared | None, copies: int) -> Leaving | None:
        """For a neighbour with these chains (None: whole), with its share of the copies. None as
        of `whole`."""
        raw = await self._store.content(held)
        if raw is None:
            return None
        age_us = held.age_at(self._clock.monotonic())
        changed = partial(depart, age_us=age_us, custodian=held.custodian, copies=copies)
        return await sized(len(raw), lambda: self._leave(Bundle.parse(raw), changed, shared))

    def _leave(
        self, bundle: Bundle, changed: Callable[..., Bundle], shared: Shared | None
    ) -> Leaving:
        if shared is None:
            return Leaving(changed(bundle, self._own).encoded())
        names = frozenset(carried(bundle))
        light = len(bundle.content) <= BESIDE_MAX_BYTES
        left_out = frozenset(shared.among(names) if light else ())
        lighter = without(changed(bundle, None), left_out)
        return Leaving(lighter.encoded(), names - left_out, left_out)
