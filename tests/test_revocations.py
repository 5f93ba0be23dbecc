from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radics_mesh import revocations
from radics_mesh.clock import Wall
from radics_mesh.codec import pack
from radics_mesh.errors import CapacityError, PeerError, UsageError, WireError
from radics_mesh.identity import Identity
from radics_mesh.membership import Grant, Verifier, found, invite
from radics_mesh.revocations import Revocation, Revocations, is_above, revoke
from radics_mesh.roles import Role
from tests.strategies import msgpack_values

NOW = Wall(1_800_000_000.0)
LATER = Wall(NOW + 1000)
FIRST, UPPER, LOWER, OTHER, OUTSIDER = (Identity(bytes([n]) * 32) for n in range(1, 6))
GENESIS, MESH, CHAIN = found(FIRST, "first", NOW)
UPPER_CHAIN = invite(FIRST, CHAIN, UPPER.public, "upper", LATER)
LOWER_CHAIN = invite(UPPER, UPPER_CHAIN, LOWER.public, "lower", LATER)
OTHER_CHAIN = invite(FIRST, CHAIN, OTHER.public, "other", LATER)
CHAINS = {
    FIRST.public: CHAIN,
    UPPER.public: UPPER_CHAIN,
    LOWER.public: LOWER_CHAIN,
    OTHER.public: OTHER_CHAIN,
}


@cache
def by(signer: Identity, revoked: Identity) -> Revocation:
    chain = CHAINS[signer.public].pack() if signer.public in CHAINS else b""
    return revoke(signer, chain, CHAINS[revoked.public].member, when=NOW, reason="lost")


def out_after(*statements: Revocation) -> set[Identity]:
    """Who of the four is no member any more."""
    verifier = Verifier(MESH)
    for chain in CHAINS.values():
        verifier.member(chain.pack(), NOW)  # remembered, and yet refused later
    known = Revocations(verifier)
    for statement in statements:
        known.add(Revocation.parse(statement.pack()))
    out = set()
    for identity in (FIRST, UPPER, LOWER, OTHER):
        try:
            verifier.member(CHAINS[identity.public].pack(), NOW)
        except PeerError:
            out.add(identity)
    return out


@pytest.mark.parametrize(
    ("signer", "revoked", "out"),
    [
        (FIRST, LOWER, {LOWER}),
        (UPPER, LOWER, {LOWER}),
        (FIRST, UPPER, {UPPER, LOWER}),
        (GENESIS, UPPER, {UPPER, LOWER}),
        (GENESIS, FIRST, {FIRST, UPPER, LOWER, OTHER}),
        (LOWER, LOWER, {LOWER}),
        (UPPER, UPPER, {UPPER, LOWER}),
        # Those that are not above it.
        (LOWER, UPPER, set()),
        (OTHER, UPPER, set()),
        (OTHER, LOWER, set()),
        (UPPER, FIRST, set()),
    ],
)
def test_who_stands_above_a_member_may_revoke_it_and_so_may_itself(
    signer: Identity, revoked: Identity, out: set[Identity]
) -> None:
    assert out_after(by(signer, revoked)) == out
    chain = CHAINS[revoked.public]
    assert is_above(signer.public, chain, MESH) == bool(out)


def test_who_was_invited_by_a_revoked_one_is_in_when_another_invites_it() -> None:
    verifier = Verifier(MESH)
    Revocations(verifier).add(by(FIRST, UPPER))
    again = invite(OTHER, OTHER_CHAIN, LOWER.public, "lower", LATER)
    assert verifier.member(again.pack(), NOW).public == LOWER.public
    with pytest.raises(PeerError, match=f"{UPPER.node_id.short} has been revoked"):
        verifier.member(LOWER_CHAIN.pack(), NOW)


def test_without_the_role_operate_only_oneself_can_be_revoked() -> None:
    weak = invite(FIRST, CHAIN, UPPER.public, "upper", LATER, Grant(Role.RUN | Role.INVITE))
    guest = invite(UPPER, weak, LOWER.public, "lower", LATER)
    verifier = Verifier(MESH)
    known = Revocations(verifier)
    known.add(revoke(UPPER, weak.pack(), guest.member, when=NOW, reason=""))
    assert verifier.member(guest.pack(), NOW).public == LOWER.public
    assert not is_above(UPPER.public, guest, MESH)
    known.add(revoke(UPPER, weak.pack(), weak.member, when=NOW, reason=""))
    for chain in (weak, guest):
        with pytest.raises(PeerError, match="revoked"):
            verifier.member(chain.pack(), NOW)


def test_an_invitation_of_ones_own_for_a_stranger_to_it_revokes_nothing() -> None:
    """Anybody who may invite can write a chain in which it stands above anybody."""
    verifier = Verifier(MESH)
    invite(OTHER, OTHER_CHAIN, UPPER.public, "mine", LATER)
    Revocations(verifier).add(by(OTHER, UPPER))
    assert verifier.member(UPPER_CHAIN.pack(), NOW).public == UPPER.public


def test_of_two_that_revoke_each_other_the_upper_one_stays() -> None:
    assert out_after(by(LOWER, UPPER), by(UPPER, LOWER)) == {LOWER}
    # What a revoked one revoked stays so.
    assert out_after(by(FIRST, UPPER), by(UPPER, LOWER)) == {UPPER, LOWER}


ALL = [by(s, r) for s in (GENESIS, FIRST, UPPER, LOWER, OTHER) for r in (UPPER, LOWER, OTHER)]


@given(st.lists(st.sampled_from(ALL), unique_by=lambda one: one.name, max_size=6))
def test_what_stands_against_a_chain_is_what_puts_it_out(some: list[Revocation]) -> None:
    verifier = Verifier(MESH)
    known = Revocations(verifier)
    for statement in some:
        known.add(statement)
    for chain in CHAINS.values():
        assert bool(known.against(chain, MESH)) == verifier.is_out(chain.pack())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(ALL), unique_by=lambda one: one.name).flatmap(
        lambda some: st.tuples(st.just(some), st.permutations(some))
    )
)
def test_any_order_of_arrival_ends_the_same(orders: tuple[list[Revocation], ...]) -> None:
    one, other = orders
    assert out_after(*one) == out_after(*other)
    sets = []
    for order in orders:
        known = Revocations(Verifier(MESH))
        assert all(known.add(statement) for statement in order)
        assert not any(known.add(statement) for statement in order)
        sets.append(known.all())
    assert sets[0] == sets[1]


def test_forged_ones_and_those_of_other_meshes_are_refused() -> None:
    known = Revocations(Verifier(MESH))
    good = by(FIRST, UPPER)
    _, _, chain = found(FIRST, "first", NOW)
    for bad, why in (
        (revoke(OUTSIDER, CHAIN.pack(), UPPER_CHAIN.member, when=NOW, reason=""), "another key"),
        (revoke(FIRST, chain.pack(), chain.member, when=NOW, reason=""), "another mesh"),
        (revoke(FIRST, chain.pack(), UPPER_CHAIN.member, when=NOW, reason=""), "another mesh"),
        (revoke(GENESIS, CHAIN.pack(), UPPER_CHAIN.member, when=NOW, reason=""), "with a chain"),
        (replace(good, revoked=OTHER.public), "bad signature"),
        (replace(good, reason="found"), "bad signature"),
        (replace(good, signer=GENESIS.public, chain=b""), "bad signature"),
    ):
        with pytest.raises(PeerError, match=why):
            known.add(bad)
    with pytest.raises(WireError):
        known.add(replace(good, chain=b""))
    assert len(known) == 0


def test_an_inviters_word_outlasts_its_certificate() -> None:
    known = Revocations(verifier := Verifier(MESH))
    assert known.add(by(UPPER, LOWER))  # whatever the time is, the two have expired at LATER
    assert verifier.is_out(LOWER_CHAIN.pack())


@pytest.mark.parametrize("signer", [GENESIS, LOWER])
def test_every_truncation_and_flipped_bit_is_refused(signer: Identity) -> None:
    raw = by(signer, LOWER).pack()
    for end in range(len(raw)):
        with pytest.raises(WireError):
            Revocation.parse(raw[:end])
    for at in range(len(raw)):  # all bits in turn, one of each byte
        flipped = raw[:at] + bytes((raw[at] ^ 1 << at % 8,)) + raw[at + 1 :]
        with pytest.raises((WireError, PeerError)):
            Revocations(Verifier(MESH)).add(Revocation.parse(flipped))


@settings(max_examples=30, deadline=None)
@given(msgpack_values)
def test_any_value_is_none_or_a_wire_error(value: object) -> None:
    with pytest.raises(WireError):
        Revocation.parse(pack(value))


def test_reasons_and_numbers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="reason"):
        revoke(FIRST, CHAIN.pack(), UPPER_CHAIN.member, when=NOW, reason="ä" * 101)
    long = replace(by(FIRST, UPPER), reason="x" * 201).pack()
    with pytest.raises(WireError):
        Revocation.parse(long)
    monkeypatch.setattr(revocations, "SIGNER_MAX", 2)
    monkeypatch.setattr(revocations, "TOTAL_MAX", 3)
    known = Revocations(Verifier(MESH))
    assert known.add(by(FIRST, UPPER))
    assert known.add(by(FIRST, LOWER))
    with pytest.raises(CapacityError, match="by"):
        known.add(by(FIRST, OTHER))
    assert not known.add(by(FIRST, LOWER))  # known, not refused
    assert known.add(by(UPPER, LOWER))
    with pytest.raises(CapacityError):
        known.add(by(GENESIS, LOWER))


def test_whether_a_chain_is_out_is_told_anew_after_each_revocation() -> None:
    known = Revocations(verifier := Verifier(MESH))
    packed = LOWER_CHAIN.pack()
    known.add(by(OTHER, UPPER))
    assert not verifier.is_out(packed)
    known.add(by(FIRST, UPPER))
    assert verifier.is_out(packed)
    with pytest.raises(WireError):
        verifier.is_out(b"\x90")
