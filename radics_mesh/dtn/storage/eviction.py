"""What a full store lets go for a bundle that is more urgent, where the configuration allows it.

Without that leave a full store refuses, and nothing that was acknowledged is ever lost. With it,
those on their way through may go: a neighbour sent them here, they are for elsewhere, of lower
priority than the new one, not in custody, and nobody has them in hand. The lowest priority goes
first, and of that what would end soonest; each is reported as deleted (RFC 5050 section 5.13,
"depleted storage") to whoever asked for that. If all of them together were not enough, none goes.

Before them go copies that this node has handed on and kept (radics_mesh.dtn.routes), of the new
one's own priority too: somebody else has one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import CUSTODY


def unique(some: Iterable[Held]) -> Iterator[Held]:
    """Each once, in order."""
    return iter(dict.fromkeys(some))


def choose(least: Iterable[Held], short_bytes: int, is_free: Callable[[Held], bool]) -> list[Held]:
    """Those that must go so that `short_bytes` are free; `least`: the least worthy first.

    `is_free`: for elsewhere, and in nobody's hands.
    """
    chosen: list[Held] = []
    for held in least:
        if short_bytes <= 0:
            break
        passes_through = held.previous is not None and not held.flags & CUSTODY
        if passes_through and is_free(held):
            chosen.append(held)
            short_bytes -= held.size_bytes
    return chosen if short_bytes <= 0 else []
