"""What people are shown of held bundles."""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.clock import Clock
from radics_mesh.dtn.handling.endpoints import Endpoints
from radics_mesh.dtn.handling.forwarding import Forwarding
from radics_mesh.dtn.rules.custody import Custody
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import Eid


@dataclass(frozen=True)
class BundleSummary:
    """One held bundle, for people. `state`: waiting, in flight, in custody (handed on, and
    nobody has answered for it yet), unclaimed or local."""

    bundle_id: BundleId
    destination: Eid
    size_bytes: int
    priority: int
    age_s: float
    remaining_s: float
    state: str


class Summaries:
    def __init__(
        self,
        *,
        store: BundleStore,
        clock: Clock,
        custody: Custody,
        endpoints: Endpoints,
        forwarding: Forwarding,
    ) -> None:
        self._store = store
        self._clock = clock
        self._custody = custody
        self._endpoints = endpoints
        self._forwarding = forwarding

    def all(self) -> list[BundleSummary]:
        """All that is held, in order of arrival."""
        now = self._clock.monotonic()
        return [
            BundleSummary(
                bundle_id=held.bundle_id,
                destination=held.destination,
                size_bytes=held.size_bytes,
                priority=held.priority,
                age_s=held.age_at(now) / 1e6,
                remaining_s=max(0.0, held.deadline - now),
                state=self.state_of(held),
            )
            for held in self._store
        ]

    def state_of(self, held: Held) -> str:
        """As in BundleSummary."""
        if self._endpoints.is_local(held.destination):
            return "local" if self._endpoints.is_claimed(held) else "unclaimed"
        if any(held in contact.in_flight for contact in self._forwarding.contacts):
            return "in flight"
        return "in custody" if self._custody.awaits_signal(held) else "waiting"
