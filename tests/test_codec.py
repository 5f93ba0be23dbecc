from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import DEPTH_MAX, Fields, pack, unpack
from radics_mesh.errors import WireError
from tests.strategies import msgpack_values, scalars


@given(msgpack_values.filter(lambda value: "nan" not in repr(value)))
def test_round_trip(value: object) -> None:
    assert unpack(pack(value)) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_a_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        unpack(data)


def test_deep_nesting_is_refused_not_a_crash() -> None:
    with pytest.raises(WireError):
        unpack(b"\x91" * 100_000 + b"\xc0")


def test_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(WireError, match="at most 10"):
        unpack(pack(b"x" * 20), limit_bytes=10)


takers: list[Callable[[Fields], object]] = [
    lambda f: f.integer(0, 100),
    lambda f: f.boolean(),
    lambda f: f.number(),
    lambda f: f.blob(4),
    lambda f: f.text(limit=4),
    lambda f: f.items(limit=3),
    lambda f: f.mapping(limit=3),
]


@given(scalars | st.lists(scalars, max_size=5), st.sampled_from(takers))
def test_a_field_of_another_type_is_a_wire_error(
    item: object, take: Callable[[Fields], object]
) -> None:
    fields = Fields([item], "test")
    try:
        taken = take(fields)
    except WireError:
        return
    assert taken == item
    fields.end()


def test_a_bool_is_no_integer_and_a_missing_item_is_named() -> None:
    with pytest.raises(WireError, match="item 0 is True"):
        Fields([True], "thing").integer()
    with pytest.raises(WireError, match="thing: item 0 is missing"):
        Fields([], "thing").integer()
    with pytest.raises(WireError, match="1 items too many"):
        Fields([1], "thing").end()


@pytest.mark.parametrize("opening", [b"\x91", b"\x81\x01"])
def test_nesting_that_nobody_could_look_at_is_a_wire_error(opening: bytes) -> None:
    """repr() of a value that is 1000 deep ends in RecursionError."""
    unpack(opening * DEPTH_MAX + b"\x01")
    for depth in (DEPTH_MAX + 1, 1000, 100_000):
        with pytest.raises(WireError):
            unpack(opening * depth + b"\x01")
