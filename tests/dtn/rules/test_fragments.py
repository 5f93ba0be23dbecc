"""Cutting and joining: blocks, sizes, signatures, shuffled and overlapping pieces."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from radics_mesh.clock import Monotonic
from radics_mesh.dtn.rules.fragments import cut, cut_to_fit, join
from radics_mesh.dtn.rules.processing import depart, originate
from radics_mesh.dtn.rules.reassembly import Reassembly
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.trust.security import BundleVerifier, sign
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import MUST_NOT_FRAGMENT, SINGLETON, Bundle, BundleId, Fragment
from radics_mesh.errors import CapacityError, PeerError, UsageError, WireError
from radics_mesh.ids import NONE_EID
from tests.dtn.bundles import bundles, dtn_eids, plain
from tests.dtn.world import START, HandClock, Members

MEMBERS = Members(HandClock())
A, B = MEMBERS.me("a"), MEMBERS.me("b")


def signed(payload: bytes, lifetime_s: int = 60) -> Bundle:
    return originate(
        A,
        B.node_id.service("inbox"),
        payload,
        source=A.identity.eid,
        stamp=(7, 9),
        lifetime_s=lifetime_s,
        ownership=b"",
        priority=1,
    )


def finish(piece: Bundle) -> Bundle:
    return depart(sign(piece, B.identity, B.chain), B.identity.eid, 1 << 60, B.identity.eid)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Bundle, list[int]]:
    """A bundle that may be cut, and where."""
    bundle = draw(bundles(dtn_eids))
    content = draw(st.binary(min_size=2, max_size=60))
    changed = [
        replace(block, data=content)
        if block.kind == blocks.PAYLOAD
        else replace(block, kind=max(4, block.kind))  # no PIBs that mean nothing
        for block in bundle.blocks
    ]
    flags = bundle.flags & ~MUST_NOT_FRAGMENT | SINGLETON
    bundle = replace(bundle, flags=flags, blocks=tuple(changed))
    if bundle.fragment:
        offset = bundle.fragment.offset
        bundle = replace(bundle, fragment=Fragment(offset, offset + len(content)))
    places = draw(st.sets(st.integers(1, len(bundle.payload) - 1), max_size=6))
    return bundle, sorted(places)


@given(cuts(), st.randoms())
def test_cut_and_joined_is_the_same(made: tuple[Bundle, list[int]], dice: random.Random) -> None:
    bundle, places = made
    whole = replace(bundle, fragment=None)
    pieces = [Bundle.parse(piece.encode()) for piece in cut(whole, places)]
    dice.shuffle(pieces)
    joined = join(pieces)
    assert joined.payload == whole.payload
    assert joined == whole


@given(cuts())
def test_pieces_of_pieces_stay_within_their_whole(
    made: tuple[Bundle, list[int]],
) -> None:
    bundle, places = made
    for piece in cut(bundle, places):
        assert piece.fragment is not None
        if len(piece.payload) > 1:
            for smaller in cut(piece, [1]):
                assert smaller.fragment is not None
                assert smaller.fragment.total == piece.fragment.total
                start = smaller.fragment.offset - piece.fragment.offset
                assert piece.payload[start:].startswith(smaller.payload)


def test_blocks_go_where_rfc_5050_says() -> None:
    every, first, behind = Block(200, blocks.IN_EVERY_FRAGMENT, b"e"), Block(201, 0, b"f"), 202
    after = Block(behind, 0, b"a")
    always = Block(203, blocks.IN_EVERY_FRAGMENT, b"l")
    bundle = plain(payload=b"123456789", extra=(every, first))
    bundle = bundle.with_blocks((*bundle.blocks, after, always))
    kinds = [[block.kind for block in piece.blocks] for piece in cut(bundle, [3, 6])]
    assert kinds == [[200, 201, 1, 203], [200, 1, 203], [200, 1, 202, 203]]
    assert [piece.fragment for piece in cut(bundle, [3])] == [Fragment(0, 9), Fragment(3, 9)]


@pytest.mark.parametrize("at", [[0], [9], [3, 3], [5, 4]])
def test_impossible_cuts(at: list[int]) -> None:
    with pytest.raises(UsageError):
        cut(plain(payload=b"123456789"), at)


def test_what_must_not_be_cut() -> None:
    for bundle in (
        replace(plain(), flags=MUST_NOT_FRAGMENT),
        plain(source=NONE_EID),
    ):
        with pytest.raises(UsageError):
            cut(bundle, [3])


@given(st.integers(0, 3000), st.integers(1500, 2500))
@settings(max_examples=30, deadline=None)
def test_pieces_fit(size: int, limit_bytes: int) -> None:
    bundle = signed(bytes(size))
    assume(len(finish(bundle).encode()) > limit_bytes)
    pieces = cut_to_fit(bundle, limit_bytes, finish)
    assert all(len(finish(piece).encode()) <= limit_bytes for piece in pieces)
    assert join([finish(piece) for piece in pieces]).payload == bytes(size)


def test_a_limit_below_everything() -> None:
    with pytest.raises(CapacityError):
        cut_to_fit(signed(bytes(1000)), 200, finish)


def test_signatures_of_pieces_and_of_the_whole() -> None:
    verifier = BundleVerifier(A.verifier)
    bundle = signed(bytes(range(100)))
    pieces = [sign(piece, B.identity, B.chain) for piece in cut(bundle, [30, 60])]
    for piece in pieces:
        again = Bundle.parse(finish(piece).encode())
        said = verifier.verify(again, START)
        assert said is not None
        assert said.signer == B.node_id
        forged = replace(again, fragment=Fragment(again.fragment.offset + 1, 101))  # type: ignore[union-attr]
        assert verifier.verify(forged, START) is None  # no signature for that place
    joined = join([Bundle.parse(piece.encode()) for piece in reversed(pieces)])
    said = verifier.verify(joined, START)
    assert said is not None
    assert said.signer == A.node_id
    wrong = replace(pieces[1], blocks=(Block(blocks.PAYLOAD, 0, bytes(30)),))
    with pytest.raises(PeerError):
        verifier.verify(join([pieces[0], wrong, pieces[2]]), START)


def test_what_cannot_be_joined() -> None:
    first, second, third = cut(plain(payload=b"123456789"), [3, 6])
    with pytest.raises(WireError):
        join([first, third])
    with pytest.raises(WireError):
        join([first, second])
    with pytest.raises(WireError):
        join([first, second, replace(third, sequence=2)])
    with pytest.raises(WireError):
        join([first, second, replace(third, fragment=Fragment(6, 10))])


@given(st.binary(min_size=1, max_size=60), st.data())
def test_a_part_of_a_bundle(payload: bytes, data: st.DataObject) -> None:
    raw = depart(signed(payload), A.identity.eid, 5).encode()
    end = data.draw(st.integers(0, len(raw)))
    whole = Bundle.parse(raw)
    begins = len(raw) - len(payload)
    if end <= begins:
        with pytest.raises(WireError):
            Bundle.parse_part(raw[:end])
        return
    part, length = Bundle.parse_part(raw[:end])
    assert length == len(payload)
    assert part.payload == payload[: end - begins]
    assert part.with_blocks(()) == whole.with_blocks(())


# --- which fragments make a whole ---


def held(offset: int, length: int, total: int = 30, sequence: int = 1) -> Held:
    return Held(
        bundle_id=BundleId(A.identity.eid, 1, sequence, offset, length),
        destination=B.identity.eid,
        priority=1,
        lifetime_s=60,
        age_us=0,
        received=Monotonic(1.0),
        previous=None,
        signer=None,
        total=total,
    )


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(1, 30)), max_size=20))
def test_a_whole_is_there_when_every_byte_is(places: list[tuple[int, int]]) -> None:
    reassembly, there = Reassembly(), set[int]()
    for offset, length in places:
        one = held(offset, min(length, 30 - offset))
        span = set(range(offset, offset + min(length, 30 - offset)))
        assert reassembly.covers(one) == (span <= there)
        there |= span
        made = reassembly.add(one)
        assert made == (len(there) == 30)
        if made:
            end = 0
            for piece in next(reassembly.candidates(one.bundle_id.whole)):
                place = piece.bundle_id
                assert place.offset is not None
                assert place.length is not None
                assert place.offset <= end < place.offset + place.length
                end = place.offset + place.length
            assert end == 30
            break


def test_what_left_the_store_counts_no_more() -> None:
    reassembly = Reassembly()
    first, second, other = held(0, 10), held(10, 20), held(0, 5, total=31)
    assert not reassembly.add(first)
    assert not reassembly.add(other)
    assert not reassembly.add(held(25, 5))
    reassembly.discard(first)
    assert not reassembly.covers(first)
    assert reassembly.covers(held(25, 5))
    assert not reassembly.add(second)
    assert reassembly.add(held(0, 10))
    assert len(reassembly.forget(first.bundle_id.whole)) == 4
    assert reassembly.forget(first.bundle_id.whole) == []
