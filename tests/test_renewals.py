from __future__ import annotations

import pytest

from radics_mesh.clock import Wall
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.identity import Identity
from radics_mesh.membership import YEAR_S, Chain, Grant, found, invite
from radics_mesh.renewals import (
    BEFORE_S,
    above,
    check_given,
    is_due,
    renew,
    renew_founder,
)
from radics_mesh.roles import Role

NOW = Wall(1_800_000_000.0)
FIRST, UPPER, LOWER, OTHER = (Identity(bytes([n]) * 32) for n in range(1, 5))
GENESIS, MESH, ROOT = found(FIRST, "first", NOW)
END = Wall(NOW + BEFORE_S)
UPPER_CHAIN = invite(FIRST, ROOT, UPPER.public, "upper", END, Grant(Role.RUN | Role.INVITE, "lab"))
LOWER_CHAIN = invite(UPPER, UPPER_CHAIN, LOWER.public, "lower", END, Grant(Role.RUN))


def test_it_is_due_a_month_before_the_end_unless_nobody_knows_the_time() -> None:
    assert not is_due(LOWER_CHAIN, NOW)
    assert is_due(LOWER_CHAIN, Wall(NOW + 1))
    assert is_due(LOWER_CHAIN, Wall(END + 1))
    assert not is_due(LOWER_CHAIN, Wall(5.0))
    assert above(LOWER_CHAIN) == [UPPER.node_id, FIRST.node_id]


def test_the_inviter_gives_what_there_was_with_a_later_end() -> None:
    given = renew(FIRST, ROOT, UPPER_CHAIN, NOW)
    member = check_given(MESH, UPPER_CHAIN, given, FIRST.node_id, NOW)
    old = UPPER_CHAIN.member
    assert (member.roles, member.owner, member.name) == (old.roles, old.owner, old.name)
    assert (member.depth, given.until) == (old.depth, NOW + YEAR_S)
    # Step by step: before its inviter has got another one, the guest gets none.
    with pytest.raises(UsageError, match="ends too soon"):
        renew(UPPER, UPPER_CHAIN, LOWER_CHAIN, NOW)
    below = renew(UPPER, given, LOWER_CHAIN, NOW)
    assert below.until == NOW + YEAR_S
    check_given(MESH, LOWER_CHAIN, below, UPPER.node_id, NOW)


def test_who_stands_higher_up_gives_too_if_it_may_operate() -> None:
    given = renew(FIRST, ROOT, LOWER_CHAIN, NOW)
    member = check_given(MESH, LOWER_CHAIN, given, FIRST.node_id, NOW)
    assert len(given.certificates) == 2
    assert (member.owner, member.roles) == ("lab", Role.RUN)
    weak = invite(FIRST, ROOT, OTHER.public, "o", Wall(NOW + YEAR_S), Grant(Role.RUN | Role.INVITE))
    mid = invite(OTHER, weak, UPPER.public, "u", END)
    leaf = invite(UPPER, mid, LOWER.public, "l", END)
    with pytest.raises(PeerError, match="guests of others"):
        renew(OTHER, weak, leaf, NOW)
    assert renew(OTHER, weak, mid, NOW).until == NOW + YEAR_S


def test_nobody_else_gives_and_not_beyond_its_own_end() -> None:
    stranger = invite(FIRST, ROOT, OTHER.public, "other", Wall(NOW + YEAR_S))
    with pytest.raises(PeerError, match="invited by others"):
        renew(OTHER, stranger, LOWER_CHAIN, NOW)
    with pytest.raises(PeerError, match="invited by others"):
        renew(LOWER, LOWER_CHAIN, LOWER_CHAIN, NOW)
    with pytest.raises(UsageError, match="renew none"):
        renew(UPPER, UPPER_CHAIN, LOWER_CHAIN, Wall(END + 1))


def test_a_member_takes_only_what_is_its_own_and_ends_later() -> None:
    given = renew(FIRST, ROOT, UPPER_CHAIN, NOW)
    for chain, by, why in (
        (renew(FIRST, ROOT, LOWER_CHAIN, NOW), FIRST, "another key"),
        (given, UPPER, "another than who brought it"),
        (UPPER_CHAIN, FIRST, "ends no later"),
    ):
        with pytest.raises(PeerError, match=why):
            check_given(MESH, UPPER_CHAIN, chain, by.node_id, NOW)
    with pytest.raises(PeerError, match="another than who brought it"):
        check_given(MESH, ROOT, Chain(ROOT.certificates), FIRST.node_id, NOW)


def test_the_founder_renews_itself_with_the_genesis_key() -> None:
    later = Wall(NOW + 9.99 * YEAR_S)
    given = renew_founder(GENESIS, ROOT, later)
    assert MESH.verify(given, later).public == FIRST.public
    assert given.until > ROOT.until
    with pytest.raises(UsageError, match="only the first"):
        renew_founder(GENESIS, UPPER_CHAIN, later)
