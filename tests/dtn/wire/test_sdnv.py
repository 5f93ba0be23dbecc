"""SDNVs: the examples of RFC 5050 section 4.1, any value, any bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.dtn.wire import sdnv
from radics_mesh.errors import UsageError, WireError


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (0x7F, "7f"), (0xABC, "953c"), (0x1234, "a434"), (0x4234, "818434")],
)
def test_examples_of_the_rfc(value: int, encoded: str) -> None:
    assert sdnv.encode(value) == bytes.fromhex(encoded)
    assert sdnv.decode(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


@given(st.integers(0, sdnv.MAX_VALUE), st.binary(max_size=4), st.binary(max_size=4))
def test_round_trip_anywhere(value: int, before: bytes, after: bytes) -> None:
    encoded = sdnv.encode(value)
    end = len(before) + len(encoded)
    assert sdnv.decode(before + encoded + after, len(before)) == (value, end)


@given(st.integers(0, sdnv.MAX_VALUE))
def test_every_proper_prefix_needs_more(value: int) -> None:
    encoded = sdnv.encode(value)
    for length in range(len(encoded)):
        assert sdnv.decode(encoded[:length]) is None


@given(st.binary(max_size=24), st.integers(0, 24))
def test_any_bytes_give_a_value_or_wire_error(data: bytes, offset: int) -> None:
    try:
        decoded = sdnv.decode(data, offset)
    except WireError:
        return
    if decoded is not None:
        value, end = decoded
        assert 0 <= value <= sdnv.MAX_VALUE
        assert offset < end <= min(len(data), offset + sdnv.MAX_BYTES)


def test_padded_forms_are_read() -> None:
    assert sdnv.decode(b"\x80\x80\x05") == (5, 3)


def test_too_long_and_too_big() -> None:
    with pytest.raises(WireError):
        sdnv.decode(b"\x80" * 10)
    with pytest.raises(WireError):
        sdnv.decode(b"\x83" + b"\xff" * 8 + b"\x7f")
    for value in (-1, 1 << 64):
        with pytest.raises(UsageError):
            sdnv.encode(value)
