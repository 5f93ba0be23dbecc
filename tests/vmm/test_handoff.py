"""The hand-off, case by case: its steps, wrong senders, wire forms, restarts from bytes. Every
state within bounds is visited in tests/exploration."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import pack
from radics_mesh.errors import PeerError, UsageError, WireError
from radics_mesh.identity import Identity, seal
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import Ownership, born
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_messages import (
    VERSION,
    Abort,
    Ack,
    Frozen,
    Lacks,
    Listing,
    Message,
    Missing,
    Offer,
    Pages,
    Piece,
    Refuse,
    Release,
    Reserve,
    Staged,
    decode,
    encode,
)
from radics_mesh.vmm.handoff_state import (
    FROZEN_S,
    OFFER_S,
    REPEAT_FIRST_S,
    Consider,
    Effect,
    Failed,
    Fetch,
    Forget,
    KillAndReap,
    Park,
    Persist,
    Phase,
    Send,
    SendBlob,
    Stage,
    Start,
    Tenure,
    Unpark,
)
from tests.exploration.world import TERMS

A, B, C = Identity(b"A" * 32), Identity(b"B" * 32), Identity(b"C" * 32)
SNAPSHOT = Digest.of(b"parked")


def _persists(effect: Effect, phase: Phase) -> bool:
    return isinstance(effect, Persist) and effect.tenure.phase is phase


# --- a hand-off, step by step -------------------------------------------------------------------


def chain_of(holder: Identity = A) -> Ownership:
    return born(holder, "counter", Digest.of(b"image"), b"n" * 16)


def source() -> Handoff:
    return Handoff.born(chain_of(), A)


def target(me: Identity = B) -> Handoff:
    return Handoff(Tenure(chain_of().vm_id), me)


def sent(effects: list[Effect] | tuple[Effect, ...]) -> list[Message]:
    return [effect.message for effect in effects if isinstance(effect, Send)]


def frozen_source() -> Handoff:
    handoff = source()
    handoff.offer(B.node_id, TERMS, 0)
    handoff.receive(Reserve(handoff.tenure.vm_id, 1, B.public, True), B.node_id, 1)
    handoff.staged_enough()
    handoff.parked(SNAPSHOT, TERMS, 2)
    handoff.take()
    return handoff


def test_a_move_takes_these_steps_in_this_order() -> None:
    a, b = source(), target()
    a.offer(B.node_id, TERMS, 0)
    persist, offer = a.take()
    assert isinstance(persist, Persist)
    assert persist.tenure.attempt == 1
    assert isinstance(offer, Send)
    assert offer.to == B.node_id
    [consider] = b.receive(offer.message, A.node_id, 1)
    assert isinstance(consider, Consider)
    b.reserve(consider, 1, has_image=True)
    [reserve] = sent(list(b.take()))
    assert list(a.receive(reserve, B.node_id, 2)) == [Stage()]
    a.staged_enough()
    assert list(a.take()) == [Park()]
    a.parked(SNAPSHOT, TERMS, 3)
    persist, blob, frozen = a.take()
    assert _persists(persist, Phase.FROZEN)
    assert blob == SendBlob(B.node_id, SNAPSHOT)
    assert isinstance(frozen, Send)
    fetch, reserved = b.receive(frozen.message, A.node_id, 4)
    assert fetch == Fetch(A.node_id, SNAPSHOT)
    assert isinstance(reserved, Send)
    assert list(a.receive(reserved.message, B.node_id, 5)) == []  # a sign of life
    assert a.tenure.deadline == 5 + FROZEN_S
    b.stored(SNAPSHOT)
    [staged] = sent(list(b.take()))
    kill, persist, release = a.receive(staged, B.node_id, 5)
    assert kill == KillAndReap()
    assert _persists(persist, Phase.RELEASED)
    assert isinstance(release, Send)
    persist, start, ack = b.receive(release.message, A.node_id, 6)
    assert _persists(persist, Phase.HOLDING)
    assert start == Start(SNAPSHOT)
    assert isinstance(ack, Send)
    persist, forget = a.receive(ack.message, B.node_id, 7)
    assert _persists(persist, Phase.NONE)
    assert forget == Forget(SNAPSHOT)
    assert a.tenure.chain == b.tenure.chain
    assert a.next_deadline() is None


def test_a_target_that_lacks_the_image_gets_it_before_the_guest_is_parked() -> None:
    a = source()
    a.offer(B.node_id, TERMS, 0)
    a.take()
    vm_id, image = a.tenure.vm_id, chain_of().birth.image
    assert list(a.receive(Reserve(vm_id, 1, B.public, False), B.node_id, 50)) == []
    effects = a.receive(Missing(vm_id, image, (1, 2)), B.node_id, 50)
    assert list(effects) == [SendBlob(B.node_id, image, (1, 2))]
    assert a.tenure.deadline == 50 + OFFER_S
    assert list(a.receive(Reserve(vm_id, 1, B.public, True), B.node_id, 60)) == [Stage()]


def staging_source(patience_s: float = OFFER_S) -> Handoff:
    handoff = source()
    handoff.offer(B.node_id, TERMS, 0, patience_s=patience_s)
    handoff.receive(Reserve(handoff.tenure.vm_id, 1, B.public, True), B.node_id, 1)
    handoff.take()
    return handoff


def test_while_pages_are_staged_the_reservation_is_kept_and_the_guest_runs() -> None:
    a = staging_source()
    vm_id = a.tenure.vm_id
    assert isinstance(sent(list(a.tick(1 + REPEAT_FIRST_S)))[0], Offer)
    assert list(a.receive(Reserve(vm_id, 1, B.public, True), B.node_id, 90)) == []
    assert a.hears(1, B.node_id, 100)
    assert a.tenure.deadline == 100 + OFFER_S
    with pytest.raises(PeerError):
        a.hears(1, C.node_id, 100)
    assert not a.hears(2, B.node_id, 100)
    assert Handoff(Tenure.parse(a.tenure.pack()), A).tenure.phase is Phase.HOLDING


@pytest.mark.parametrize("frozen", [False, True])
def test_a_move_is_cancelled_at_any_time_before_its_release(frozen: bool) -> None:
    a = frozen_source() if frozen else staging_source()
    a.cancel("its user said so")
    effects = list(a.take())
    assert a.tenure.phase is Phase.HOLDING
    assert sent(effects) == [Abort(a.tenure.vm_id, 1)]
    assert (Unpark(SNAPSHOT) in effects) is frozen
    a.staged_enough()  # a round that was under way ends
    assert list(a.take()) == []


def test_who_moves_over_slow_bundles_has_more_patience() -> None:
    a = staging_source(patience_s=86_400)
    a.staged_enough()
    a.parked(SNAPSHOT, TERMS, 10)
    assert a.tenure.deadline == 10 + 86_400


def test_silence_before_release_gives_up_and_the_guest_goes_on() -> None:
    a = frozen_source()
    effects = list(a.tick(1000))
    assert _persists(effects[0], Phase.HOLDING)
    assert effects[1] == Unpark(SNAPSHOT)
    assert sent(effects) == [Abort(a.tenure.vm_id, 1)]
    assert isinstance(effects[-1], Failed)
    late = a.receive(Staged(a.tenure.vm_id, 1, SNAPSHOT), B.node_id, 1001)
    assert list(late) == []


def test_an_answer_to_an_earlier_attempt_is_none_to_this_one() -> None:
    a = source()
    a.offer(B.node_id, TERMS, 0)
    a.tick(1000)
    a = Handoff(Tenure.parse(a.tenure.pack()), A)  # the number survives a crash
    a.offer(B.node_id, TERMS, 1000)
    assert a.tenure.attempt == 2
    a.take()
    assert list(a.receive(Reserve(a.tenure.vm_id, 1, B.public, True), B.node_id, 1001)) == []


def test_a_certificate_is_sent_again_until_it_is_acknowledged_ever_more_rarely() -> None:
    a = frozen_source()
    a.receive(Staged(a.tenure.vm_id, 1, SNAPSHOT), B.node_id, 3)
    now, waits = 3.0, []
    for _ in range(12):
        due = a.next_deadline()
        assert due is not None
        waits.append(due - now)
        now = due
        [message] = sent(list(a.tick(now)))
        assert isinstance(message, Release)
    assert waits[:3] == [REPEAT_FIRST_S, 2 * REPEAT_FIRST_S, 4 * REPEAT_FIRST_S]
    assert waits[-1] == 300
    a = Handoff(Tenure.parse(a.tenure.pack()), A)
    effects = list(a.restore(0))
    assert effects[0] == KillAndReap()
    assert isinstance(sent(effects)[0], Release)


def test_a_one_way_move_releases_without_an_answer() -> None:
    a, b = source(), target()
    with pytest.raises(UsageError, match="public key"):
        a.offer(B.node_id, TERMS, 0, one_way=True)
    a.offer(B.node_id, TERMS, 0, key=B.public, one_way=True)
    assert list(a.take())[-1] == Park()
    a.parked(SNAPSHOT, TERMS, 1)
    effects = list(a.take())
    order = [type(effect) for effect in effects]
    assert order == [Persist, KillAndReap, Persist, Send, SendBlob, SendBlob]
    [release] = sent(effects)
    # The certificate arrives before the snapshot, and the node crashes in between.
    effects = list(b.receive(release, A.node_id, 2))
    assert effects[-1] == Fetch(A.node_id, SNAPSHOT)
    b = Handoff(Tenure.parse(b.tenure.pack()), B)
    assert list(b.restore(3)) == [Fetch(A.node_id, SNAPSHOT)]
    b.stored(SNAPSHOT)
    assert Start(SNAPSHOT) in b.take()


def test_a_one_way_move_goes_on_one_way_after_a_crash() -> None:
    """Between the durable snapshot and the release; an answer may never come."""
    a = source()
    a.offer(B.node_id, TERMS, 0, key=B.public, one_way=True)
    a.take()
    a.parked(SNAPSHOT, TERMS, 1)
    frozen = next(e for e in a.take() if isinstance(e, Persist))
    a = Handoff(Tenure.parse(frozen.tenure.pack()), A)
    effects = list(a.restore(2))
    assert [type(e) for e in effects] == [KillAndReap, Persist, Send, SendBlob, SendBlob]
    assert a.tenure.phase is Phase.RELEASED


def test_a_node_that_got_its_vm_back_refuses_nothing_that_it_owes() -> None:
    """A's ACK from B was lost, and B offers the VM back: that is the acknowledgement."""
    a, b = frozen_source(), target()
    [release] = sent(list(a.receive(Staged(a.tenure.vm_id, 1, SNAPSHOT), B.node_id, 3)))
    b.stored(SNAPSHOT)
    b.receive(release, A.node_id, 4)
    b.offer(A.node_id, TERMS, 5)
    [back] = sent(list(b.take()))
    persist, forget, consider = a.receive(back, B.node_id, 6)
    assert _persists(persist, Phase.NONE)
    assert forget == Forget(SNAPSHOT)
    assert isinstance(consider, Consider)


def test_an_old_release_is_acknowledged_again_and_starts_nothing() -> None:
    a, b = frozen_source(), target()
    [release] = sent(list(a.receive(Staged(a.tenure.vm_id, 1, SNAPSHOT), B.node_id, 3)))
    b.stored(SNAPSHOT)
    b.receive(release, A.node_id, 4)
    [ack] = sent(list(b.receive(release, A.node_id, 5)))
    assert isinstance(ack, Ack)


@pytest.mark.parametrize(
    "message",
    [
        Reserve(chain_of().vm_id, 1, C.public, True),
        Refuse(chain_of().vm_id, 1, "no"),
        Offer(chain_of().vm_id, 1, chain_of(), TERMS),
        Frozen(chain_of().vm_id, 1, chain_of(), TERMS, SNAPSHOT),
        Release(chain_of().vm_id, chain_of().released(A, C.public, SNAPSHOT)),
    ],
)
def test_a_message_by_anyone_but_the_right_node_is_refused(message: Message) -> None:
    a = source()
    a.offer(B.node_id, TERMS, 0)
    before = a.tenure
    with pytest.raises(PeerError):
        a.receive(message, C.node_id, 1)
    assert a.tenure == before


@pytest.mark.parametrize("sender", [C.node_id, A.node_id])
def test_only_the_target_ends_a_release(sender: NodeId) -> None:
    a = frozen_source()
    with pytest.raises(PeerError):
        a.receive(Staged(a.tenure.vm_id, 1, SNAPSHOT), sender, 3)
    with pytest.raises(PeerError):
        a.receive(Missing(a.tenure.vm_id, SNAPSHOT), sender, 3)
    a.receive(Staged(a.tenure.vm_id, 1, SNAPSHOT), B.node_id, 3)
    assert a.tenure.chain is not None
    ack = Ack(a.tenure.vm_id, 2, a.tenure.chain.digest)
    with pytest.raises(PeerError):
        a.receive(ack, sender, 4)
    with pytest.raises(PeerError):
        a.receive(replace(ack, chain_digest=SNAPSHOT), B.node_id, 4)
    assert a.tenure.phase is Phase.RELEASED


def test_a_guest_that_does_not_park_goes_on() -> None:
    a = source()
    a.offer(B.node_id, TERMS, 0)
    a.receive(Reserve(a.tenure.vm_id, 1, B.public, True), B.node_id, 1)
    a.staged_enough()
    a.take()
    a.park_failed("it would not")
    effects = list(a.take())
    assert Unpark(None) in effects
    assert a.tenure.phase is Phase.HOLDING


def test_what_cannot_be_begun_says_why() -> None:
    a = frozen_source()
    with pytest.raises(UsageError, match="frozen"):
        a.offer(B.node_id, TERMS, 0)
    with pytest.raises(UsageError, match="here already"):
        source().offer(A.node_id, TERMS, 0)


# --- wire forms ---------------------------------------------------------------------------------

CHAIN = chain_of().released(A, B.public, SNAPSHOT)
MESSAGES: list[Message] = [
    Offer(CHAIN.vm_id, 1, CHAIN, TERMS),
    Reserve(CHAIN.vm_id, 2, B.public, False),
    Refuse(CHAIN.vm_id, 3, "no room"),
    Frozen(CHAIN.vm_id, 4, CHAIN, TERMS, SNAPSHOT),
    Staged(CHAIN.vm_id, 5, SNAPSHOT),
    Abort(CHAIN.vm_id, 6),
    Release(CHAIN.vm_id, CHAIN),
    Ack(CHAIN.vm_id, 2, CHAIN.digest),
    Missing(CHAIN.vm_id, SNAPSHOT, (0, 7)),
    Piece(CHAIN.vm_id, SNAPSHOT, 1, 2, b"pages"),
    Listing(CHAIN.vm_id, 7, SNAPSHOT, Digest.of(b"base"), 1, 2, b"delta"),
    Listing(CHAIN.vm_id, 8, SNAPSHOT, None, 0, 1, b"whole"),
    Lacks(CHAIN.vm_id, 9, SNAPSHOT, b"some"),
    Pages(CHAIN.vm_id, b"a pack"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_messages_survive_the_wire(message: Message) -> None:
    assert decode(encode(message)) == message
    sealed = encode(message, B.public)
    assert decode(sealed, B) == message
    with pytest.raises(PeerError):
        decode(sealed, A)
    with pytest.raises(WireError):
        decode(encode(message, B.public))


def test_a_sealed_message_is_about_the_vm_that_it_says_outside() -> None:
    inner = encode(Abort(CHAIN.vm_id, 6))
    outer = pack([VERSION, "sealed", bytes(20), seal(B.public, inner)])
    with pytest.raises(WireError, match="another VM"):
        decode(outer, B)
    twice = pack([VERSION, "sealed", bytes(20), seal(B.public, encode(MESSAGES[0], B.public))])
    with pytest.raises(WireError):
        decode(twice, B)


@given(st.sampled_from(MESSAGES), st.integers(0, 10_000), st.integers(1, 255))
def test_a_damaged_message_is_refused_or_another_valid_one(
    message: Message, place: int, change: int
) -> None:
    data = bytearray(encode(message))
    data[place % len(data)] ^= change
    try:
        decode(bytes(data))
    except (WireError, PeerError):
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_wire_error(data: bytes) -> None:
    try:
        decode(data)
    except (WireError, PeerError):
        return


@pytest.mark.parametrize("phase", [Phase.HOLDING, Phase.FROZEN, Phase.RELEASED, Phase.NONE])
def test_a_tenure_survives_as_what_is_durable(phase: Phase) -> None:
    tenure = replace(frozen_source().tenure, phase=phase, fence=3, attempt=9, certificate=CHAIN)
    assert Tenure.parse(tenure.pack()) == tenure.durable()


@given(st.binary(max_size=100))
def test_a_tenure_from_any_bytes(data: bytes) -> None:
    try:
        Tenure.parse(data)
    except (WireError, PeerError):
        return
