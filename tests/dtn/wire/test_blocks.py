"""Previous hop and Age blocks, in the forms that are really sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.dtn.wire import blocks, sdnv
from radics_mesh.dtn.wire.blocks import Block, Dictionary, Names
from radics_mesh.errors import WireError
from radics_mesh.ids import NONE_EID, Eid
from tests.dtn.bundles import eids, plain


@given(eids)
def test_previous_hop(eid: Eid) -> None:
    assert blocks.read_previous_hop(blocks.previous_hop(eid)) == eid
    assert blocks.read_previous_hop(Block(blocks.PREVIOUS_HOP, 0, b"", (eid,))) == eid


@given(st.binary(max_size=20))
def test_any_previous_hop(data: bytes) -> None:
    try:
        blocks.read_previous_hop(Block(blocks.PREVIOUS_HOP, 0, data))
    except WireError:
        return


@given(st.integers(0, sdnv.MAX_VALUE))
def test_age(age_us: int) -> None:
    assert blocks.read_age(blocks.age(age_us)) == age_us
    assert plain(extra=(blocks.age(age_us),)).age_us == age_us


def test_age_of_ibr_dtn() -> None:
    assert blocks.read_age(Block(blocks.AGE_OF_OTHERS, 1, sdnv.encode(5_000_000))) == 5_000_000


def test_a_custody_block_is_no_age() -> None:
    assert blocks.read_age(Block(blocks.AGE_OF_OTHERS, 0, b"\x05ipn:1.0")) is None
    assert blocks.read_age(Block(blocks.AGE_OF_OTHERS, 0, b"\xff" * 12)) is None


@pytest.mark.parametrize("data", [b"", b"\x80", b"\x01\x02", b"\xff" * 12])
def test_an_age_that_is_no_number(data: bytes) -> None:
    with pytest.raises(WireError):
        blocks.read_age(Block(blocks.AGE, 1, data))


@given(st.lists(eids, min_size=1, max_size=6))
def test_a_dictionary_gives_back_what_went_in(some: list[Eid]) -> None:
    dictionary = Dictionary(some)
    names = Names(dictionary.packed)
    for eid in some:
        first, offset = blocks.number(dictionary.pair(eid), 0)
        second, _ = blocks.number(dictionary.pair(eid), offset)
        assert names.eid(first, second) == eid


def test_odd_ipn_names_survive_in_a_dictionary() -> None:
    for text in ("ipn:01.1", "ipn:0.0", "ipn:1", f"ipn:{1 << 64}.1"):
        dictionary = Dictionary([Eid(text)])
        first, offset = blocks.number(dictionary.pair(Eid(text)), 0)
        second, _ = blocks.number(dictionary.pair(Eid(text)), offset)
        assert Names(dictionary.packed).eid(first, second) == text
    assert Dictionary([NONE_EID, Eid("ipn:1.0")]).packed == b""


@pytest.mark.parametrize("dictionary", [b"dtn", b"dtn\0none", b"d\xc3\xa9\0x\0"])
def test_bad_dictionaries(dictionary: bytes) -> None:
    with pytest.raises(WireError):
        Names(dictionary).eid(0, 4)
