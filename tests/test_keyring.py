"""Which key counts: whatever the order of messages, with losses, repetitions and restarts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import randombytes

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.errors import PeerError, WireError
from radics_mesh.identity import Identity
from radics_mesh.keyring import HELD_MAX, LINGER_S, LIVE_MAX, Keyring, MeshKey
from radics_mesh.membership import Mesh, Verifier
from radics_mesh.revocations import Revocations, revoke
from radics_mesh.rotations import EPOCH_MAX, Rotation, key_id_of, rotate
from radics_mesh.seals import Seals
from tests.test_revocations import (
    CHAINS,
    FIRST,
    GENESIS,
    LOWER,
    MESH,
    NOW,
    OTHER,
    UPPER,
)

OVERLAP_S = 60
WHERE = ("192.0.2.1", 1)


class Node:
    """A node's share of what decides about keys: no I/O, time by hand."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.chain = CHAINS[identity.public]
        self.verifier = Verifier(MESH)
        self.revocations = Revocations(self.verifier)
        self.ring = Keyring(MESH, self.revocations)
        # What others have said to hold as the newest, as far as it is known here.
        self.said: dict[bytes, bytes] = {}

    def is_out(self, other: Node) -> bool:
        return self.verifier.is_out(other.chain.pack())

    def rotate(self, now: float, epoch: int | None = None, secret: bytes = b"") -> Rotation:
        secret = secret or randombytes(32)
        statement = rotate(
            self.identity,
            self.chain.pack(),
            MESH,
            secret,
            epoch=epoch or self.ring.next_epoch(),
            overlap_s=OVERLAP_S,
            when=NOW,
            knows=self.ring.tags(),
        )
        assert self.ring.add(statement, secret, Monotonic(now))
        return statement

    def revoke(self, other: Node) -> None:
        word = revoke(self.identity, self.chain.pack(), other.chain.member, when=NOW, reason="")
        self.revocations.add(word)

    def take(self, keys: Iterable[MeshKey], now: float) -> None:
        for key in keys:
            assert key.rotation is not None
            self.ring.add(Rotation.parse(key.rotation.pack()), key.secret, Monotonic(now))

    def settle(self, others: Iterable[Node], now: float) -> None:
        newest = self.ring.newest.key_id
        awaited = [o for o in others if o is not self and not self.is_out(o)]
        confirmed = all(self.said.get(o.identity.public) == newest for o in awaited)
        self.ring.settle(Monotonic(now), confirmed=confirmed)

    def restart(self, now: float) -> None:
        """All but what is on the medium is lost, and the clock may begin anywhere."""
        kept = self.ring.pack(Monotonic(now), NOW)
        self.ring = Keyring(MESH, self.revocations)
        self.ring.load(kept, Monotonic(now), NOW)
        self.said.clear()

    def seals(self) -> Seals:
        return Seals(self.ring.secrets())


def tell(giver: Node, taker: Node, now: float) -> None:
    """What a contact brings to one side, revocations first or not at all."""
    if giver.is_out(taker) or taker.is_out(giver):
        return
    taker.take(giver.ring.passable(), now)
    taker.said[giver.identity.public] = giver.ring.newest.key_id


def meet(one: Node, other: Node, now: float) -> None:
    for giver, taker in ((one, other), (other, one)):
        if not taker.is_out(giver):
            for word in giver.revocations.all():
                taker.revocations.add(word)
    for giver, taker in ((one, other), (other, one), (one, other)):
        tell(giver, taker, now)


def can_talk(one: Node, other: Node) -> bool:
    ways = ((one, other), (other, one))
    return all(
        any(b.seals().open(copy, WHERE) is not None for copy in a.seals().seal(b"x", WHERE))
        for a, b in ways
    )


def nodes() -> list[Node]:
    return [Node(one) for one in (FIRST, UPPER, LOWER, OTHER)]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["rotate", "revoke", "tell", "tell", "meet", "restart", "wait", "settle"]),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=24,
)


def run(steps: list[tuple[str, int, int]]) -> tuple[list[Node], float]:
    """Everything may be lost, doubled or late; after each step keys are only where they may be."""
    mesh, now = nodes(), 0.0
    for what, a, b in steps:
        one, other = mesh[a], mesh[b]
        if what == "rotate" and len(one.ring.live()) < LIVE_MAX:
            one.rotate(now)
        elif what == "revoke" and a < b:
            one.revoke(other)
        elif what == "tell" and a != b:
            tell(one, other, now)
        elif what == "meet" and a != b:
            before = one.revocations.all() == other.revocations.all()
            meet(one, other, now)
            if before and not one.is_out(other) and not other.is_out(one):
                assert can_talk(one, other)
        elif what == "restart":
            one.restart(now)
        elif what == "wait":
            now += OVERLAP_S / 4
        one.settle(mesh, now)
        _nobody_holds_what_was_made_to_shut_it_out(mesh)
    return mesh, now


def _nobody_holds_what_was_made_to_shut_it_out(mesh: list[Node]) -> None:
    words = {word.tag: word for node in mesh for word in node.revocations.all()}
    for node in mesh:
        verifier = Verifier(MESH)
        for key in node.ring.live():
            for tag in key.knows:
                verifier.revoke(*words[tag].name)
        assert verifier.revoked_in(node.chain) is None


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_members_end_with_one_key_and_the_revoked_without_it(
    steps: list[tuple[str, int, int]],
) -> None:
    mesh, now = run(steps)
    for _ in range(3):
        for one, other in permutations(mesh, 2):
            meet(one, other, now)
    everything = Verifier(MESH)
    for node in mesh:
        for word in node.revocations.all():
            everything.revoke(*word.name)
    members = [node for node in mesh if not everything.is_out(node.chain.pack())]
    assert len({node.ring.newest.key_id for node in members}) == 1
    assert all(can_talk(one, other) for one, other in permutations(members, 2))
    for later in (now + OVERLAP_S, now + 2 * OVERLAP_S):
        for node in members:
            node.settle(mesh, later)
    assert [len(node.ring.live()) for node in members] == [1] * len(members)
    assert all(can_talk(one, other) for one, other in permutations(members, 2))
    # Once more, in the knowledge of all: now whoever is out is out of the datagrams, too.
    members[0].rotate(now)
    for one, other in permutations(mesh, 2):
        meet(one, other, now)
    for node in mesh:
        node.settle(mesh, now + 3 * OVERLAP_S)
    newest = members[0].ring.newest.secret
    for node in mesh:
        holds = [key.secret for key in node.ring.live()]
        assert holds == [newest] if node in members else newest not in holds


def test_an_old_key_ends_when_all_have_confirmed_and_not_before() -> None:
    one, other, third, fourth = mesh = nodes()
    one.rotate(0.0)
    for node in (other, third):
        meet(one, node, 0.0)
    one.settle(mesh, OVERLAP_S - 1)
    assert len(one.ring.live()) == 2
    assert can_talk(one, fourth)
    meet(one, fourth, 20.0)
    one.settle(mesh, 20.0)
    assert len(one.ring.live()) == 2  # what was sealed before it heard that is on its way
    assert one.ring.next_end() == 20.0 + LINGER_S
    one.settle(mesh, 20.0 + LINGER_S)
    assert len(one.ring.live()) == 1
    assert all(can_talk(one, node) for node in mesh)


def test_an_old_key_ends_after_the_stated_time_at_the_latest_through_restarts() -> None:
    one, *_ = mesh = nodes()
    one.rotate(0.0)
    one.restart(OVERLAP_S / 2)
    one.settle(mesh, OVERLAP_S - 1)
    assert len(one.ring.live()) == 2
    kept = one.ring.pack(Monotonic(OVERLAP_S - 1), NOW)
    for monotonic, off_s, live in ((0.0, 0, 2), (5.0, 30, 1), (5.0, -10_000, 2), (5.0, -2e9, 2)):
        again = Keyring(MESH, one.revocations)
        again.load(kept, Monotonic(monotonic), Wall(NOW + off_s))
        assert len(again.live()) == live
        assert again.newest.key_id == one.ring.newest.key_id


def test_who_was_away_for_a_week_gets_the_newest_key_from_anybody() -> None:
    one, other, away, _ = mesh = nodes()
    for epoch in range(1, 6):
        one.rotate(epoch * 100.0)
        meet(one, other, epoch * 100.0)
        for node in (one, other):
            node.settle(mesh, epoch * 100.0 + OVERLAP_S)
    assert not can_talk(other, away)
    meet(other, away, 1e6)
    assert can_talk(other, away)
    assert away.ring.newest.epoch == 5


def test_both_halves_of_a_partition_rotate() -> None:
    one, other, third, fourth = mesh = nodes()
    halves = ((one, other), (third, fourth))
    for half, lead in zip(halves, (one, third), strict=True):
        lead.rotate(0.0)
        meet(*half, 0.0)
        for node in half:
            node.settle(half, 0.0)
            node.settle(half, OVERLAP_S)
            assert len(node.ring.live()) == 1
    keys = [half[0].ring.newest for half in halves]
    assert [key.epoch for key in keys] == [1, 1]
    # One contact heals two nodes at once; nobody waits for the others.
    meet(other, third, 100.0)
    assert all(can_talk(a, b) for a, b in ((one, other), (third, fourth), (other, third)))
    winner = max(keys, key=lambda key: key.key_id)
    assert other.ring.newest.key_id == third.ring.newest.key_id == winner.key_id
    for node in (one, fourth):
        meet(node, other, 101.0)
        meet(node, third, 101.0)
    for node in mesh:
        node.settle(mesh, 101.0)
    assert all(can_talk(a, b) for a, b in permutations(mesh, 2))
    assert {node.ring.newest.key_id for node in mesh} == {winner.key_id}


def test_a_half_that_shut_somebody_out_does_not_take_the_other_halfs_key() -> None:
    """Whoever was shut out may hold that one, and it loses at the same epoch."""
    one, upper, lower, other = nodes()
    one.rotate(0.0)
    for node in (upper, lower, other):
        meet(one, node, 0.0)
    lower_id, *_, higher_id = sorted(map(bytes, permutations(range(4))), key=_id_in_epoch_2)
    other.rotate(1.0, secret=higher_id * 8)
    meet(other, upper, 1.0)  # upper has it
    one.revoke(upper)
    one.rotate(1.0, secret=lower_id * 8)
    meet(one, other, 2.0)
    for node in (one, other):
        assert len(node.ring.newest.knows) == 1
    assert [key.epoch for key in one.ring.live()] == [2, 1, 0]
    assert upper.ring.newest.epoch == 2
    assert upper.ring.newest.key_id not in {key.key_id for key in one.ring.live()}


def _id_in_epoch_2(part: bytes) -> bytes:
    return key_id_of(MESH, 2, part * 8)


def test_a_key_goes_on_only_with_the_revocations_that_its_maker_knew() -> None:
    one, upper, _, other = nodes()
    one.revoke(upper)
    one.rotate(0.0)
    tell(one, other, 0.0)
    assert other.ring.newest.epoch == 1
    tell(other, upper, 0.0)  # it has not heard of the revocation
    assert upper.ring.newest.epoch == 0
    other.revocations.add(one.revocations.all()[0])
    assert [key.epoch for key in other.ring.passable()] == [1]
    tell(other, upper, 0.0)
    assert upper.ring.newest.epoch == 0


def test_no_epoch_helps_a_revoked_member() -> None:
    first, upper, _, other = nodes()
    upper.rotate(0.0, epoch=EPOCH_MAX)
    meet(upper, other, 0.0)
    first.revoke(upper)
    assert first.ring.next_epoch() == 1
    first.rotate(0.0)
    meet(first, other, 0.0)
    assert first.ring.newest.epoch == other.ring.newest.epoch == 1
    # And an unrevoked one that has used all up can only be revoked.
    greedy, victim = Node(OTHER), Node(FIRST)
    greedy.rotate(0.0, epoch=EPOCH_MAX)
    tell(greedy, victim, 0.0)
    assert victim.ring.next_epoch() == EPOCH_MAX + 1
    victim.revoke(greedy)
    assert victim.ring.next_epoch() == 1


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_of_two_that_revoke_each_other_and_rotate_the_upper_ones_key_stays(
    order: tuple[int, ...],
) -> None:
    upper, lower, watcher = Node(UPPER), Node(LOWER), Node(OTHER)
    upper.revoke(lower)
    lower.revoke(upper)
    rotations = [(upper, upper.rotate(0.0)), (lower, lower.rotate(0.0, epoch=9))]
    words = [node.revocations.all()[0] for node in (upper, lower)]
    for at in order:
        if at < 2:
            watcher.revocations.add(words[at])
        else:
            node, word = rotations[at - 2]
            watcher.ring.add(word, node.ring.newest.secret, Monotonic(0.0))
    watcher.settle([], 0.0)
    assert watcher.ring.newest.key_id == rotations[0][1].key_id


def test_two_that_hold_the_genesis_key_can_put_each_other_out() -> None:
    """Both are out then, on every node: neither word is worth more than the other."""
    words = [
        revoke(GENESIS, b"", CHAINS[one.public].member, when=NOW, reason="")
        for one in (UPPER, OTHER)
    ]
    for order in permutations(words):
        watcher = Node(FIRST)
        for word in order:
            watcher.revocations.add(word)
        assert watcher.is_out(Node(UPPER))
        assert watcher.is_out(Node(OTHER))


def test_bounds_and_what_cannot_be_held() -> None:
    one, other, *_ = nodes()
    for at in range(2 * HELD_MAX):
        one.rotate(float(at))
        assert len(one.ring.live()) <= LIVE_MAX
    assert len(Node(FIRST).ring.given()) == 1
    [row] = [key for key in one.ring.live() if key.epoch == 2 * HELD_MAX]
    assert row.rotation is not None
    with pytest.raises(PeerError, match="another mesh key"):
        other.ring.add(row.rotation, bytes(32), Monotonic(0.0))
    stranger = Mesh(OTHER.public, MESH.key)
    with pytest.raises(PeerError):
        Keyring(stranger, other.revocations).add(row.rotation, row.secret, Monotonic(0.0))
    assert other.ring.add(row.rotation, row.secret, Monotonic(0.0))
    assert not other.ring.add(row.rotation, row.secret, Monotonic(0.0))


def test_a_new_member_talks_at_once_and_passes_nothing_on_until_it_has_the_statements() -> None:
    one, upper, lower, new = nodes()
    one.rotate(0.0)
    meet(one, upper, 0.0)
    new.ring.admitted_with(one.ring.given(), Monotonic(0.0))
    assert can_talk(new, one)
    assert can_talk(new, upper)
    assert can_talk(new, lower)  # which has not heard of the new key yet
    assert new.ring.passable() == []
    new.restart(1.0)
    meet(new, one, 1.0)
    assert len(new.ring.passable()) == 1
    assert new.ring.newest.key_id == one.ring.newest.key_id


@given(st.binary(max_size=300), st.integers(0, 200))
def test_a_damaged_file_is_an_error_and_another_meshs_nothing(junk: bytes, at: int) -> None:
    one = Node(FIRST)
    one.rotate(0.0)
    good = one.ring.pack(Monotonic(0.0), NOW)
    for damaged in (junk, good[: at % len(good)]):
        with pytest.raises((WireError, PeerError)):
            Node(FIRST).ring.load(damaged, Monotonic(0.0), NOW)
    other = Keyring(Mesh(OTHER.public, bytes(32)), one.revocations)
    other.load(good, Monotonic(0.0), NOW)
    assert other.secrets() == (bytes(32),)
