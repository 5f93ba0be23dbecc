"""A mesh whose genesis key is lost: what goes on, what does not, and the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from radics_mesh.clock import Wall
from radics_mesh.errors import PeerError
from radics_mesh.me import Me
from radics_mesh.membership import GRACE_S, Chain, Verifier, found, invite
from radics_mesh.node.rekeying import Rekeying
from radics_mesh.node.revoking import Revoking
from radics_mesh.node.state import Membership, StateDirectory
from radics_mesh.revocations import Revocations, is_above, revoke
from radics_mesh.rotations import rotate
from tests.dtn.world import HandClock
from tests.test_revocations import CHAINS, FIRST, LOWER, MESH, NOW, OTHER, OUTSIDER, UPPER

LATER = Wall(NOW + 1000)


def test_the_mesh_goes_on() -> None:
    verifier = Verifier(MESH)
    new = invite(FIRST, CHAINS[FIRST.public], OUTSIDER.public, "new", LATER)
    assert verifier.member(new.pack(), NOW).name == "new"
    known = Revocations(verifier)
    word = revoke(
        FIRST, CHAINS[FIRST.public].pack(), CHAINS[UPPER.public].member, when=NOW, reason=""
    )
    known.add(word)
    assert verifier.is_out(CHAINS[LOWER.public].pack())
    packed = CHAINS[OTHER.public].pack()
    rotate(OTHER, packed, MESH, bytes(32), epoch=1, overlap_s=60, when=NOW, knows=[]).check(MESH)


def test_nobody_can_put_out_the_first_member_but_itself() -> None:
    first = CHAINS[FIRST.public]
    assert is_above(FIRST.public, first, MESH)
    known = Revocations(verifier := Verifier(MESH))
    for other in (UPPER, LOWER, OTHER):
        assert not is_above(other.public, first, MESH)
        known.add(revoke(other, CHAINS[other.public].pack(), first.member, when=NOW, reason=""))
    assert not verifier.is_out(first.pack())


def test_it_ends_with_the_first_members_certificate_and_nobody_can_renew_that() -> None:
    first = CHAINS[FIRST.public]
    end = Wall(first.member.expiry + GRACE_S)
    long = Wall(end + 1e9)
    longest = invite(FIRST, first, FIRST.public, "first", long)
    for chain in (*CHAINS.values(), longest):
        assert chain.until <= first.member.expiry
        with pytest.raises(PeerError, match="expired"):
            MESH.verify(chain, end)
    forged = invite(OTHER, CHAINS[OTHER.public], FIRST.public, "first", long).member
    with pytest.raises(PeerError):
        MESH.verify(Chain((forged,)), NOW)


def test_the_way_out_is_another_mesh_with_the_same_nodes(tmp_path: Path) -> None:
    clock = HandClock()
    state = StateDirectory(tmp_path)
    identity = state.identity()
    mine = invite(FIRST, CHAINS[FIRST.public], identity.public, "mine", LATER)
    me = Me(identity, Verifier(MESH), mine.pack(), clock)
    state.enter(Membership(MESH, mine))
    revoking = Revoking(me, tmp_path)
    word = revoke(identity, me.chain, mine.member, when=NOW, reason="")
    other = revoke(
        FIRST, CHAINS[FIRST.public].pack(), CHAINS[UPPER.public].member, when=NOW, reason=""
    )
    for one in (word, other):
        revoking._learn([one])
    rekeying = Rekeying(me, tmp_path, revoking.known)
    secret = b"s" * 32
    statement = rotate(identity, me.chain, MESH, secret, epoch=1, overlap_s=60, when=NOW, knows=[])
    rekeying.ring.add(statement, secret, clock.monotonic())
    rekeying._use()

    genesis, mesh, chain = found(identity, "mine", NOW)
    state.enter(Membership(mesh, chain), genesis)
    again = Me(StateDirectory(tmp_path).identity(), Verifier(mesh), chain.pack(), clock)
    assert again.node_id == me.node_id
    known = Revoking(again, tmp_path).known
    assert len(known) == 0  # not even this node's own leaving
    assert Rekeying(again, tmp_path, known).ring.secrets() == (mesh.key,)
    with pytest.raises(PeerError, match="another mesh"):
        Verifier(mesh).member(me.chain, NOW)
