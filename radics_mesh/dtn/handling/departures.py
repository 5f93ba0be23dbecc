"""Where bundles went from here, for people who ask later. In memory, the latest ones only."""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.clock import Wall
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import Eid

# Bundles, and copies of one.
REMEMBERED_MAX = 4096
_COPIES_MAX = 16


@dataclass(frozen=True)
class Departure:
    """`peer` None: not at a contact, but as a file."""

    bundle_id: BundleId
    destination: Eid
    peer: Peer | None
    at: Wall


class Departures:
    def __init__(self) -> None:
        self._of: dict[BundleId, tuple[Departure, ...]] = {}

    def note(self, held: Held, peer: Peer | None, at: Wall) -> None:
        before = self._of.pop(held.bundle_id, ())
        others = tuple(departure for departure in before if departure.peer != peer)
        latest = Departure(held.bundle_id, held.destination, peer, at)
        self._of[held.bundle_id] = (*others[1 - _COPIES_MAX :], latest)
        if len(self._of) > REMEMBERED_MAX:
            del self._of[next(iter(self._of))]

    def of(self, bundle_id: BundleId) -> tuple[Departure, ...]:
        """The latest one to each neighbour, in order."""
        return self._of.get(bundle_id, ())

    def find(self, text: str) -> list[BundleId]:
        """Those whose identity ends so."""
        return [bundle_id for bundle_id in self._of if str(bundle_id).endswith(text)]
