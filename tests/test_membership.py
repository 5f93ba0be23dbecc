from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Wall
from radics_mesh.codec import pack
from radics_mesh.errors import MeshError, PeerError, UsageError, WireError
from radics_mesh.identity import Identity
from radics_mesh.membership import (
    CHAIN_MAX_BYTES,
    Chain,
    Mesh,
    Token,
    Verifier,
    found,
    invite,
    issue,
)
from tests.strategies import msgpack_values

NOW = Wall(1_800_000_000.0)
LATER = Wall(NOW + 1000)
FIRST = Identity(bytes(range(32)))
SECOND = Identity(bytes(range(1, 33)))
GENESIS, MESH, CHAIN = found(FIRST, "first", NOW)


def second_chain() -> Chain:
    return invite(FIRST, CHAIN, SECOND.public, "second", LATER)


def test_a_chain_verifies_from_the_mesh_id_alone() -> None:
    chain = Chain.parse(second_chain().pack())
    assert Mesh(GENESIS.public, b"").verify(chain, NOW).node_id == SECOND.node_id


def test_a_chain_of_another_mesh_is_refused() -> None:
    _, other, _ = found(FIRST, "first", NOW)
    with pytest.raises(PeerError, match="another mesh"):
        other.verify(second_chain(), NOW)


def test_an_expired_certificate_is_refused_but_not_by_an_unset_clock() -> None:
    with pytest.raises(PeerError, match="expired"):
        MESH.verify(second_chain(), Wall(LATER + 1))
    assert MESH.verify(second_chain(), Wall(5.0)).public == SECOND.public


def test_the_verifier_forgets_no_expiry() -> None:
    verifier, packed = Verifier(MESH), second_chain().pack()
    assert verifier.member(packed, NOW).public == SECOND.public
    with pytest.raises(PeerError, match="expired"):
        verifier.member(packed, Wall(LATER + 1))


def test_a_self_made_certificate_is_refused() -> None:
    mallory = Identity(b"m" * 32)
    forged = issue(
        mallory, MESH.mesh_id, mallory.public, expiry=LATER, may_invite=True, depth=3, name="m"
    )
    for chain in (Chain((forged,)), Chain((*CHAIN.certificates, forged))):
        with pytest.raises(PeerError, match="bad signature"):
            MESH.verify(chain, NOW)


def test_an_invited_one_may_not_grant_more_than_it_has() -> None:
    one = issue(
        FIRST, MESH.mesh_id, SECOND.public, expiry=LATER, may_invite=False, depth=0, name=""
    )
    chain = Chain((*CHAIN.certificates, one))
    third = Identity(b"3" * 32)
    with pytest.raises(UsageError, match="does not let it invite"):
        invite(SECOND, chain, third.public, "third", LATER)
    taken = issue(
        SECOND, MESH.mesh_id, third.public, expiry=LATER, may_invite=False, depth=0, name=""
    )
    with pytest.raises(PeerError, match="deeper"):
        MESH.verify(Chain((*chain.certificates, taken)), NOW)


def test_invitations_end_before_the_chain_grows_past_its_limit() -> None:
    holder, chain = FIRST, CHAIN
    while chain.member.may_invite:
        guest = Identity(bytes([len(chain.certificates)]) * 32)
        chain = invite(holder, chain, guest.public, "n", LATER)
        holder = guest
        assert MESH.verify(chain, NOW).public == guest.public
        assert len(chain.pack()) <= CHAIN_MAX_BYTES
    with pytest.raises(UsageError, match="does not let it invite"):
        invite(holder, chain, SECOND.public, "n", LATER)


@given(st.integers(0, 600), st.integers(1, 255))
def test_a_flipped_byte_never_verifies(position: int, flip: int) -> None:
    packed = bytearray(second_chain().pack())
    packed[position % len(packed)] ^= flip
    with pytest.raises(MeshError):
        MESH.verify(Chain.parse(bytes(packed)), NOW)


@given(msgpack_values)
def test_any_value_is_a_chain_or_a_wire_error(value: object) -> None:
    with contextlib.suppress(WireError):
        Chain.parse(pack(value))


def test_a_token_survives_its_text_form_and_damage_is_a_usage_error() -> None:
    token = Token(MESH.mesh_id, FIRST.public, b"s" * 16, "10.0.0.7", 5050, ("10.1.0.7", "fe80::1"))
    assert Token.parse(token.text() + "\n") == token
    for damaged in (token.text()[:-5], "hello", token.text() + "!", ""):
        with pytest.raises(UsageError):
            Token.parse(damaged)


def test_a_changed_field_breaks_the_signature() -> None:
    own = second_chain().member
    raised = replace(own, expiry=Wall(own.expiry + 1))
    with pytest.raises(PeerError, match="bad signature"):
        MESH.verify(Chain((*CHAIN.certificates, raised)), NOW)
