"""How often the failure detector does what, and how much it keeps in view."""

from __future__ import annotations

import math
from dataclasses import dataclass

from radics_mesh.gossip.members import NEAR_MAX, VIEW_MAX


@dataclass(frozen=True)
class Settings:
    # Between two probes. Shorter: failures are found sooner, for more traffic.
    period_s: float = 1.0
    # How long an answer may take before the next try; three fit a period.
    try_s: float = 0.3
    # Between two rounds of telling news, while there is some, and to how many.
    news_s: float = 0.5
    fan_out: int = 3
    # Between two comparisons of views; and while the last one brought something.
    sync_s: float = 30.0
    sync_soon_s: float = 1.0
    # The shortest suspicion, in periods and per power of ten of nodes (alpha in Lifeguard).
    alpha: float = 3.0
    # How many of those that hear of a suspicion look for themselves, as expected.
    volunteers: float = 6.0
    # Between two tries of somebody who is gone, and of the same one: from the first, doubling to
    # the last. A week's absence costs one ping in RETRY_MAX_S.
    retry_s: float = 1.0
    rest_first_s: float = 4.0
    rest_max_s: float = 20.0
    # Between two probes of somebody who never answers, but whom others vouch for.
    beyond_s: float = 60.0
    # The same as retry_s, just after somebody came back: whole halves of a mesh do.
    healing_retry_s: float = 0.1
    healing_s: float = 10.0
    view_max: int = VIEW_MAX
    near_max: int = NEAR_MAX

    def shortest_s(self, nodes: int) -> float:
        return self.alpha * self.period_s * max(1.0, math.log10(nodes))
