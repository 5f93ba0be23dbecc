"""How long a suspect has to answer. Sans-IO.

Dynamic suspicion timeouts (Lifeguard section IV-B, LHA-Suspicion): long while one node alone
suspects it, whose own reception may be the trouble, and shorter with every other one that does,
down to a minimum that grows with the logarithm of the mesh (SWIM section 4.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from radics_mesh.gossip.words import Suspect
from radics_mesh.ids import NodeId

# Accusers beyond the first that count.
CONFIRMATIONS = 3
# How long the longest suspicion is against the shortest.
BETA = 6.0


@dataclass
class Suspicion:
    """Of one incarnation of one node. `finals`: last pings to it that were sent before the end, the
    next not before `final_at`."""

    incarnation: int
    began: float
    accusers: dict[NodeId, Suspect] = field(default_factory=dict)
    finals: int = 0
    final_at: float = -math.inf

    def confirm(self, word: Suspect) -> bool:
        """Whether this accuser counts, and has not been counted."""
        if word.node_id in self.accusers or len(self.accusers) > CONFIRMATIONS:
            return False
        self.accusers[word.node_id] = word
        return True

    @property
    def is_settled(self) -> bool:
        """Whether more accusers would change nothing."""
        return len(self.accusers) > CONFIRMATIONS

    def ends(self, shortest_s: float, members: int) -> float:
        """When the suspect counts as unreachable; `members`: how many are in view.

        In a small mesh not so many can confirm it: not the suspect, and the accuser has.
        """
        wanted = min(CONFIRMATIONS, max(0, members - 1))
        confirmed = min(len(self.accusers) - 1, wanted)
        if wanted == 0:
            return self.began + shortest_s
        longest_s = BETA * shortest_s
        share = math.log(confirmed + 1) / math.log(wanted + 1)
        return self.began + max(shortest_s, longest_s - (longest_s - shortest_s) * share)
