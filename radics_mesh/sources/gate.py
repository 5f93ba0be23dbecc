"""Who may read what: by certificates, and by the rules of this node's owner."""

from __future__ import annotations

from collections.abc import Callable

from radics_mesh.errors import PeerError
from radics_mesh.ids import NodeId
from radics_mesh.membership import Certificate, demand
from radics_mesh.permits import NO_RULES, Party, Permits
from radics_mesh.roles import Role


class Gate:
    """`certificate`: a member's, as far as one is known here. `tell`: this node's user."""

    def __init__(
        self,
        certificate: Callable[[NodeId], Certificate | None],
        permits: Callable[[], Permits] = lambda: NO_RULES,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._certificate = certificate
        self._permits = permits
        self._tell = tell

    def check_reading(self, owner: NodeId, source: str) -> None:
        """PeerError when a VM that runs here, born in that member's name, may not read it."""
        self._said(lambda: self._permits().check_reading(self._party(owner), source))

    def check_serving(self, node: NodeId, owner: NodeId, source: str) -> None:
        """PeerError when `node` may not have it for a VM that was born in `owner`'s name."""

        def check() -> None:
            demand(self._certificate(node), Role.OBSERVE, "read sources")
            party = self._party(owner)
            if party.certificate is not None:
                demand(party.certificate, Role.OBSERVE, "read sources")
            self._permits().check_serving(party, source)

        self._said(check)

    def _party(self, node: NodeId) -> Party:
        return Party(node, self._certificate(node))

    def _said(self, check: Callable[[], None]) -> None:
        try:
            check()
        except PeerError as error:
            self._tell(str(error))
            raise
