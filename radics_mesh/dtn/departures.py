"""Where bundles went from here, for people who ask later. In memory, the latest ones only."""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.clock import Wall
from radics_mesh.dtn.bundle import BundleId
from radics_mesh.dtn.held import Held
from radics_mesh.dtn.processing import Peer
from radics_mesh.ids import Eid

REMEMBERED_MAX = 4096


@dataclass(frozen=True)
class Departure:
    """`peer` None: not at a contact, but as a file."""

    bundle_id: BundleId
    destination: Eid
    peer: Peer | None
    at: Wall


class Departures:
    def __init__(self) -> None:
        self._latest: dict[BundleId, Departure] = {}

    def note(self, held: Held, peer: Peer | None, at: Wall) -> None:
        self._latest.pop(held.bundle_id, None)
        self._latest[held.bundle_id] = Departure(held.bundle_id, held.destination, peer, at)
        if len(self._latest) > REMEMBERED_MAX:
            del self._latest[next(iter(self._latest))]

    def find(self, text: str) -> list[Departure]:
        """All whose identity ends so."""
        return [one for name, one in self._latest.items() if str(name).endswith(text)]
