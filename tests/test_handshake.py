import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from radics_mesh.clock import Wall
from radics_mesh.errors import PeerError, WireError
from radics_mesh.handshake import SESSION_MAGIC, Established, Initiator, Responder
from radics_mesh.ids import NodeId
from radics_mesh.me import Me
from radics_mesh.membership import GRACE_S, Mesh, Verifier
from tests.meshes import NOW, World, identity

WORLD = World()
ALICE, BOB, MALLORY = WORLD.member(2), WORLD.member(3), WORLD.member(4)


def run(alice: Me, bob: Me, expect: NodeId | None = None) -> tuple[Established | None, Established]:
    initiator = Initiator(alice, expect=expect, listen_port=5050)
    responder = Responder(bob, listen_port=6060)
    last = initiator.answer(responder.answer(hello_of(initiator)))
    return initiator.established, responder.finish(last)


def hello_of(initiator: Initiator) -> bytes:
    return initiator.hello().removeprefix(SESSION_MAGIC)


def test_both_sides_prove_who_they_are_and_agree_on_keys() -> None:
    of_alice, of_bob = run(ALICE, BOB, BOB.node_id)
    assert of_alice is not None
    assert (of_alice.peer, of_alice.chain, of_alice.listen_port) == (BOB.node_id, BOB.chain, 6060)
    assert (of_bob.peer, of_bob.chain, of_bob.listen_port) == (ALICE.node_id, ALICE.chain, 5050)
    assert of_alice.send_key == of_bob.receive_key != of_alice.receive_key == of_bob.send_key


def test_every_run_has_new_keys() -> None:
    assert run(ALICE, BOB)[1].send_key != run(ALICE, BOB)[1].send_key


def test_nothing_shown_names_a_party() -> None:
    initiator, responder = Initiator(ALICE, expect=None), Responder(BOB)
    hello = hello_of(initiator)
    answer = responder.answer(hello)
    last = initiator.answer(answer)
    for shown in (hello, answer, last):
        for me in (ALICE, BOB):
            assert me.identity.public not in shown
            assert me.chain not in shown


def test_an_impostor_of_a_known_node_learns_nothing_of_the_caller() -> None:
    """Mallory is a member, but not the one whom Alice dials: she never sends her proof."""
    initiator = Initiator(ALICE, expect=BOB.node_id)
    answer = Responder(MALLORY).answer(hello_of(initiator))
    with pytest.raises(PeerError, match="answers where"):
        initiator.answer(answer)
    assert initiator.established is None


def stolen(victim: Me, thief: Me) -> Me:
    """Who shows the victim's chain without having the victim's key."""
    return Me(thief.identity, thief.verifier, victim.chain, thief.clock)


def test_a_chain_without_its_key_proves_nothing() -> None:
    with pytest.raises(PeerError, match="bad signature on a session responder"):
        run(ALICE, stolen(BOB, MALLORY))
    with pytest.raises(PeerError, match="bad signature on a session initiator"):
        run(stolen(ALICE, MALLORY), BOB)


def outsider(mesh_key: bytes) -> Me:
    """Founds a mesh of his own, then claims to know ours, with our mesh key or without."""
    theirs = World(9)
    mesh = Mesh(WORLD.mesh.genesis, mesh_key)
    return Me(theirs.first_identity, Verifier(mesh), theirs.first.chain, theirs.clock)


def test_without_the_mesh_key_the_first_message_is_the_last() -> None:
    with pytest.raises(PeerError, match="without the mesh key"):
        run(outsider(bytes(32)), BOB)


def test_a_responder_without_the_mesh_key_cannot_answer() -> None:
    initiator = Initiator(ALICE, expect=None)
    fake = outsider(bytes(32))
    own = Initiator(fake, expect=None)
    answer = Responder(fake).answer(hello_of(own))
    with pytest.raises(PeerError, match="does not hold"):
        initiator.answer(answer)


def test_the_mesh_key_alone_makes_nobody_a_member() -> None:
    with pytest.raises(PeerError, match="another mesh"):
        run(outsider(WORLD.mesh.key), BOB)
    with pytest.raises(PeerError, match="another mesh"):
        run(ALICE, outsider(WORLD.mesh.key))


def test_an_expired_member_is_none() -> None:
    with pytest.raises(PeerError, match="expired"):
        run(WORLD.member(5, expiry=Wall(NOW - GRACE_S)), BOB)


def test_man_in_the_middle_with_own_ephemerals() -> None:
    """He has the mesh key and swaps both ephemerals for his own, then passes on the proofs."""
    initiator, responder = Initiator(ALICE, expect=None), Responder(BOB)
    hello_of(initiator)
    towards_bob = Initiator(MALLORY, expect=None)
    answer = responder.answer(hello_of(towards_bob))
    with pytest.raises(PeerError, match="does not hold"):
        initiator.answer(answer)


def test_man_in_the_middle_changes_a_bit() -> None:
    for position in (0, 31, 32, 60, -1):
        initiator, responder = Initiator(ALICE, expect=None), Responder(BOB)
        answer = bytearray(responder.answer(hello_of(initiator)))
        answer[position] ^= 1
        with pytest.raises(PeerError):
            initiator.answer(bytes(answer))


def test_a_recorded_hello_and_proof_open_nothing() -> None:
    initiator, responder = Initiator(ALICE, expect=None), Responder(BOB)
    hello = hello_of(initiator)
    last = initiator.answer(responder.answer(hello))
    responder.finish(last)
    again = Responder(BOB)
    again.answer(hello)
    with pytest.raises(PeerError, match="does not hold"):
        again.finish(last)


def test_a_recorded_answer_proves_nobody() -> None:
    recorded = Responder(BOB).answer(hello_of(Initiator(ALICE, expect=None)))
    with pytest.raises(PeerError, match="does not hold"):
        Initiator(ALICE, expect=None).answer(recorded)


def test_a_reflected_ephemeral_is_refused() -> None:
    initiator = Initiator(ALICE, expect=None)
    own = hello_of(initiator)[:32]
    with pytest.raises(PeerError, match="came back"):
        initiator.answer(own + bytes(200))


def test_a_reflected_run_is_no_peer() -> None:
    """The attacker dials Alice with her own hello and passes her answers back to her."""
    initiator, responder = Initiator(ALICE, expect=None), Responder(ALICE)
    answer = responder.answer(hello_of(initiator))
    with pytest.raises(PeerError, match="own key"):
        initiator.answer(answer)


def test_a_small_order_ephemeral_is_refused() -> None:
    with pytest.raises(PeerError, match="small order"):
        Initiator(ALICE, expect=None).answer(bytes(32) + bytes(200))


def test_out_of_order() -> None:
    with pytest.raises(WireError, match="order"):
        Responder(BOB).finish(b"x")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(junk: bytes) -> None:
    with pytest.raises((WireError, PeerError)):
        Initiator(ALICE, expect=None).answer(junk)
    responder = Responder(BOB)
    with pytest.raises((WireError, PeerError)):
        responder.answer(junk)
    responder = Responder(BOB)
    responder.answer(hello_of(Initiator(ALICE, expect=None)))
    with pytest.raises((WireError, PeerError)):
        responder.finish(junk)


def test_keys_need_the_ephemeral_secrets() -> None:
    """Forward secrecy: with both long-term keys, the mesh key and a recording, but without an
    ephemeral secret, the shared secret is unknown; it is not a function of long-term keys."""
    of_alice, _ = run(ALICE, BOB)
    assert of_alice is not None
    mixed = bindings.crypto_scalarmult(
        bindings.crypto_sign_ed25519_sk_to_curve25519(ALICE.identity.secret),
        bindings.crypto_sign_ed25519_pk_to_curve25519(BOB.identity.public),
    )
    assert mixed not in (of_alice.send_key, of_alice.receive_key)
    assert identity(2).public == ALICE.identity.public
