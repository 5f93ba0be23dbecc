"""Names, receipts and choices of carried bundles: no files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import EARLIEST_PLAUSIBLE, Wall
from radics_mesh.config import Foreign
from radics_mesh.dtn.layers import carried
from radics_mesh.dtn.layers.carried import Receipt, ReceiptName, Written
from radics_mesh.dtn.wire.bundle import Bundle, BundleId
from radics_mesh.errors import WireError
from radics_mesh.ids import Eid, NodeId
from tests.dtn.world import START, HandClock, Members, made

A, B = NodeId(b"a" * 20), NodeId(b"b" * 20)
NUMBER = st.integers(0, (1 << 53) - 1)


@given(NUMBER, NUMBER)
def test_names_say_what_they_were_made_of(key: int, moment: int) -> None:
    assert Written.parse(Written(A, key, moment).text) == Written(A, key, moment)
    name = ReceiptName(A, B, moment, key)
    assert ReceiptName.parse(name.text) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".bundle",
        "letter.bundle",
        f"{A.text}.1.bundle",
        f"{A.text}.x.2.bundle",
        f"{A.text}.1.{'9' * 40}.bundle",
        f"{A.text[1:]}.1.2.bundle",
        f"{A.text}.²,.2.bundle",
    ],
)
def test_a_name_that_is_none_of_ours_says_nothing(name: str) -> None:
    assert Written.parse(name) is None


@given(st.lists(st.tuples(NUMBER, NUMBER), max_size=5))
def test_a_receipt_says_what_was_taken(pairs: list[tuple[int, int]]) -> None:
    receipt = Receipt(tuple((key, BundleId(A.eid, 5, number)) for key, number in pairs))
    assert Receipt.parse(receipt.pack()) == receipt


@given(st.binary(max_size=200))
def test_any_other_bytes_are_no_receipt(data: bytes) -> None:
    try:
        Receipt.parse(data)
    except WireError:
        pass
    else:
        assert Receipt.parse(data).pack() == data


def test_many_bundles_make_several_receipts() -> None:
    taken = [(number, BundleId(A.eid, 1, number)) for number in range(2500)]
    made = carried.receipts(taken)
    assert [pair for receipt in made for pair in receipt.taken] == taken
    assert len(made) == 3
    assert all(Receipt.parse(receipt.pack()) == receipt for receipt in made)


def test_only_others_bundles_are_read_in_the_order_of_their_arrival_there() -> None:
    known = Written(B, 7, 5).text
    names = [Written(A, 3, 9).text, Written(B, 20, 5).text, Written(B, 4, 6).text, known]
    names += ["x.bundle", f"{B.text}.card", "notes.txt"]
    assert carried.to_read(A, names, {known}) == ["x.bundle", names[2], names[1]]


def test_a_bundle_ages_on_the_stick_as_far_as_clocks_can_tell() -> None:
    bundle = Bundle.parse(made(Members(HandClock()).me("a"), B.service("x")))
    written = Written(A, 1, int(START))
    assert carried.aged(bundle, written, Wall(START + 60)).age_us == 60_000_000
    assert carried.aged(bundle, written, Wall(START - 60)) is bundle  # a clock that was set back
    assert carried.aged(bundle, written, Wall(0.0)) is bundle
    assert carried.aged(bundle, Written(A, 1, 0), Wall(START)) is bundle
    assert carried.aged(bundle, None, Wall(START)) is bundle
    assert carried.aged(bundle, Written(A, 1, int(EARLIEST_PLAUSIBLE) - 9), START) is bundle


def test_a_file_is_the_same_bundle_at_another_age_only() -> None:
    me = Members(HandClock()).me("a")
    raw, other = made(me, B.service("x")), made(me, B.service("x"), sequence=2)
    older = carried.aged(Bundle.parse(raw), Written(A, 1, int(START)), Wall(START + 9))
    assert carried.is_same(raw, older)
    assert not carried.is_same(other, older)
    assert not carried.is_same(raw[:-1], older)
    flipped = bytearray(raw)
    flipped[-3] ^= 1
    assert not carried.is_same(bytes(flipped), older)


def test_a_listed_foreign_peer_is_known_by_the_source() -> None:
    listed = Foreign(Eid("dtn://ibr/"), None, "192.0.2.1", ("echo",))
    me = Members(HandClock()).me("a")
    bundle = Bundle.parse(made(me, B.service("x")))
    assert carried.brought_by(Written(A, 1, 1), bundle, [listed]) == A
    assert carried.brought_by(None, bundle, [listed]) is carried.UNKNOWN
    named = Foreign(me.node_id.eid, None, "", ())
    assert carried.brought_by(None, bundle, [listed, named]) is named
