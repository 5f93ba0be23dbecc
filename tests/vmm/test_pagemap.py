"""What two nodes tell each other of a guest's pages: deltas, in few bytes, from anybody."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import WireError
from radics_mesh.vmm.pagemap import (
    decode,
    decode_indices,
    digest_of,
    encode,
    encode_indices,
)

MEMORY_BYTES = 16 << 20
PAGES = st.dictionaries(
    st.integers(256, 4095), st.integers(0, 5).map(lambda n: hashlib.sha256(b"%d" % n).digest())
)


@given(PAGES, PAGES, st.binary(max_size=40))
def test_a_delta_makes_the_new_map_of_the_old_one(
    before: dict[int, bytes], after: dict[int, bytes], tail: bytes
) -> None:
    made, brought = decode(encode(before, after, tail), before, MEMORY_BYTES)
    assert (made, brought) == (after, tail)
    assert digest_of(made) == digest_of(dict(sorted(after.items())))


def test_a_delta_is_as_long_as_what_changed() -> None:
    before = {number: hashlib.sha256(b"%d" % number).digest() for number in range(256, 4096)}
    after = {**before, 300: bytes(32), 301: bytes(31) + b"1"}
    assert len(encode(before, before)) < 40
    assert len(encode(before, after)) < 140
    assert len(encode({}, after)) > 3800 * 32


def test_a_delta_to_another_map_is_refused() -> None:
    delta = encode({300: bytes(32)}, {})
    with pytest.raises(WireError, match="not there"):
        decode(delta, {}, MEMORY_BYTES)


@pytest.mark.parametrize("page", [0, 255, 4096])
def test_a_page_that_no_guest_has_is_refused(page: int) -> None:
    with pytest.raises(WireError, match="page map"):
        decode(encode({}, {page: bytes(32)}), {}, MEMORY_BYTES)


def test_a_bomb_is_refused() -> None:
    with pytest.raises(WireError, match="too long"):
        decode(encode({}, {}, bytes(64 << 20)), {}, MEMORY_BYTES)
    with pytest.raises(WireError):
        decode_indices(encode_indices([9], 1 << 20), 1000)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_map_or_a_wire_error(data: bytes) -> None:
    for take in (lambda: decode(data, {}, MEMORY_BYTES), lambda: decode_indices(data, 100)):
        try:
            take()
        except WireError:
            continue


@given(st.sets(st.integers(0, 999)))
def test_indices_survive_the_wire(indices: set[int]) -> None:
    assert decode_indices(encode_indices(indices, 1000), 1000) == sorted(indices)
    with pytest.raises(WireError):
        decode_indices(encode_indices([7], 8), 7)


def test_nothing_lacking_takes_next_to_no_bytes() -> None:
    assert len(encode_indices([], 131_072)) < 40
