"""Cutting bundles and joining them again (RFC 5050 sections 5.8 and 5.9). Sans-IO.

Why: a link's messages are too small, or a transfer broke off and what came of it shall not come
again. Fragments are bundles of their own, and may be cut further; offsets count from the whole.

Blocks go by section 5.8: those before the payload into the piece with the lowest offset, those
after it into the one with the highest, those that say so into every one, always in their order.
So the whole's signature travels in the first piece, and joining makes the very bundle that was
signed. A signature of a fragment is of no use for its pieces: who cuts signs every piece anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from radics_mesh.dtn.trust.security import speaks_for_a_fragment
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import MUST_NOT_FRAGMENT, SINGLETON, Bundle, Fragment
from radics_mesh.dtn.wire.content import Content, joined, stretch
from radics_mesh.errors import CapacityError, UsageError, WireError
from radics_mesh.ids import NONE_EID, Eid

# By how much the lengths and offsets in a finished piece may be longer than in an empty one.
_SLACK_BYTES = 4 * 9


def may_be_cut(flags: int, source: Eid) -> bool:
    """A bundle from nobody has no name that its fragments could share (RFC 5050 section 4.2), and
    of one for many no node could tell when all have put it together (see `groups`)."""
    return not flags & MUST_NOT_FRAGMENT and bool(flags & SINGLETON) and source != NONE_EID


def cut(bundle: Bundle, at: Sequence[int]) -> list[Bundle]:
    """Pieces of its payload, cut at these places (ascending, in bytes of its own payload), not yet
    signed. UsageError where that may not be."""
    size = len(bundle.content)
    if not may_be_cut(bundle.flags, bundle.source):
        raise UsageError(f"bundle {bundle.id} must not be fragmented")
    bounds = [0, *at, size]
    if any(start >= end for start, end in pairwise(bounds)):
        raise UsageError(f"a payload of {size} bytes cannot be cut at {list(at)}")
    return [_piece(bundle, start, end) for start, end in pairwise(bounds)]


def cut_to_fit(
    bundle: Bundle, limit_bytes: int, finish: Callable[[Bundle], Bundle]
) -> list[Bundle]:
    """Pieces that, once `finish`ed (signed, and with the blocks that a hop adds), are at most
    `limit_bytes` long; not finished yet. CapacityError when not even one byte would fit."""
    size = len(bundle.content)

    def room(start: int, end: int) -> int:
        piece = _piece(bundle, start, end)
        empty = replace(piece, blocks=tuple(_emptied(block) for block in piece.blocks))
        return limit_bytes - len(finish(empty).encode()) - _SLACK_BYTES

    first, middle, last = room(0, 1), room(1, 1), room(size, size)
    if min(first, middle, last) < 1:
        raise CapacityError(f"no piece of bundle {bundle.id} is within {limit_bytes} bytes")
    places = [first]
    while places[-1] + last < size:
        places.append(min(places[-1] + middle, size - 1))
    return cut(bundle, places)


def begun(part: Bundle, length: int) -> Bundle:
    """The fragment of a bundle that broke off (see Bundle.parse_part), whose payload was to be
    `length` bytes long."""
    place = part.fragment or Fragment(0, length)
    kept = tuple(block for block in part.blocks if not speaks_for_a_fragment(block))
    return replace(part, blocks=kept, fragment=place)


def join(pieces: Sequence[Bundle]) -> Bundle:
    """The whole of its fragments, which may overlap; WireError when they are none of one whole, or
    leave a gap."""
    ordered = sorted(pieces, key=_place)
    first, last = ordered[0], max(ordered, key=_end)
    total = first.fragment.total if first.fragment else 0
    parts: list[Content] = []
    there = 0
    for piece in ordered:
        if piece.id.whole != first.id.whole or not piece.fragment or piece.fragment.total != total:
            raise WireError("fragments of different bundles")
        start = there - piece.fragment.offset
        if start < 0:
            raise WireError(f"fragments that leave a gap at byte {there}")
        size = len(piece.content)
        if start < size:
            parts.append(stretch(piece.content, start, size - start))
            there += size - start
    if there != total:
        raise WireError(f"fragments of {there} bytes, of {total}")
    before, head, _ = _around(first)
    whole = (*before, blocks.with_content(head, joined(parts)), *_around(last)[2])
    kept = tuple(block for block in whole if not speaks_for_a_fragment(block))
    return replace(first, blocks=kept, fragment=None)


def _piece(bundle: Bundle, start: int, end: int) -> Bundle:
    before, payload, after = _around(bundle)
    size = len(payload.content)
    place = bundle.fragment or Fragment(0, size)
    kept = [block for block in before if start == 0 or block.flags & blocks.IN_EVERY_FRAGMENT]
    kept.append(blocks.with_content(payload, stretch(payload.content, start, end - start)))
    kept += [block for block in after if end == size or block.flags & blocks.IN_EVERY_FRAGMENT]
    return replace(
        bundle,
        blocks=tuple(block for block in kept if not speaks_for_a_fragment(block)),
        fragment=Fragment(place.offset + start, place.total),
    )


def _around(bundle: Bundle) -> tuple[list[Block], Block, list[Block]]:
    """Blocks before the payload, the payload's, blocks after it."""
    kinds = [block.kind for block in bundle.blocks]
    if blocks.PAYLOAD not in kinds:
        raise WireError(f"bundle {bundle.id} has no payload")
    at = kinds.index(blocks.PAYLOAD)
    return list(bundle.blocks[:at]), bundle.blocks[at], list(bundle.blocks[at + 1 :])


def _emptied(block: Block) -> Block:
    return blocks.with_content(block, b"") if block.kind == blocks.PAYLOAD else block


def _place(piece: Bundle) -> int:
    return piece.fragment.offset if piece.fragment else 0


def _end(piece: Bundle) -> int:
    return _place(piece) + len(piece.content)
