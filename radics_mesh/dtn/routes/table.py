"""Which module decides about which destination, and what they all know of neighbours.

Sans-IO. The first pattern that an endpoint matches decides; a bundle that none matches belongs to
the last module, which is for everything else. What neighbours tell each other about routing goes to
neighbours only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.routes.direct import Direct
from radics_mesh.dtn.routes.flood import Flood
from radics_mesh.dtn.routes.messages import SERVICE, Summary
from radics_mesh.dtn.routes.module import Module
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.storage.held import Held
from radics_mesh.ids import Eid, NodeId

_REMEMBERED_MAX = 4096


class RoutingTable:
    """`rows`: patterns as of a shell (`*`, `?`, `[...]`) over whole endpoint identifiers."""

    def __init__(
        self,
        default: Module,
        rows: Sequence[tuple[str, Module]] = (),
        neighbours: Neighbours | None = None,
    ) -> None:
        self._rows = (*rows, ("*", default))
        self._direct = Direct()
        self.flood = Flood()
        self._of: dict[Eid, Module] = {}
        self._contacts: set[NodeId] = set()
        self.neighbours = Neighbours() if neighbours is None else neighbours

    @property
    def modules(self) -> Iterator[Module]:
        """Each once, in order."""
        return iter(dict.fromkeys(module for _, module in self._rows))

    @property
    def spreads(self) -> bool:
        """Whether some bundles leave copies, so that neighbours must say what they hold."""
        return any(module.spreads for module in self.modules)

    def of(self, destination: Eid) -> Module:
        found = self._of.get(destination)
        if found is None:
            if len(self._of) >= _REMEMBERED_MAX:
                self._of.clear()
            found = self._of[destination] = self._find(destination)
        return found

    def _find(self, destination: Eid) -> Module:
        if destination.node_id is not None and destination.service_name == SERVICE:
            return self._direct
        if destination.is_group:
            return self.flood
        return next(module for pattern, module in self._rows if fnmatchcase(destination, pattern))

    # --- contacts ---

    def contact_up(self, peer: NodeId, now: Monotonic) -> None:
        self._contacts.add(peer)
        if self.spreads:
            self.neighbours.contact_up(peer)
        for module in self.modules:
            module.contact_up(peer, now)

    def contact_down(self, peer: NodeId, now: Monotonic) -> None:
        self._contacts.discard(peer)
        self.neighbours.contact_down(peer)
        for module in self.modules:
            module.contact_down(peer, now)

    def is_needless(self, held: Held) -> bool:
        """Whether a bundle that waits is one copy too many: its like has arrived.

        One for a group is never: it has arrived with one of many.
        """
        if held.destination.is_group:
            return False
        return self.of(held.destination).spreads and self.neighbours.has_arrived(held.bundle_id)

    def arrived(self, held: Held) -> None:
        """It was delivered here, for good."""
        if self.of(held.destination).spreads and not held.destination.is_group:
            self.neighbours.arrived(held.bundle_id, held.deadline)

    # --- messages ---

    def summary(
        self, peer: NodeId, held: Sequence[bytes], now: Monotonic, *, asks: bool
    ) -> Summary:
        arrived = [(one, int(left_s)) for one, left_s in self.neighbours.all_arrived(now)]
        told = {module.name: module.tell(peer, now) for module in self.modules}
        said = {name: what for name, what in told.items() if what is not None}
        return Summary(asks, held, arrived, said)

    def heard(self, peer: NodeId, summary: Summary, now: Monotonic) -> bool:
        """Take in what a neighbour says. Whether it told of an arrival that was not known.

        WireError: what it told one of the modules makes no sense.
        """
        news = [
            self.neighbours.heard_arrived(one, Monotonic(now + left_s))
            for one, left_s in summary.arrived
        ]
        if peer in self._contacts:  # else it came late: what was held then may have gone
            self.neighbours.holds(peer, [*summary.held, *(one for one, _ in summary.arrived)])
            for module in self.modules:
                if module.name in summary.modules:
                    module.heard(peer, summary.modules[module.name], now)
        return any(news)
