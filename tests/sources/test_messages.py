"""The wire forms of the subscription protocol."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import pack
from radics_mesh.errors import WireError
from radics_mesh.ids import Eid, VmId
from radics_mesh.sources.messages import (
    Ack,
    Data,
    Fence,
    Key,
    Message,
    Refusal,
    Refused,
    Subscribe,
    Unsubscribe,
    encode,
    parse,
)

numbers = st.integers(0, 1 << 40)
fences = st.builds(Fence, st.integers(0, 1 << 32), numbers)
keys = st.builds(
    Key,
    st.text(max_size=20),
    st.sampled_from([VmId(b"v" * 20).eid, Eid("dtn://x/y")]),
    fences,
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Subscribe, keys, numbers, st.just(0), numbers, st.binary(max_size=50)),
    st.builds(
        Data,
        keys,
        st.integers(1, 1 << 40),
        st.lists(st.binary(max_size=20), max_size=5).map(tuple),
        st.booleans(),
    ),
    st.builds(Ack, keys, numbers),
    st.builds(Unsubscribe, keys, numbers, numbers),
    st.builds(Refused, keys, st.sampled_from(Refusal), fences),
)


@given(messages)
def test_round_trip(message: Message) -> None:
    assert parse(encode(message)) == message


@given(
    st.binary() | st.recursive(st.none() | st.integers(0, 1 << 63) | st.text(), st.lists).map(pack)
)
def test_any_bytes_are_a_message_or_a_wire_error(payload: bytes) -> None:
    try:
        message = parse(payload)
    except WireError:
        return
    assert parse(encode(message)) == message


def test_a_subscriber_cannot_have_acknowledged_more_than_it_has() -> None:
    key = Key("s", Eid("dtn://x/y"), Fence(1, 1))
    with pytest.raises(WireError, match="more than came"):
        parse(encode(Subscribe(key, 1, 5, 4, b"")))
