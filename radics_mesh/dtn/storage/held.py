"""One bundle in the store, as the rest of the node sees it without reading its bytes."""

from __future__ import annotations

from dataclasses import dataclass

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.wire.bundle import ADMINISTRATIVE, ORDINARY, BundleId
from radics_mesh.ids import NONE_EID, Eid, NodeId

_SIGNED_BY = " by "


def identity_in(name_text: str) -> str:
    """The bundle's identity as text, of `Held.name_text`."""
    return name_text.partition(_SIGNED_BY)[0]


@dataclass(slots=True, eq=False, weakref_slot=True)
class Held:
    """`key` orders bundles by arrival and is never used twice. `age_us` was the age at `received`.

    A bundle's age grows by the monotonic clock only, so that no clock step ever expires it. The
    store fills in `size_bytes` (of the whole bundle) and `key`.
    """

    bundle_id: BundleId
    destination: Eid
    priority: int
    lifetime_s: int
    age_us: int
    received: Monotonic
    # Which neighbour it came from; None: made here, or from a peer that is no member.
    previous: NodeId | None
    # Who signed it; None: a peer that is no member, to an endpoint open to it.
    signer: NodeId | None
    size_bytes: int = 0
    key: int = 0
    # Bundle processing flags as on the wire, without FRAGMENT.
    flags: int = ORDINARY
    report_to: Eid = NONE_EID
    # Whoever has custody of it; this node's own EID while it has. The stored bytes may name an
    # earlier custodian: what leaves names this one.
    custodian: Eid = NONE_EID
    # Bytes of its payload; of a fragment, of the payload that it was cut from.
    total: int = 0
    # Copies of it that came with it; 0: nothing was said, so one. Not in the store's index
    # (radics_mesh.dtn.routes.allotted).
    copies: int = 0

    @property
    def name(self) -> tuple[BundleId, NodeId | None]:
        """What makes it one in the store: of a fragment also who signed it. Else whoever invents
        one first would have the honest one of the same bytes taken for its duplicate."""
        return self.bundle_id, None if self.bundle_id.offset is None else self.signer

    @property
    def name_text(self) -> str:
        """The same as text, which begins with the identity."""
        bundle_id, signer = self.name
        return str(bundle_id) if signer is None else f"{bundle_id}{_SIGNED_BY}{signer.hex()}"

    @property
    def deadline(self) -> Monotonic:
        """When its lifetime ends."""
        return Monotonic(self.received + self.lifetime_s - self.age_us / 1e6)

    @property
    def is_administrative(self) -> bool:
        """Whether its payload is a status report or a custody signal."""
        return bool(self.flags & ADMINISTRATIVE)

    def age_at(self, now: Monotonic) -> int:
        """Microseconds."""
        return self.age_us + max(0, int((now - self.received) * 1e6))
