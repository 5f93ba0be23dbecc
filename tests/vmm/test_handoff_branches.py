"""Two branches of one VM: who recovers, who gives way, and what is kept of it."""

from __future__ import annotations

import pytest

from radics_mesh.errors import UsageError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest
from radics_mesh.ownership import Ownership, born
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_messages import Ack, Higher, Offer, Release, decode, encode
from radics_mesh.vmm.handoff_state import (
    Diverge,
    Effect,
    Failed,
    Fetch,
    Forget,
    KillAndReap,
    Persist,
    Phase,
    Send,
    Start,
    Tenure,
)
from tests.exploration.world import TERMS

A, B, C, K = (Identity(letter * 32) for letter in (b"A", b"B", b"C", b"K"))
BORN = born(A, "counter", Digest.of(b"image"), b"n" * 16)
OLD, NEW, PARKED = Digest.of(b"checkpoint"), Digest.of(b"newer"), Digest.of(b"parked")
RECOVERED = BORN.recovered(K, OLD, BORN.mandate(A, K.public, OLD, 1, 60))


def after_a_crash(handoff: Handoff, me: Identity) -> Handoff:
    return Handoff(Tenure.parse(handoff.tenure.pack()), me)


def holding(chain: Ownership, me: Identity, snapshot: Digest = NEW) -> Handoff:
    tenure = Tenure(chain.vm_id, Phase.HOLDING, chain=chain, fence=chain.epoch, snapshot=snapshot)
    return Handoff(tenure, me)


def released(chain: Ownership, me: Identity, target: Identity) -> Handoff:
    handoff = holding(chain, me)
    handoff.offer(target.node_id, TERMS, 0, key=target.public, one_way=True)
    handoff.parked(PARKED, TERMS, 1)
    handoff.take()
    assert handoff.tenure.phase is Phase.RELEASED
    return handoff


def kinds(effects: list[Effect] | tuple[Effect, ...]) -> list[type[Effect]]:
    return [type(effect) for effect in effects]


def test_a_keeper_recovers_durably_before_it_starts() -> None:
    keeper = Handoff(Tenure(BORN.vm_id), K)
    keeper.recover(RECOVERED, OLD)
    persist, start = keeper.take()
    assert isinstance(persist, Persist)
    assert persist.tenure.phase is Phase.HOLDING
    assert start == Start(OLD)
    assert after_a_crash(keeper, K).tenure.chain == RECOVERED


def test_the_lower_branch_stops_and_keeps_its_state_before_it_forgets_anything() -> None:
    lost = holding(BORN, A)
    lost.met(RECOVERED)
    diverge, persist, kill, forget = lost.take()
    assert diverge == Diverge(BORN, RECOVERED, NEW)
    assert kill == KillAndReap()
    assert isinstance(persist, Persist)
    assert persist.tenure.phase is Phase.NONE
    assert forget == Forget(NEW)
    assert list(after_a_crash(lost, A).restore(0)) == []


def test_the_higher_branch_heeds_no_lower_one() -> None:
    keeper = holding(RECOVERED, K)
    moved = BORN.released(A, B.public, NEW)
    keeper.met(moved)
    keeper.met(BORN)
    assert list(keeper.take()) == []


def test_a_move_under_way_ends_when_another_branch_counts() -> None:
    lost = holding(BORN, A)
    lost.offer(B.node_id, TERMS, 0)
    lost.take()
    lost.receive(Higher(BORN.vm_id, RECOVERED), C.node_id, 1)
    assert lost.tenure.phase is Phase.NONE
    lost = holding(BORN, A)
    lost.offer(B.node_id, TERMS, 0)
    lost.take()
    effects = list(lost.receive(Higher(BORN.vm_id, RECOVERED), C.node_id, 1))
    assert kinds(effects) == [Failed, Diverge, Persist, KillAndReap, Forget]
    assert lost.next_deadline() is None


def test_a_release_that_nobody_took_up_gives_way_but_its_state_is_kept() -> None:
    lost = released(BORN, A, B)
    assert lost.tenure.chain is not None
    chain = lost.tenure.chain
    lost.met(RECOVERED)
    effects = list(lost.take())
    assert effects[0] == Diverge(chain, RECOVERED, PARKED)
    assert lost.tenure.phase is Phase.NONE


def test_a_target_waits_for_no_snapshot_of_a_lower_branch() -> None:
    target = Handoff(Tenure(BORN.vm_id), B)
    moved = BORN.released(A, B.public, PARKED)
    assert Fetch in kinds(list(target.receive(Release(BORN.vm_id, moved), A.node_id, 0)))
    target.met(RECOVERED)
    target.take()
    assert target.tenure.certificate is None
    assert target.next_deadline() is None
    target.stored(PARKED)
    assert list(target.take()) == []


def test_what_is_offered_or_released_from_a_lower_branch_is_answered_with_the_higher() -> None:
    keeper = holding(RECOVERED, K)
    [told] = keeper.receive(Offer(BORN.vm_id, 1, BORN, TERMS), A.node_id, 0)
    assert told == Send(A.node_id, Higher(BORN.vm_id, RECOVERED))
    moved = BORN.released(A, K.public, NEW)
    [told] = keeper.receive(Release(BORN.vm_id, moved), A.node_id, 0)  # never had
    assert told == Send(A.node_id, Higher(BORN.vm_id, RECOVERED))
    assert keeper.tenure.phase is Phase.HOLDING


def test_who_gave_way_takes_the_vm_from_the_higher_branch_even_when_it_heard_of_that_first() -> (
    None
):
    back = RECOVERED.released(K, A.public, PARKED)
    lost = holding(BORN, A)
    lost.met(back)
    lost.take()
    lost = after_a_crash(lost, A)
    lost.stored(PARKED)
    effects = list(lost.receive(Release(BORN.vm_id, back), K.node_id, 1))
    assert Start(PARKED) in effects
    again = list(lost.receive(Release(BORN.vm_id, back), K.node_id, 2))
    assert again == [Send(K.node_id, Ack(BORN.vm_id, back.epoch, back.digest))]


def test_a_holder_set_back_in_time_gives_way_to_its_own_release() -> None:
    """The old copy of a disk: A holds epoch 1 again, which it released long ago."""
    moved = BORN.released(A, B.public, PARKED)
    back = moved.released(B, A.public, NEW)
    restored = holding(BORN, A)
    restored.met(back)
    assert kinds(list(restored.take()))[0] is Diverge
    restored.stored(NEW)  # which B has kept, if A had not acknowledged it yet
    assert Start(NEW) in restored.receive(Release(BORN.vm_id, back), B.node_id, 1)


@pytest.mark.parametrize("first_is_higher", [False, True])
def test_of_two_releases_of_one_epoch_every_node_takes_the_same(first_is_higher: bool) -> None:
    one = BORN.released(A, B.public, PARKED)
    two = BORN.released(A, B.public, NEW)
    first, second = (one, two) if one.beats(two) is first_is_higher else (two, one)
    target = Handoff(Tenure(BORN.vm_id), B)
    for snapshot in (PARKED, NEW):
        target.stored(snapshot)
    target.receive(Release(BORN.vm_id, first), A.node_id, 0)
    effects = list(target.receive(Release(BORN.vm_id, second), A.node_id, 1))
    if first_is_higher:
        assert effects == [Send(A.node_id, Higher(BORN.vm_id, first))]
    else:
        assert kinds(effects)[:1] == [Diverge]
        assert second.snapshot is not None
        assert Start(second.snapshot) in effects


def test_a_release_that_was_heard_of_before_it_came_is_not_taken_for_an_old_one() -> None:
    releases = [BORN.released(A, B.public, snapshot) for snapshot in (PARKED, NEW)]
    lower, higher = sorted(releases, key=lambda chain: chain.links[0].weight)
    assert higher.snapshot is not None
    target = holding(lower, B)
    target.met(higher)
    target.take()
    target = after_a_crash(target, B)
    target.stored(higher.snapshot)
    effects = target.receive(Release(BORN.vm_id, higher), A.node_id, 1)
    assert Start(higher.snapshot) in effects


def test_an_acknowledgement_is_what_only_the_target_can_sign() -> None:
    source = released(BORN, A, B)
    assert source.tenure.chain is not None
    onward = source.tenure.chain.released(B, C.public, NEW)
    source.met(onward)
    assert kinds(list(source.take())) == [Persist, Forget]
    source = released(BORN, A, B)
    assert source.tenure.chain is not None
    source.met(source.tenure.chain.recovered(K, OLD))  # B may never have had it
    assert kinds(list(source.take()))[0] is Diverge


def test_an_operator_recovers_a_release_whose_target_was_lost() -> None:
    source = released(BORN, A, B)
    assert source.tenure.chain is not None
    forced = source.tenure.chain.recovered(A, PARKED)
    source.recover(forced, PARKED)
    assert kinds(list(source.take())) == [Persist, Start]
    late = source.tenure.chain.before
    assert list(source.receive(Ack(BORN.vm_id, late.epoch, late.digest), B.node_id, 9)) == []


def test_what_cannot_be_recovered_says_why() -> None:
    with pytest.raises(UsageError, match="need not be recovered"):
        holding(BORN, K).recover(RECOVERED, OLD)
    aware = Handoff(Tenure(BORN.vm_id, chain=BORN.recovered(C, OLD), fence=1), K)
    with pytest.raises(UsageError, match="counts for more"):
        aware.recover(RECOVERED, OLD)
    keeper = Handoff(Tenure(BORN.vm_id), K)
    for chain, snapshot in [(RECOVERED, NEW), (BORN.recovered(C, OLD), OLD)]:
        with pytest.raises(UsageError, match="not a recovery by this node"):
            keeper.recover(chain, snapshot)


def test_word_of_a_higher_branch_survives_its_wire_form() -> None:
    message = Higher(BORN.vm_id, RECOVERED)
    assert decode(encode(message)) == message
