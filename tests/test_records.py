from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Wall
from radics_mesh.codec import pack
from radics_mesh.errors import MeshError, PeerError, UsageError, WireError
from radics_mesh.identity import Identity
from radics_mesh.membership import Grant, Verifier, found, invite
from radics_mesh.records import RECORD_MAX_BYTES, Kind, Record, sign
from radics_mesh.roles import Role
from tests.strategies import msgpack_values

NOW = Wall(1_800_000_000.0)
NODE = Identity(b"n" * 32)
_, MESH, CHAIN = found(NODE, "n", NOW)
PACKED_CHAIN = CHAIN.pack()


def make(kind: Kind = Kind.SOURCE, subject: str = "camera/door", **body: object) -> Record:
    return sign(NODE, PACKED_CHAIN, kind, subject, sequence=7, ttl_s=60, body=body)


def test_a_record_arrives_as_it_was_signed_and_older() -> None:
    record = Record.parse(make(rate=12.5).pack(age_s=3.5), Verifier(MESH), NOW)
    assert record.age_s == 3.5
    assert (record.kind, record.subject, record.sequence) == (Kind.SOURCE, "camera/door", 7)
    assert record.body == {"rate": 12.5}
    assert record.publisher == NODE.node_id


@pytest.mark.parametrize("number", [float("nan"), float("-inf"), 1e300, -1e19, (1 << 64) - 1])
def test_numbers_that_no_fact_has_are_refused(number: float) -> None:
    """They would end whoever rounds them or packs them again: int(nan), 2**64 in msgpack."""
    with pytest.raises(WireError, match="number"):
        make(memory=number)
    with pytest.raises(WireError, match="number"):
        make(neighbours=[["id", {"rtt": number}]])
    assert make(memory=1 << 63, rate=-1.5).body["rate"] == -1.5


def test_nobody_speaks_for_another_node() -> None:
    other = Identity(b"o" * 32).node_id.text
    with pytest.raises(PeerError, match="another node"):
        Record.parse(make(Kind.NODE, other).pack(0), Verifier(MESH), NOW)
    own = make(Kind.NODE, NODE.node_id.text)
    assert Record.parse(own.pack(0), Verifier(MESH), NOW) == own


def test_a_signer_without_a_chain_of_its_own_is_refused() -> None:
    mallory = Identity(b"m" * 32)
    forged = sign(mallory, PACKED_CHAIN, Kind.SOURCE, "x", sequence=1, ttl_s=60, body={})
    with pytest.raises(PeerError, match="another key"):
        Record.parse(forged.pack(0), Verifier(MESH), NOW)


@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_only_changes_the_age(position: int, flip: int) -> None:
    honest = make(rate=1)
    data = bytearray(honest.pack(0))
    data[position % len(data)] ^= flip
    try:
        record = Record.parse(bytes(data), Verifier(MESH), NOW)
    except MeshError:
        return
    assert record.statement == honest.statement
    assert record.age_s >= 0


@given(msgpack_values)
def test_any_value_is_a_record_or_a_wire_error(value: object) -> None:
    with contextlib.suppress(WireError):
        Record.parse(pack(value), Verifier(MESH), NOW)


def test_a_record_too_long_for_a_datagram_is_the_callers_error() -> None:
    with pytest.raises(UsageError, match="too long"):
        make(note="x" * RECORD_MAX_BYTES)


def test_kinds_have_keys_of_their_own() -> None:
    assert len({make(kind, "x" * 32).key for kind in Kind}) == len(Kind)


@pytest.mark.parametrize("kind", [Kind.SOURCE, Kind.VM, Kind.VM_NAME, Kind.CHECKPOINT, Kind.IMAGE])
def test_nobody_states_what_its_role_does_not_allow(kind: Kind) -> None:
    weak = Identity(b"w" * 32)
    grant = Grant(Role.OBSERVE | (Role.RUN if kind is Kind.SOURCE else Role.PUBLISH))
    chain = invite(NODE, CHAIN, weak.public, "weak", Wall(NOW + 1000), grant).pack()
    said = sign(weak, chain, kind, "x", sequence=1, ttl_s=60, body={})
    with pytest.raises(PeerError, match=f"weak .* may not state {kind} records: .* the role"):
        Record.parse(said.pack(0), Verifier(MESH), NOW)
    own = sign(weak, chain, Kind.NODE, weak.node_id.text, sequence=1, ttl_s=60, body={})
    assert Record.parse(own.pack(0), Verifier(MESH), NOW) == own
