"""Fragments for an endpoint here: which are held, and what wholes may be made of them. Sans-IO.

They are bundles in the store like any other, durable and counted against its quota; here is no
more than one line for each. Pieces of wholes that contradict each other about the length are kept
apart.

A member can sign pieces of its own invention, and who did shows only when a whole is proved. So
pieces are kept by their signers: one is a duplicate where others of its own signer, or of the
source itself, have all its bytes. Where all pieces together make no bundle that holds, `candidates`
gives those of each signer alone, then all but a signer's, all but one piece, all but two signers'.
No set is given twice that made none, and of one whole only _TRIES_MAX, so that whoever invents
pieces costs bounded work; then only all, and each signer's own, are tried when a piece comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from radics_mesh.dtn.rules.coverage import Coverage
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.ids import NodeId

_TRIES_MAX = 256
# With more pieces than that, and their signers not to blame as a whole, nobody is to be found out.
_SINGLY_MAX = 64

_Name = tuple[BundleId, NodeId | None]


@dataclass(slots=True)
class _Pieces:
    total: int
    held: dict[_Name, Held] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)
    by_signer: dict[NodeId | None, Coverage] = field(default_factory=dict)
    # Keys of pieces that make no bundle that holds.
    failed: set[tuple[int, ...]] = field(default_factory=set)

    def put(self, held: Held) -> None:
        self.held[held.name] = held
        self.cover(held)

    def cover(self, held: Held) -> None:
        span = _span(held.bundle_id)
        self.coverage.add(*span)
        self.by_signer.setdefault(held.signer, Coverage()).add(*span)

    def remove(self, held: Held) -> None:
        del self.held[held.name]
        self.coverage, self.by_signer = Coverage(), {}
        for other in self.held.values():
            self.cover(other)


class Reassembly:
    """All wholes that are coming in."""

    def __init__(self) -> None:
        # By the whole's identity, then by its length.
        self._wholes: dict[BundleId, dict[int, _Pieces]] = {}

    def __len__(self) -> int:
        return len(self._wholes)

    def __iter__(self) -> Iterator[Held]:
        for whole in self._wholes:
            yield from self.pieces(whole)

    def pieces(self, whole: BundleId) -> Iterator[Held]:
        """All that is held of it."""
        for pieces in self._wholes.get(whole, {}).values():
            yield from pieces.held.values()

    def add(self, held: Held) -> bool:
        """It is in the store. Whether a whole can be made of what there is now."""
        lengths = self._wholes.setdefault(held.bundle_id.whole, {})
        pieces = lengths.setdefault(held.total, _Pieces(held.total))
        pieces.put(held)
        return pieces.coverage.covers(0, pieces.total)

    def covers(self, held: Held) -> bool:
        """Whether all its bytes are here already, by its signer or by the source."""
        pieces = self._find(held)
        if pieces is None:
            return False
        vouching = {held.signer, held.bundle_id.source.node_id or held.signer}
        of = (pieces.by_signer.get(signer) for signer in vouching)
        return any(one is not None and one.covers(*_span(held.bundle_id)) for one in of)

    def candidates(self, whole: BundleId) -> Iterator[list[Held]]:
        """Sets of pieces, in order, each of which would make all of it; the likeliest first."""
        for pieces in list(self._wholes.get(whole, {}).values()):
            given = set(pieces.failed)
            for some in _sets(pieces):
                chosen = _chosen(some, pieces.total)
                keys = tuple(held.key for held in chosen)
                if chosen and keys not in given:
                    given.add(keys)
                    yield chosen

    def failed(self, chosen: list[Held]) -> None:
        """These have made no bundle that holds."""
        pieces = self._find(chosen[0])
        if pieces is not None:
            pieces.failed.add(tuple(held.key for held in chosen))

    def discard(self, held: Held) -> None:
        """It has left the store."""
        pieces = self._find(held)
        if pieces is None or pieces.held.get(held.name) is not held:
            return
        pieces.remove(held)
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


def _sets(pieces: _Pieces) -> Iterator[list[Held]]:
    """See the module's docstring."""
    held = list(pieces.held.values())
    yield held
    signers = list(pieces.by_signer)
    source = held[0].bundle_id.source.node_id
    signers.sort(key=lambda signer: signer != source)  # its own pieces are the likeliest
    if len(signers) > 1:
        for signer in signers:
            yield [one for one in held if one.signer == signer]
    if not pieces.failed or len(pieces.failed) >= _TRIES_MAX:
        return
    for signer in signers:
        yield [one for one in held if one.signer != signer]
    for out in held if len(held) <= _SINGLY_MAX else ():
        yield [one for one in held if one is not out]
    for pair in combinations(signers, 2):
        yield [one for one in held if one.signer not in pair]


def _chosen(held: list[Held], total: int) -> list[Held]:
    """As few of them as possible, so that overlapping ones are not all read; none when they leave
    a gap."""
    ordered = sorted(held, key=lambda held: _span(held.bundle_id))
    chosen: list[Held] = []
    end, best, reach = 0, None, 0
    for one in ordered:
        offset, length = _span(one.bundle_id)
        if offset > end and best is not None:
            chosen.append(best)
            end, best = reach, None
        if offset > end:
            return []
        if offset + length > reach or not (chosen or best):
            best, reach = one, offset + length
    chosen += [best] if best is not None else []
    return chosen if reach >= total else []
