"""What was not taken, counted by reason."""

from __future__ import annotations

from collections import Counter

import structlog

from radics_mesh.errors import MeshError
from radics_mesh.knowledge.book import Outdated

log = structlog.get_logger(__name__)


class Refusals:
    """`counters` is shared with whoever shows them."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters

    def refuse(self, error: MeshError) -> None:
        """Count, and log the first of each reason that is anybody's fault."""
        if isinstance(error, Outdated):
            self._counters["outdated"] += 1
            return
        reason = f"refused_{type(error).__name__}"
        self._counters[reason] += 1
        if self._counters[reason] == 1:
            log.warning("record refused", reason=str(error))
