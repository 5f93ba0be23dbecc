"""Fragments for an endpoint here: which are held, and when a whole can be made of them. Sans-IO.

They are bundles in the store like any other, durable and counted against its quota; here is no
more than one line for each. A fragment whose bytes are all here adds nothing: it is a duplicate.
Pieces of wholes that contradict each other about the length are kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from radics_mesh.dtn.bundle import BundleId
from radics_mesh.dtn.coverage import Coverage
from radics_mesh.dtn.held import Held


@dataclass(slots=True)
class _Pieces:
    total: int
    held: dict[BundleId, Held] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)


class Reassembly:
    """All wholes that are coming in."""

    def __init__(self) -> None:
        self._wholes: dict[tuple[BundleId, int], _Pieces] = {}

    def add(self, held: Held) -> list[Held] | None:
        """It is in the store. The fragments that make its whole, in order, if they do now."""
        pieces = self._wholes.setdefault(_key(held), _Pieces(held.total))
        pieces.held[held.bundle_id] = held
        pieces.coverage.add(*_span(held.bundle_id))
        return _chosen(pieces) if pieces.coverage.covers(0, pieces.total) else None

    def covers(self, held: Held) -> bool:
        """Whether all its bytes are here already."""
        pieces = self._wholes.get(_key(held))
        return pieces is not None and pieces.coverage.covers(*_span(held.bundle_id))

    def discard(self, held: Held) -> None:
        """It has left the store."""
        pieces = self._wholes.get(_key(held))
        if pieces is None or pieces.held.get(held.bundle_id) is not held:
            return
        del pieces.held[held.bundle_id]
        if not pieces.held:
            del self._wholes[_key(held)]
            return
        pieces.coverage = Coverage()
        for bundle_id in pieces.held:
            pieces.coverage.add(*_span(bundle_id))

    def forget(self, whole: BundleId) -> list[Held]:
        """All fragments of a whole, which are needed no more."""
        keys = [key for key in self._wholes if key[0] == whole]
        return [held for key in keys for held in self._wholes.pop(key).held.values()]


def _key(held: Held) -> tuple[BundleId, int]:
    return held.bundle_id.whole, held.total


def _span(bundle_id: BundleId) -> tuple[int, int]:
    return bundle_id.offset or 0, bundle_id.length or 0


def _chosen(pieces: _Pieces) -> list[Held]:
    """As few as possible, so that overlapping ones are not all read."""
    ordered = sorted(pieces.held.values(), key=lambda held: _span(held.bundle_id))
    chosen: list[Held] = []
    end, best, reach = 0, None, 0
    for held in ordered:
        offset, length = _span(held.bundle_id)
        if offset > end and best is not None:
            chosen.append(best)
            end, best = reach, None
        if offset + length > reach or not (chosen or best):
            best, reach = held, offset + length
    return [*chosen, *([best] if best is not None else [])]
