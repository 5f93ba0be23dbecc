"""What neighbours are known to hold, and which bundles are known to have arrived.

Sans-IO. A neighbour's summary vector says what it holds or was given; until it has come, no copy
goes there (a bundle for the neighbour itself does). What a neighbour held is forgotten with the
contact: it may have handed on or dropped it since, and a bundle may have to come back. Of those who
get bundles by way of a stick, what they were given is known while it is held here.

What has arrived needs no more copies. That word goes from node to node until the bundle's life is
over; it is a member's word, so it ends copies, never a bundle in somebody's custody.
"""

from __future__ import annotations

from collections.abc import Iterable

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.routes.digests import digest, whole
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import NodeId

# Digests in a message, of what is held and of what has arrived: 196 kB each.
HELD_MAX = ARRIVED_MAX = 16_384
# Digests remembered of one neighbour.
_KNOWN_MAX = 4 * HELD_MAX


class Neighbours:
    """Shared by all modules of a node."""

    def __init__(self) -> None:
        self._held: dict[NodeId, set[bytes]] = {}
        self._silent: set[NodeId] = set()
        self._given: dict[BundleId, set[NodeId]] = {}
        self._arrived: dict[bytes, Monotonic] = {}

    # --- contacts ---

    def contact_up(self, peer: NodeId) -> None:
        self._held[peer] = set()
        self._silent.add(peer)

    def contact_down(self, peer: NodeId) -> None:
        self._held.pop(peer, None)
        self._silent.discard(peer)

    def holds(self, peer: NodeId, digests: Iterable[bytes]) -> None:
        """A neighbour's summary vector: this is all that it holds."""
        if peer in self._held:
            self._held[peer] = set(digests)
            self._silent.discard(peer)

    def has(self, peer: NodeId, bundle_id: BundleId) -> None:
        """It holds this one, too, from now on."""
        known = self._held.get(peer)
        if known is not None and len(known) < _KNOWN_MAX:
            known.add(digest(bundle_id))

    def gave(self, peer: NodeId, bundle_id: BundleId) -> None:
        """It has this one from here."""
        self.has(peer, bundle_id)
        self._given.setdefault(bundle_id, set()).add(peer)

    def has_given(self, bundle_id: BundleId) -> bool:
        """Whether somebody has it from here."""
        return bundle_id in self._given

    def forget(self, bundle_id: BundleId) -> None:
        """It is no longer held here."""
        self._given.pop(bundle_id, None)

    def lacks(self, peer: NodeId, bundle_id: BundleId) -> bool:
        """Whether a copy may go there."""
        known = self._held.get(peer)
        if known is None:  # not in contact
            return peer not in self._given.get(bundle_id, ())
        return peer not in self._silent and digest(bundle_id) not in known

    # --- what has arrived ---

    def arrived(self, bundle_id: BundleId, until: Monotonic) -> None:
        """It is with its destination; `until` its life ends."""
        self._remember(digest(whole(bundle_id)), until)

    def heard_arrived(self, one: bytes, until: Monotonic) -> bool:
        """Somebody says so. Whether that is news."""
        news = one not in self._arrived
        self._remember(one, until)
        return news

    def _remember(self, one: bytes, until: Monotonic) -> None:
        self._arrived[one] = max(until, self._arrived.get(one, until))
        while len(self._arrived) > ARRIVED_MAX:
            del self._arrived[next(iter(self._arrived))]

    def has_arrived(self, bundle_id: BundleId) -> bool:
        return bool(self._arrived) and digest(whole(bundle_id)) in self._arrived

    def all_arrived(self, now: Monotonic) -> list[tuple[bytes, float]]:
        """All that are still worth telling, with the seconds left of their lives."""
        self._arrived = {one: until for one, until in self._arrived.items() if until > now}
        return [(one, until - now) for one, until in self._arrived.items()]
