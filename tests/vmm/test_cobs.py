"""Byte stuffing."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import WireError
from radics_mesh.vmm import cobs

NO_ZERO = bytes(range(1, 255))


@pytest.mark.parametrize(
    ("data", "encoded"),
    [
        # Cheshire and Baker's examples, and the edges of the full block.
        (b"", b"\x01"),
        (b"\0", b"\x01\x01"),
        (b"\0\0", b"\x01\x01\x01"),
        (b"\x11\x22\0\x33", b"\x03\x11\x22\x02\x33"),
        (b"\x11\0\0\0", b"\x02\x11\x01\x01\x01"),
        (NO_ZERO, b"\xff" + NO_ZERO),
        (NO_ZERO + b"\0", b"\xff" + NO_ZERO + b"\x01\x01"),
        (NO_ZERO + b"\xff", b"\xff" + NO_ZERO + b"\x02\xff"),
        (b"\0" + NO_ZERO, b"\x01\xff" + NO_ZERO),
        (NO_ZERO[1:] + b"\0\1", b"\xfe" + NO_ZERO[1:] + b"\x02\x01"),
    ],
)
def test_known_encodings(data: bytes, encoded: bytes) -> None:
    assert cobs.encode(data) == encoded
    assert cobs.decode(encoded) == data


chunks = st.one_of(st.binary(max_size=40), st.just(b"\0"), st.integers(250, 520).map(b"x".__mul__))


@given(st.lists(chunks, max_size=8).map(b"".join))
def test_round_trip(data: bytes) -> None:
    encoded = cobs.encode(data)
    assert b"\0" not in encoded
    assert len(encoded) <= cobs.encoded_max(len(data))
    assert cobs.decode(encoded) == data


@given(st.binary(max_size=600))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    with suppress(WireError):
        assert len(cobs.decode(data)) <= len(data)


@pytest.mark.parametrize("data", [b"\x02", b"\xff123", b"\x03\x01", b"\x02\0"])
def test_broken_blocks_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        cobs.decode(data)
