from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh import roles
from radics_mesh.clock import Wall
from radics_mesh.codec import pack
from radics_mesh.errors import MeshError, PeerError, UsageError, WireError
from radics_mesh.identity import Identity
from radics_mesh.membership import (
    CHAIN_MAX_BYTES,
    CONTEXT,
    GRACE_S,
    Certificate,
    Chain,
    Grant,
    Mesh,
    Token,
    Verifier,
    demand,
    found,
    invite,
    issue,
)
from radics_mesh.roles import ALL_ROLES, Role
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
        MESH.verify(second_chain(), Wall(LATER + GRACE_S))
    assert MESH.verify(second_chain(), Wall(5.0)).public == SECOND.public


def test_the_verifier_forgets_no_expiry() -> None:
    verifier, packed = Verifier(MESH), second_chain().pack()
    assert verifier.member(packed, NOW).public == SECOND.public
    with pytest.raises(PeerError, match="expired"):
        verifier.member(packed, Wall(LATER + GRACE_S))


def test_a_self_made_certificate_is_refused() -> None:
    mallory = Identity(b"m" * 32)
    forged = issue(
        mallory,
        MESH.mesh_id,
        mallory.public,
        expiry=LATER,
        roles=ALL_ROLES,
        depth=3,
        name="m",
        owner="m",
    )
    for chain in (Chain((forged,)), Chain((*CHAIN.certificates, forged))):
        with pytest.raises(PeerError, match="bad signature"):
            MESH.verify(chain, NOW)


def test_an_invited_one_may_not_grant_more_than_it_has() -> None:
    one = issue(
        FIRST,
        MESH.mesh_id,
        SECOND.public,
        expiry=LATER,
        roles=Role.RUN,
        depth=0,
        name="",
        owner="first",
    )
    chain = Chain((*CHAIN.certificates, one))
    third = Identity(b"3" * 32)
    with pytest.raises(UsageError, match="does not let it invite"):
        invite(SECOND, chain, third.public, "third", LATER)
    taken = issue(
        SECOND,
        MESH.mesh_id,
        third.public,
        expiry=LATER,
        roles=Role.RUN,
        depth=0,
        name="",
        owner="first",
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


def forged_chain(
    roles: Role, owner: str = "first", *, by: Identity = FIRST, under: Chain = CHAIN
) -> Chain:
    """A chain that no honest inviter would make."""
    forged = issue(
        by, MESH.mesh_id, SECOND.public, expiry=LATER, roles=roles, depth=2, name="2", owner=owner
    )
    return Chain((*under.certificates, forged))


def test_roles_and_owner_are_inherited_or_chosen() -> None:
    plain = second_chain()
    assert (plain.member.roles, plain.member.owner) == (ALL_ROLES, "first")
    chosen = invite(
        FIRST, CHAIN, SECOND.public, "2", LATER, Grant(Role.RUN | Role.OBSERVE, "alice")
    )
    member = MESH.verify(Chain.parse(chosen.pack()), NOW)
    assert (member.roles, member.owner, member.may_invite) == (
        Role.RUN | Role.OBSERVE,
        "alice",
        False,
    )
    with pytest.raises(UsageError, match="does not let it invite"):
        invite(SECOND, chosen, SECOND.public, "3", LATER)


def test_a_role_that_the_inviter_lacks_is_refused_wherever_the_chain_is_checked() -> None:
    some = forged_chain(Role.RUN | Role.INVITE)
    with pytest.raises(UsageError, match="lacks what it would give: operate"):
        invite(SECOND, some, FIRST.public, "3", LATER, Grant(Role.OPERATE))
    more = issue(
        SECOND,
        MESH.mesh_id,
        b"3" * 32,
        expiry=LATER,
        roles=Role.OPERATE,
        depth=0,
        name="3",
        owner="first",
    )
    chain = Chain((*some.certificates, more))
    with pytest.raises(PeerError, match="roles that its inviter lacks: operate"):
        MESH.verify(chain, NOW)
    with pytest.raises(PeerError, match="roles that its inviter lacks"):
        Verifier(MESH).member(chain.pack(), NOW)


def test_only_who_may_operate_speaks_for_another_owner() -> None:
    some = forged_chain(Role.RUN | Role.INVITE)
    with pytest.raises(UsageError, match="for another owner"):
        invite(SECOND, some, FIRST.public, "3", LATER, Grant(Role.RUN, "alice"))
    posing = issue(
        SECOND,
        MESH.mesh_id,
        b"3" * 32,
        expiry=LATER,
        roles=Role.RUN,
        depth=0,
        name="3",
        owner="alice",
    )
    with pytest.raises(PeerError, match="for another owner"):
        MESH.verify(Chain((*some.certificates, posing)), NOW)
    for owner in ("", "x" * 33):
        with pytest.raises(UsageError, match="owner's name"):
            invite(FIRST, CHAIN, SECOND.public, "2", LATER, Grant(None, owner))


def old(issuer: Identity, public: bytes, *, may_invite: bool, depth: int) -> Certificate:
    """As versions before 0.5 made them."""
    unsigned = Certificate(
        MESH.mesh_id,
        public,
        LATER,
        Role.INVITE if may_invite else Role.RUN,
        depth,
        "old",
        "",
        b"",
        version=1,
    )
    return replace(unsigned, signature=issuer.sign(CONTEXT, pack(unsigned.body())))


def test_an_old_certificate_has_its_inviters_roles_and_owner() -> None:
    root = old(GENESIS, FIRST.public, may_invite=True, depth=5)
    leaf = old(FIRST, SECOND.public, may_invite=False, depth=4)
    chain = Chain.parse(Chain((root, leaf)).pack())
    assert chain.certificates[0].roles == ALL_ROLES
    member = MESH.verify(chain, NOW)
    assert (member.roles, member.owner) == (ALL_ROLES & ~Role.INVITE, "old")
    assert Chain.parse(chain.pack()) == chain
    # The new ones are no way round: an old one below them gives nothing that they lack.
    for may_invite, below in ((False, Role.RUN), (True, None)):
        under = forged_chain(Role.RUN)
        last = old(SECOND, b"3" * 32, may_invite=may_invite, depth=1)
        found_chain = Chain.parse(Chain((*under.certificates, last)).pack())
        if below is None:
            with pytest.raises(PeerError):
                MESH.verify(found_chain, NOW)
        else:
            with pytest.raises(PeerError, match="deeper"):  # who may not invite did
                MESH.verify(found_chain, NOW)
            assert found_chain.member.roles == below


def test_a_chain_is_as_old_as_the_first_of_it_to_expire() -> None:
    """Whoever invites after its own certificate has ended gives nothing that lasts longer."""
    end = Wall(LATER + 10 * GRACE_S)
    leaf = issue(
        SECOND,
        MESH.mesh_id,
        b"3" * 32,
        expiry=end,
        roles=Role.RUN,
        depth=0,
        name="3",
        owner="first",
    )
    verifier, packed = Verifier(MESH), Chain((*second_chain().certificates, leaf)).pack()
    assert not verifier.member(packed, NOW).is_stale(NOW)
    assert verifier.member(packed, Wall(LATER + GRACE_S - 1)).roles == Role.RUN
    with pytest.raises(PeerError, match="expired"):
        verifier.member(packed, Wall(LATER + GRACE_S))


def test_words_of_a_missing_role_say_which() -> None:
    verifier = Verifier(MESH)
    member = verifier.member(forged_chain(Role.RUN).pack(), NOW)
    demand(member, Role.RUN, "run VMs")
    with pytest.raises(PeerError, match=r"may not revoke: .*does not give the role operate"):
        demand(verifier.standing(member.node_id), Role.OPERATE, "revoke")
    with pytest.raises(PeerError, match="not known"):
        demand(verifier.standing(FIRST.node_id), Role.RUN, "run VMs")
    with pytest.raises(UsageError, match="no role 'king'; there are observe, publish"):
        roles.parse(["run", "king"])
    with pytest.raises(UsageError, match="at least one"):
        roles.parse([])
    assert roles.parse(["run", "OPERATE"]) == Role.RUN | Role.OPERATE
