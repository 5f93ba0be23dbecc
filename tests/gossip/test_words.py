"""What members sign, and the datagrams that carry it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Wall
from radics_mesh.codec import pack
from radics_mesh.errors import PeerError, WireError
from radics_mesh.gossip import messages
from radics_mesh.gossip.absences import dump, load
from radics_mesh.gossip.budget import Budget
from radics_mesh.gossip.members import Members, State
from radics_mesh.gossip.suspicion import BETA, CONFIRMATIONS, Suspicion
from radics_mesh.gossip.words import (
    Alive,
    Suspect,
    Word,
    acknowledge,
    parse_word,
    say_alive,
    say_suspect,
)
from radics_mesh.ids import Digest
from tests.gossip.world import MESH, at, identity

ONE, OTHER = identity(1), identity(2)
NONCE = b"12345678"


def test_words_come_back_from_their_wire_form() -> None:
    alive = say_alive(ONE, MESH, 7, left=True).seen_at(("fe80::1", 5050))
    suspect = say_suspect(ONE, MESH, OTHER.node_id, 3)
    for word in (alive, suspect, say_alive(ONE, MESH, 0)):
        again = parse_word(word.pack())
        again.check(MESH)
        assert again == word


@pytest.mark.parametrize(
    "forged",
    [
        Alive(OTHER.public, 7, False, say_alive(ONE, MESH, 7).signature),
        Alive(ONE.public, 8, False, say_alive(ONE, MESH, 7).signature),
        Alive(ONE.public, 7, True, say_alive(ONE, MESH, 7).signature),
        say_alive(ONE, Digest(bytes(31) + b"x"), 7),
        Suspect(OTHER.node_id, 4, ONE.public, say_suspect(ONE, MESH, OTHER.node_id, 3).signature),
        Suspect(ONE.node_id, 3, ONE.public, say_suspect(ONE, MESH, OTHER.node_id, 3).signature),
    ],
)
def test_nobody_can_speak_for_another_or_for_another_mesh(forged: Word) -> None:
    with pytest.raises(PeerError):
        forged.check(MESH)


def test_an_acknowledgement_is_worth_nothing_for_another_question() -> None:
    proof = acknowledge(ONE, MESH, NONCE, 1)
    proof.check(MESH)
    with pytest.raises(PeerError):
        type(proof)(b"87654321", proof.key, 1, proof.signature).check(MESH)


def test_a_full_datagram_is_no_longer_than_it_may_be() -> None:
    words = [say_alive(identity(n), MESH, 1 << 40).seen_at(at(n)).pack() for n in range(16)]
    head = messages.ack_head(acknowledge(ONE, MESH, NONCE, 1 << 40))
    room, chosen = messages.room_after(head), []
    for word in words:
        if messages.cost(word) <= room:
            room -= messages.cost(word)
            chosen.append(word)
    datagram = messages.datagram(head, chosen)
    assert len(chosen) >= 7
    assert len(datagram) <= messages.DATAGRAM_MAX_BYTES
    parsed = messages.parse(datagram)
    assert isinstance(parsed, messages.Ack)
    assert [word.pack() for word in parsed.words] == chosen


VALID = [
    messages.datagram(messages.ping_head(NONCE), [say_alive(ONE, MESH, 1).pack()]),
    messages.datagram(messages.ack_head(acknowledge(ONE, MESH, NONCE, 1)), []),
    messages.datagram(messages.ask_head(NONCE, OTHER.node_id), []),
    messages.nack(NONCE),
    messages.datagram(messages.news_head(), [say_suspect(ONE, MESH, OTHER.node_id, 3).pack()]),
    messages.datagram(messages.sync_head([say_alive(ONE, MESH, 1)], answers=True), []),
]


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_wire_error(raw: bytes) -> None:
    try:
        messages.parse(raw)
    except WireError:
        return


@given(st.sampled_from(VALID), st.integers(0, 400), st.binary(max_size=4), st.integers(0, 4))
def test_a_damaged_message_is_a_message_or_a_wire_error(
    datagram: bytes, place: int, put: bytes, cut: int
) -> None:
    place %= len(datagram)
    try:
        messages.parse(datagram[:place] + put + datagram[place + cut :])
    except WireError:
        return


@pytest.mark.parametrize(
    "value",
    [
        [0, NONCE, [pack([0, ONE.public, -1, False, bytes(64), "", 0])]],
        [0, NONCE, [pack([0, ONE.public, 1, False, bytes(64), "224.0.0.1", 5050])]],
        [0, NONCE, [pack([2, ONE.public, 1, False, bytes(64), "", 0])]],
        [0, NONCE[1:], []],
        [4, [b"\xc0"] * 17],
        [5, b"abc", False, []],
        [6, []],
    ],
)
def test_what_does_not_follow_the_form_is_a_wire_error(value: list[object]) -> None:
    with pytest.raises(WireError):
        messages.parse(pack(value))


def test_a_suspicion_is_shorter_with_every_accuser_and_never_too_short() -> None:
    suspicion = Suspicion(0, began=100.0)
    ends = []
    for number in range(CONFIRMATIONS + 3):
        suspicion.confirm(say_suspect(identity(number), MESH, OTHER.node_id, 0))
        suspicion.confirm(say_suspect(identity(number), MESH, OTHER.node_id, 0))
        ends.append(suspicion.ends(3.0, members=50))
    assert ends[0] == 100 + BETA * 3.0
    assert ends == sorted(ends, reverse=True)
    assert ends[CONFIRMATIONS:] == [103.0] * 3
    assert len(suspicion.accusers) == CONFIRMATIONS + 1


def test_of_two_nodes_one_suspects_the_other_no_longer_than_needed() -> None:
    suspicion = Suspicion(0, began=0.0)
    suspicion.confirm(say_suspect(ONE, MESH, OTHER.node_id, 0))
    assert suspicion.ends(3.0, members=1) == 3.0


def test_absences_come_back_with_their_times() -> None:
    members = Members(ONE.node_id, b"salt")
    for number, state in ((2, State.UNREACHABLE), (3, State.LEFT)):
        word = say_alive(identity(number), MESH, 4, left=state is State.LEFT).seen_at(at(number))
        member = members.add(word, 10.0)
        assert member is not None
        members.part(member, state, 100.0)
    written = dump(members, 160.0, Wall(1_800_000_060.0))
    again = Members(ONE.node_id, b"other")
    assert load(written, again, MESH, 5000.0, Wall(1_800_003_600.0)) == 2
    found = {member.node_id: member for member in again}
    assert found[OTHER.node_id].state is State.UNREACHABLE
    assert found[OTHER.node_id].since == 5000.0 - 3600.0
    assert found[OTHER.node_id].addresses == [at(2)]
    assert found[identity(3).node_id].word.left
    # A clock that was never set, or set back, knows nothing of how long ago that was.
    unset = Members(ONE.node_id, b"other")
    load(written, unset, MESH, 7.0, Wall(100.0))
    assert {member.since for member in unset} == {7.0}
    assert load(written, Members(ONE.node_id, b""), Digest(bytes(31) + b"x"), 7.0, Wall(0.0)) == 0


@given(st.binary(max_size=300))
def test_any_file_is_absences_or_a_wire_error(raw: bytes) -> None:
    try:
        load(raw, Members(ONE.node_id, b""), MESH, 0.0, Wall(0.0))
    except WireError:
        return


def test_a_budget_lets_a_burst_through_and_then_so_many_a_second() -> None:
    budget = Budget(burst=3, per_s=0.5)
    assert [budget.take(b"a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert budget.take(b"b", 0.0)
    assert [budget.take(b"a", 2.0) for _ in range(2)] == [True, False]
