"""Failure detection in small meshes, simulated: what is found, and what is never believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.gossip import messages
from radics_mesh.gossip.members import State
from radics_mesh.gossip.settings import Settings
from radics_mesh.gossip.swim import Swim
from radics_mesh.gossip.words import Word, say_alive, say_suspect
from tests.gossip.test_words import VALID
from tests.gossip.world import MESH, World, at, identity

ALONE = World(14)
ALONE.start(0)


def test_ten_nodes_find_each_other_from_one_address_each() -> None:
    world = World(1)
    world.settle(10)
    assert world.views(State.ALIVE) == 90
    assert world.now < 20


def test_a_failed_node_is_unreachable_for_all_within_eight_seconds() -> None:
    world = World(2)
    world.settle(10)
    killed = world.now
    world.kill(3)
    assert world.run(killed + 8, lambda: world.views(State.UNREACHABLE) == 9)
    assert world.views(State.ALIVE) == 72
    member = world.nodes[0].members.get(identity(3).node_id)
    assert member is not None
    since = member.since
    world.run(world.now + 120)
    assert (member.state, member.since) == (State.UNREACHABLE, since)


def test_who_comes_back_with_its_old_key_is_taken_back() -> None:
    world = World(3)
    world.settle(6)
    world.kill(5)
    assert world.run(world.now + 10, lambda: world.views(State.UNREACHABLE) == 5)
    world.run(world.now + 100)
    world.start(5, meets=[0])
    assert world.run(world.now + 10, lambda: world.views(State.ALIVE) == 30)


def test_who_leaves_is_not_suspected_first() -> None:
    world = World(4)
    world.settle(6)
    world.leave(5)
    assert world.run(world.now + 3, lambda: world.views(State.LEFT) == 5)
    assert not [c for _, _, c in world.changes if c.state is State.SUSPECT]
    world.start(5, meets=[0])
    assert world.run(world.now + 10, lambda: world.views(State.ALIVE) == 30)


def test_nobody_is_unreachable_by_a_third_of_the_datagrams_being_lost() -> None:
    world = World(5)
    world.settle(10)
    world.loss = 0.3
    world.run(world.now + 300)
    assert not [c for _, _, c in world.changes if c.state is State.UNREACHABLE]
    # There were suspicions, or this shows nothing; they were answered.
    assert world.views(State.ALIVE) >= 88
    assert sum(swim.counters["probes_failed"] for swim in world.nodes.values()) > 20


def test_two_halves_forget_nobody_and_find_each_other_again() -> None:
    world = World(6)
    world.settle(10)
    world.island = lambda number: number % 2
    assert world.run(world.now + 60, lambda: world.views(State.UNREACHABLE) == 50)
    world.run(world.now + 120)
    world.island = lambda number: 0
    assert world.run(world.now + 30, lambda: world.views(State.ALIVE) == 90)


def test_a_node_that_only_helpers_reach_stays_alive() -> None:
    world = World(7)
    world.settle(6)
    pair = {at(0), at(1)}
    world.cut = lambda number, address: {at(number), address} == pair
    world.run(world.now + 120)
    assert not [c for _, _, c in world.changes if c.state is not State.ALIVE]


def test_a_chain_of_radio_hops_accuses_nobody_and_hears_of_the_far_end() -> None:
    """Only neighbours hear each other: from the third hop on not even helpers reach the other."""
    world = World(13)
    world.cut = lambda number, address: abs(number - int(address[0].rpartition(".")[2])) > 1
    for number in range(6):
        world.start(number, meets=[number - 1] if number else [])
    assert world.run(world.now + 60, lambda: world.views(State.ALIVE) == 30)
    world.run(world.now + 180)
    assert not [c for _, _, c in world.changes if c.state is not State.ALIVE]
    world.kill(5)
    assert world.run(world.now + 60, lambda: world.views(State.UNREACHABLE) == 5)
    world.run(world.now + 60)
    assert world.views(State.ALIVE) == 20


def test_a_steady_mesh_is_quiet() -> None:
    world = World(8)
    world.settle(10)
    world.run(world.now + 60)
    world.bytes.clear()
    world.run(world.now + 120)
    assert sum(world.bytes.values()) / 10 / 120 < 400  # bytes a second and node


# --- who lies ---------------------------------------------------------------------------------


@pytest.fixture
def pair() -> World:
    world = World(9)
    world.settle(3)
    world.run(world.now + 5)
    return world


def hear(world: World, number: int, *words: Word) -> Swim:
    """What one node makes of some words."""
    swim = world.nodes[number]
    datagram = messages.datagram(messages.news_head(), [word.pack() for word in words])
    swim.receive(datagram, at(2), world.now)
    return swim


def test_an_accused_node_refutes_and_outdoes_the_accusation(pair: World) -> None:
    swim = hear(pair, 0, say_suspect(identity(2), MESH, identity(0).node_id, 0))
    assert swim.beliefs.own.incarnation == 1
    assert swim.counters["refuted"] == 1
    # The same again, a replay, changes nothing any more.
    hear(pair, 0, say_suspect(identity(2), MESH, identity(0).node_id, 0))
    assert swim.beliefs.own.incarnation == 1


def test_an_accusation_of_an_incarnation_that_never_was_is_not_believed(pair: World) -> None:
    ahead = say_suspect(identity(2), MESH, identity(1).node_id, 1000)
    swim = hear(pair, 0, ahead)
    assert pair.state(0, 1) is State.ALIVE
    hear(pair, 1, ahead)
    assert pair.nodes[1].beliefs.own.incarnation == 0
    assert swim.counters["words_outdated"] == 1


def test_forged_words_are_counted_and_dropped(pair: World) -> None:
    said = say_alive(identity(1), MESH, 5)
    swim = hear(pair, 0, type(said)(said.key, 6, False, said.signature))
    member = swim.members.get(identity(1).node_id)
    assert member is not None
    assert member.word.incarnation == 0
    assert swim.counters["forged"] == 1


def test_nobody_is_unreachable_by_the_word_of_others_alone(pair: World) -> None:
    """All others accuse it at once; its answer is heard in time."""
    accused = identity(1).node_id
    hear(pair, 0, *(say_suspect(identity(n), MESH, accused, 0) for n in range(2, 9)))
    assert pair.state(0, 1) is State.SUSPECT
    pair.run(pair.now + 30)
    assert pair.state(0, 1) is State.ALIVE
    assert not [c for _, _, c in pair.changes if c.state is State.UNREACHABLE]


def test_a_flood_of_one_signer_is_believed_in_part_only(pair: World) -> None:
    for incarnation in range(1, 200):
        swim = hear(pair, 0, say_alive(identity(2), MESH, incarnation))
    assert swim.counters["flooding"] == 199 - 32
    assert len(swim.beliefs.rumours) <= 2


def test_words_of_strangers_are_not_believed_and_remembered_as_such() -> None:
    world = World(10)
    swim = world.start(0, admits=lambda key: key == identity(1).public)
    hear(world, 0, say_alive(identity(1), MESH, 0), say_alive(identity(2), MESH, 0))
    assert [m.node_id for m in swim.members] == [identity(1).node_id]
    assert list(swim.beliefs.strangers) == [identity(2).node_id]
    assert not [one for one in swim.outgoing if identity(2).public in one[0]]


def test_nobody_gets_more_than_he_sent_before_he_proved_his_address(pair: World) -> None:
    swim = pair.nodes[0]
    swim.outgoing.clear()
    for number in range(20, 60):
        swim.beliefs.rumours.add(say_alive(identity(number), MESH, 1).seen_at(at(number)))
    own = say_alive(identity(7), MESH, 0).pack()
    questions = [
        messages.datagram(messages.ping_head(b"12345678"), []),
        messages.datagram(messages.ping_head(b"12345678"), [own]),
        messages.datagram(messages.ask_head(b"12345678", identity(1).node_id), []),
        messages.datagram(messages.sync_head([], answers=False), [own]),
    ]
    for question in questions:
        swim.receive(question, ("192.0.2.9", 5050), pair.now)
        answers = [len(d) for d, address in swim.outgoing if address[0] == "192.0.2.9"]
        swim.outgoing.clear()
        assert sum(answers) <= len(question)


def test_a_full_view_keeps_the_pinned_the_near_and_a_sample() -> None:
    small = World(12, settings=Settings(view_max=20, near_max=10))
    swim = small.start(0)
    nodes = [identity(number) for number in range(1, 120)]
    pinned = nodes[50].node_id
    swim.members.pinned = {pinned}
    for one in nodes:
        hear(small, 0, say_alive(one, MESH, 0).seen_at(("10.0.0.9", 1)))
    view = {member.node_id for member in swim.members.live()}
    own = int.from_bytes(identity(0).node_id, "big")
    near = sorted((n.node_id for n in nodes), key=lambda n: int.from_bytes(n, "big") ^ own)[:9]
    assert len(view) == 20
    assert pinned in view
    assert view >= set(near)
    # What it hears of the others it passes on all the same.
    assert len(swim.beliefs.rumours) > 100


@given(st.sampled_from(VALID), st.integers(0, 400), st.binary(max_size=4), st.integers(0, 4))
def test_no_datagram_gets_an_exception_out_of_a_node(
    datagram: bytes, place: int, put: bytes, cut: int
) -> None:
    place %= len(datagram)
    swim = ALONE.nodes[0]
    swim.receive(datagram[:place] + put + datagram[place + cut :], at(2), ALONE.now)
    swim.tick(ALONE.now)
    swim.outgoing.clear()
