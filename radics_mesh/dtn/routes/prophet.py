"""PRoPHET version 2 (RFC 6693): copies go to whoever meets the destination more often.

Each node has a delivery predictability P(destination), 0 to 1, made of three equations:

  encounter     P(b) += (1 - delta - P(b)) * P_enc     section 2.1.2.1, on meeting b
                P(b)  = P_first                        on meeting b when P(b) < threshold
  aging         P(x) *= gamma ^ K                      section 2.1.2.2, K time units later
  transitivity  P(c)  = max(P(c), P(b) * P_b(c) * beta)  section 2.1.2.3, when b has told P_b

P_enc grows with the time since the last meeting, up to P_max after a typical interval, so that a
link that flaps counts as one meeting. While a contact lasts the meeting is repeated at each
exchange. The forwarding strategy is GRTR (section 3.6): a copy to a neighbour whose P is greater
than the own one, and the bundle stays here as well.

Told to neighbours is a row [node, P * 65535, node, P * 65535, ...].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from radics_mesh.clock import Monotonic
from radics_mesh.codec import Fields
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.routes.spreading import Spreading
from radics_mesh.dtn.storage.held import Held
from radics_mesh.errors import UsageError
from radics_mesh.ids import NodeId

_SCALE = 65_535
# Nodes remembered and told of; below _LEAST a predictability says nothing and is dropped.
_NODES_MAX = 4096
_LEAST = 1 / _SCALE


@dataclass(frozen=True)
class Parameters:
    """RFC 6693 section 3.3. Smaller `gamma`, or a smaller unit: the past counts less."""

    p_max: float = 0.7
    p_first: float = 0.5
    threshold: float = 0.1
    beta: float = 0.9
    gamma: float = 0.999
    delta: float = 0.01
    # Seconds of one unit of aging, and of the interval after which a meeting counts in full.
    unit_s: float = 60.0
    typical_s: float = 1800.0

    def __post_init__(self) -> None:
        shares = self.p_max, self.p_first, self.threshold, self.beta, self.gamma, self.delta
        if not all(0.0 <= share <= 1.0 for share in shares):
            raise UsageError("PRoPHET: p_max, p_first, threshold, beta, gamma, delta are 0 to 1")
        if self.unit_s <= 0 or self.typical_s <= 0:
            raise UsageError("PRoPHET: unit and typical are more than 0 seconds")


@dataclass(frozen=True, slots=True)
class Remembered:
    """One row of the table; `met_ago_s` None: only heard of."""

    node: NodeId
    p: float
    met_ago_s: float | None


class Predictabilities:
    """One node's P of others."""

    def __init__(self, own: NodeId, parameters: Parameters) -> None:
        self._own = own
        self._parameters = parameters
        self._p: dict[NodeId, float] = {}
        self._met: dict[NodeId, Monotonic] = {}
        self._aged: Monotonic | None = None

    def __getitem__(self, node: NodeId) -> float:
        return 1.0 if node == self._own else self._p.get(node, 0.0)

    def items(self) -> list[tuple[NodeId, float]]:
        """Greatest first."""
        return sorted(self._p.items(), key=lambda item: (-item[1], item[0]))

    def state(self, now: Monotonic) -> list[Remembered]:
        """As it is now, to be kept."""
        self.age(now)
        nodes = dict.fromkeys([*self._p, *self._met])
        ago = {node: max(0.0, now - met) for node, met in self._met.items()}
        return [Remembered(node, self._p.get(node, 0.0), ago.get(node)) for node in nodes]

    def restore(self, rows: Sequence[Remembered], elapsed_s: float, now: Monotonic) -> None:
        """What was kept so many seconds ago, into an empty table."""
        factor = self._parameters.gamma ** (elapsed_s / self._parameters.unit_s)
        for row in rows:
            if row.node != self._own:
                self._set(row.node, row.p * factor)
                if row.met_ago_s is not None:
                    self._met[row.node] = Monotonic(now - row.met_ago_s - elapsed_s)
        self._aged = now

    def age(self, now: Monotonic) -> None:
        if self._aged is not None and now > self._aged:
            units = (now - self._aged) / self._parameters.unit_s
            factor = self._parameters.gamma**units
            self._p = {node: p * factor for node, p in self._p.items() if p * factor >= _LEAST}
        self._aged = now

    def meet(self, node: NodeId, now: Monotonic) -> None:
        self.age(now)
        with_, p, met = self._parameters, self._p.get(node, 0.0), self._met.get(node)
        if p < with_.threshold or met is None:
            self._set(node, max(p, with_.p_first))
        else:
            p_enc = with_.p_max * min(1.0, (now - met) / with_.typical_s)
            self._set(node, p + (1 - with_.delta - p) * p_enc)
        self._met[node] = now
        if len(self._met) > _NODES_MAX:
            del self._met[min(self._met, key=lambda one: self._met[one])]

    def hear(self, node: NodeId, theirs: dict[NodeId, float]) -> None:
        """What `node`, met just now, has told."""
        through = self[node] * self._parameters.beta
        for other, p in theirs.items():
            if other not in (self._own, node):
                self._set(other, max(self._p.get(other, 0.0), through * p))

    def _set(self, node: NodeId, p: float) -> None:
        if p < _LEAST:
            return
        self._p[node] = min(1.0, p)
        if len(self._p) > _NODES_MAX:
            del self._p[min(self._p, key=lambda one: self._p[one])]


class Prophet(Spreading):
    name = "prophet"

    def __init__(
        self, own: NodeId, neighbours: Neighbours, parameters: Parameters = Parameters()
    ) -> None:
        super().__init__(own, neighbours)
        self.own_p = Predictabilities(own, parameters)
        self._theirs: dict[NodeId, dict[NodeId, float]] = {}

    def worthy(
        self, held: Held, target: NodeId | None, lacking: Sequence[NodeId], now: Monotonic
    ) -> Sequence[NodeId]:
        if target is None:
            return ()
        self.own_p.age(now)
        own = self.own_p[target]
        told = ((self._theirs.get(peer, {}).get(target, 0.0), peer) for peer in lacking)
        better = [(-p, peer) for p, peer in told if p > own]
        return [peer for _, peer in sorted(better)]

    def contact_up(self, peer: NodeId, now: Monotonic) -> None:
        self.own_p.meet(peer, now)

    def contact_down(self, peer: NodeId, now: Monotonic) -> None:
        self._theirs.pop(peer, None)

    def tell(self, peer: NodeId, now: Monotonic) -> object:
        self.own_p.meet(peer, now)
        told = self.own_p.items()[:_NODES_MAX]
        return [word for node, p in told for word in (bytes(node), round(p * _SCALE))]

    def heard(self, peer: NodeId, told: object, now: Monotonic) -> None:
        words = Fields(told, "PRoPHET")
        theirs: dict[NodeId, float] = {}
        while words.has_more and len(theirs) < _NODES_MAX:
            node = NodeId(words.blob(limit=20))
            theirs[node] = words.integer(0, _SCALE) / _SCALE
        self._theirs[peer] = theirs
        self.own_p.age(now)
        self.own_p.hear(peer, theirs)
