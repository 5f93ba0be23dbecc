from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import pack
from radics_mesh.errors import MeshError, PeerError, WireError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest
from radics_mesh.ownership import BRANCH_EPOCHS, Ownership, born, moves_by
from tests.strategies import msgpack_values

A, B, C = (Identity(bytes([n]) * 32) for n in range(3))
IMAGE = Digest.of(b"image")
SNAPSHOT = Digest.of(b"checkpoint")
BORN = born(A, "counter", IMAGE, b"n" * 16)
MOVED = BORN.released(A, B.public, Digest.of(b"s1"))
BACK = MOVED.released(B, A.public, Digest.of(b"s2"))


def test_each_release_raises_the_epoch_and_names_holder_and_snapshot() -> None:
    assert (BORN.epoch, BORN.holder, BORN.snapshot) == (1, A.node_id, None)
    assert (MOVED.epoch, MOVED.holder, MOVED.snapshot) == (2, B.node_id, Digest.of(b"s1"))
    assert (BACK.epoch, BACK.holder) == (3, A.node_id)
    assert BORN.vm_id == MOVED.vm_id == BACK.vm_id


def test_a_chain_survives_its_wire_form() -> None:
    for chain in (BORN, MOVED, BACK):
        assert Ownership.parse(chain.pack()) == chain


def test_only_the_holder_may_release() -> None:
    with pytest.raises(PeerError, match="does not hold"):
        MOVED.released(A, C.public, Digest.of(b"s"))


def test_a_link_signed_by_a_former_holder_is_refused() -> None:
    other = BORN.released(A, C.public, Digest.of(b"s1"))
    spliced = Ownership(MOVED.birth, (*MOVED.links, *other.links))
    with pytest.raises(PeerError, match="epoch"):
        Ownership.parse(spliced.pack())
    again = Ownership(BACK.birth, (other.links[0], BACK.links[1]))
    with pytest.raises(PeerError, match="bad signature"):
        Ownership.parse(again.pack())


def test_extends_tells_growth_from_a_fork() -> None:
    fork = BORN.released(A, C.public, Digest.of(b"s1"))
    assert BACK.extends(MOVED)
    assert BACK.extends(BACK)
    assert not MOVED.extends(BACK)
    assert not fork.extends(MOVED)


def test_a_keeper_recovers_under_its_mandate_only() -> None:
    mandate = MOVED.mandate(B, C.public, SNAPSHOT, 7, 60)
    recovered = MOVED.recovered(C, SNAPSHOT, mandate)
    assert (recovered.epoch, recovered.holder) == (BRANCH_EPOCHS, C.node_id)
    assert (recovered.branch, recovered.links[-1].how) == (1, "mandated")
    assert Ownership.parse(recovered.pack()) == recovered
    onward = recovered.released(C, A.public, Digest.of(b"s3"))
    assert Ownership.parse(onward.pack()).epoch == BRANCH_EPOCHS + 1
    again = onward.recovered(B, SNAPSHOT)
    assert (again.epoch, again.branch) == (2 * BRANCH_EPOCHS, 2)
    for keeper, chain, snapshot in [
        (A, MOVED, SNAPSHOT),  # another keeper's
        (C, BACK, SNAPSHOT),  # of another holder
        (C, MOVED, Digest.of(b"s")),  # for another checkpoint
    ]:
        with pytest.raises(PeerError, match="bad signature on a vm mandate"):
            chain.recovered(keeper, snapshot, mandate)


def test_an_epoch_tells_the_hand_overs_of_its_branch() -> None:
    assert [moves_by(epoch) for epoch in (0, 1, 3, BRANCH_EPOCHS, BRANCH_EPOCHS + 2)] == [
        *(0, 0, 2, 0, 2)
    ]


def test_who_may_only_keep_may_not_restart() -> None:
    mandate = BORN.mandate(A, C.public, SNAPSHOT, 1, 0)
    with pytest.raises(PeerError, match="not be restarted"):
        BORN.recovered(C, SNAPSHOT, mandate)
    link = replace(BORN.recovered(C, SNAPSHOT).links[0], mandate=mandate)
    with pytest.raises(PeerError, match="not be restarted"):
        Ownership.parse(Ownership(BORN.birth, (link,)).pack())


def test_only_the_holder_gives_mandates() -> None:
    with pytest.raises(PeerError, match="does not hold"):
        MOVED.mandate(A, C.public, SNAPSHOT, 1, 60)


def test_a_recovery_is_signed_by_who_recovers() -> None:
    forced = BORN.recovered(C, SNAPSHOT)
    stolen = replace(forced.links[0], holder=B.public)
    with pytest.raises(PeerError, match="bad signature on a vm recovery"):
        Ownership.parse(Ownership(BORN.birth, (stolen,)).pack())
    disguised = replace(forced.links[0], recovery=False)
    with pytest.raises(PeerError):
        Ownership.parse(Ownership(BORN.birth, (disguised,)).pack())


def test_of_two_branches_the_one_that_counts_is_decided_where_they_part() -> None:
    late = BACK.recovered(B, SNAPSHOT, BACK.mandate(A, B.public, SNAPSHOT, 9, 60))
    older = BORN.recovered(C, SNAPSHOT, BORN.mandate(A, C.public, SNAPSHOT, 1, 60))
    newer = BORN.recovered(B, SNAPSHOT, BORN.mandate(A, B.public, SNAPSHOT, 2, 60))
    forced = BORN.recovered(A, SNAPSHOT)
    order = [BORN, MOVED, BACK, late, older, newer, forced]
    for at, higher in enumerate(order):
        for lower in order[:at]:
            assert higher.beats(lower)
            assert not lower.beats(higher)
            assert higher.beginning_that_beats(lower).beats(lower)
    assert not BORN.beats(BORN)
    assert forced.overrules(BORN)
    assert forced.overrules(BACK)
    assert not BACK.overrules(BORN)


keys = st.sampled_from([A, B, C])
steps = st.lists(st.tuples(keys, st.sampled_from(["released", "mandated", "forced"])), max_size=4)


def _chain(moves: list[tuple[Identity, str]]) -> Ownership:
    chain, holder = BORN, A
    for number, (to, how) in enumerate(moves):
        snapshot = Digest.of(b"%d" % number)
        if how == "released":
            chain = chain.released(holder, to.public, snapshot)
        elif how == "mandated":
            mandate = chain.mandate(holder, to.public, snapshot, number + 1, 5)
            chain = chain.recovered(to, snapshot, mandate)
        else:
            chain = chain.recovered(to, snapshot)
        holder = to
    return chain


@given(steps, steps, steps)
def test_the_order_of_branches_is_total_and_never_turned_by_what_follows(
    first: list[tuple[Identity, str]],
    second: list[tuple[Identity, str]],
    third: list[tuple[Identity, str]],
) -> None:
    one, two, three = _chain(first), _chain(second), _chain(third)
    assert [one == two, one.beats(two), two.beats(one)].count(True) == 1
    if one.beats(two) and two.beats(three):
        assert one.beats(three)
    if one.beats(two) and not one.extends(two):
        assert one.beats(_chain([*second, *third]))
    assert Ownership.parse(one.pack()) == one


@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_flipped_byte_of_a_recovery_never_parses_as_the_same_vm(position: int, flip: int) -> None:
    chain = BORN.recovered(C, SNAPSHOT, BORN.mandate(A, C.public, SNAPSHOT, 1, 60))
    data = bytearray(chain.pack())
    data[position % len(data)] ^= flip
    with pytest.raises(MeshError):
        Ownership.parse(bytes(data))


@given(st.integers(0, 2000), st.integers(1, 255))
def test_a_flipped_byte_never_parses_as_the_same_vm(position: int, flip: int) -> None:
    data = bytearray(BACK.pack())
    data[position % len(data)] ^= flip
    with pytest.raises(MeshError):
        Ownership.parse(bytes(data))


@given(msgpack_values)
def test_any_value_is_a_chain_or_a_mesh_error(value: object) -> None:
    with contextlib.suppress(WireError, PeerError):
        Ownership.parse(pack(value))
