"""Fragments for an endpoint here: which are held, and when a whole can be made of them. Sans-IO.

They are bundles in the store like any other, durable and counted against its quota; here is no
more than one line for each. A fragment whose bytes are all here adds nothing: it is a duplicate.
Pieces of wholes that contradict each other about the length are kept apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from radics_mesh.dtn.rules.coverage import Coverage
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import BundleId


@dataclass(slots=True)
class _Pieces:
    total: int
    held: dict[BundleId, Held] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)


class Reassembly:
    """All wholes that are coming in."""

    def __init__(self) -> None:
        # By the whole's identity, then by its length.
        self._wholes: dict[BundleId, dict[int, _Pieces]] = {}

    def __iter__(self) -> Iterator[Held]:
        for lengths in self._wholes.values():
            for pieces in lengths.values():
                yield from pieces.held.values()

    def add(self, held: Held) -> list[Held] | None:
        """It is in the store. The fragments that make its whole, in order, if they do now."""
        lengths = self._wholes.setdefault(held.bundle_id.whole, {})
        pieces = lengths.setdefault(held.total, _Pieces(held.total))
        pieces.held[held.bundle_id] = held
        pieces.coverage.add(*_span(held.bundle_id))
        return _chosen(pieces) if pieces.coverage.covers(0, pieces.total) else None

    def covers(self, held: Held) -> bool:
        """Whether all its bytes are here already."""
        pieces = self._find(held)
        return pieces is not None and pieces.coverage.covers(*_span(held.bundle_id))

    def discard(self, held: Held) -> None:
        """It has left the store."""
        pieces = self._find(held)
        if pieces is None or pieces.held.get(held.bundle_id) is not held:
            return
        del pieces.held[held.bundle_id]
        pieces.coverage = Coverage()
        for bundle_id in pieces.held:
            pieces.coverage.add(*_span(bundle_id))
        if not pieces.held:
            lengths = self._wholes[held.bundle_id.whole]
            del lengths[held.total]
            if not lengths:
                del self._wholes[held.bundle_id.whole]

    def forget(self, whole: BundleId) -> list[Held]:
        """All fragments of a whole, which are needed no more."""
        lengths = self._wholes.pop(whole, {})
        return [held for pieces in lengths.values() for held in pieces.held.values()]

    def _find(self, held: Held) -> _Pieces | None:
        return self._wholes.get(held.bundle_id.whole, {}).get(held.total)


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
