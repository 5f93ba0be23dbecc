"""This node, as the protocols need it: its key, its place in the mesh, its clocks."""

from __future__ import annotations

from dataclasses import dataclass, field

from radics_mesh.clock import Clock, Wall
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.identity import Identity
from radics_mesh.ids import NONE_EID, Eid, NodeId
from radics_mesh.membership import Certificate, Chain, Mesh, Verifier, demand
from radics_mesh.roles import Role


@dataclass(eq=False)
class Me:
    """An admitted node. `chain` is its own packed membership chain; only `renew` replaces it, and
    whoever needs it asks for it here each time."""

    identity: Identity
    verifier: Verifier
    chain: bytes
    clock: Clock
    # Its number in `ipn:` names (RFC 6260), by which it is a node to ION too; None: it has none.
    ipn_node: int | None = None
    _member: Certificate = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._member = Chain.parse(self.chain).member

    @property
    def certificate(self) -> Certificate:
        return self._member

    def certificate_of(self, node: NodeId) -> Certificate | None:
        """Its own, or that of a member which showed one here lately."""
        return self._member if node == self.node_id else self.verifier.standing(node)

    def renew(self, chain: Chain) -> None:
        """From now on this chain is shown; PeerError if it is another key's."""
        if chain.member.public != self.identity.public:
            raise PeerError("a certificate for another key")
        self.chain, self._member = chain.pack(), chain.member

    def judged(self) -> Wall:
        """The time by which certificates are judged here."""
        return self.verifier.judged(self.clock.wall())

    def demand(self, role: Role, deed: str) -> None:
        """PeerError, for this node's user, when its certificate does not allow that: the others
        would refuse it."""
        demand(self._member, role, deed)

    @property
    def node_id(self) -> NodeId:
        return self.identity.node_id

    @property
    def mesh(self) -> Mesh:
        return self.verifier.mesh

    @property
    def names(self) -> tuple[Eid, ...]:
        """Its own endpoint, in each scheme in which it has one."""
        own = self.node_id.eid
        return (own,) if self.ipn_node is None else (own, Eid(f"ipn:{self.ipn_node}.0"))

    def local(self, eid: Eid) -> Eid:
        """The `dtn:` name of an endpoint of this node: `ipn:20.0` is the node itself, `ipn:20.7`
        its service called 7. Any other name is left as it is."""
        if self.ipn_node is None:
            return eid
        number, _, service = eid.partition(".")
        if number != f"ipn:{self.ipn_node}":
            return eid
        return self.node_id.eid if service == "0" else self.node_id.service(service)

    def name_towards(self, destination: Eid, eid: Eid) -> Eid:
        """How a name is written in a bundle to `destination`. UsageError where it cannot be: beside
        an `ipn:` destination any other name would make a dictionary, and ION aborts on that."""
        if not destination.startswith("ipn:") or eid.startswith("ipn:") or eid == NONE_EID:
            return eid
        if eid == self.node_id.eid and self.ipn_node is not None:
            return self.names[1]
        service = eid.service_name
        if eid.node_id == self.node_id and service.isdecimal() and self.ipn_node is not None:
            return Eid(f"ipn:{self.ipn_node}.{int(service)}")
        raise UsageError(f"{eid} has no ipn: name, which a bundle to {destination} needs")
