"""Both admission protocols, attacked message by message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.admission import exchange
from radics_mesh.admission.exchange import (
    ANSWER_BYTES,
    HELLO_BYTES,
    Admitted,
    Knocker,
    KnockTaker,
    TokenBearer,
    TokenTaker,
    code_of,
    parse_hello,
    token_id,
    typed_code,
    welcome,
)
from radics_mesh.config import Address
from radics_mesh.errors import PeerError, UsageError, WireError
from radics_mesh.handshake import Ephemeral
from radics_mesh.ids import Digest
from radics_mesh.membership import Mesh, Token, invite
from tests.meshes import NEXT_YEAR, NOW, World, identity

WORLD = World()
MEMBER = WORLD.first
STRANGER = identity(50)
SECRET = bytes(range(16))
TOKEN = Token(WORLD.mesh.mesh_id, MEMBER.identity.public, SECRET, "127.0.0.1", 5050)
PEERS = [Address("10.0.0.1", 5050), Address("::1", 7)]
MITM = World(60).first


def chain_for(public: bytes, name: str = "new") -> bytes:
    chain = invite(WORLD.first_identity, WORLD.chain, public, name, NEXT_YEAR)
    return welcome(WORLD.mesh, chain, PEERS)


def value_of(hello: bytes, kind: int) -> bytes:
    assert len(hello) == HELLO_BYTES
    found, value = parse_hello(hello)
    assert found == kind
    return value


def run_token(token: Token, secret: bytes = SECRET) -> Admitted:
    bearer, taker = TokenBearer(token, STRANGER, "new"), TokenTaker(MEMBER)
    answer = taker.answer(value_of(bearer.hello(), exchange.KIND_TOKEN))
    assert len(answer) == ANSWER_BYTES < HELLO_BYTES
    claim, identifier, proof = taker.open(bearer.prove(answer))
    assert (claim.public, claim.name) == (STRANGER.public, "new")
    if identifier != token_id(secret) or not taker.is_proof(secret, claim, proof):
        return bearer.admitted(taker.reply(exchange.decline("unknown")), NOW)
    return bearer.admitted(taker.reply(chain_for(claim.public)), NOW)


def test_a_token_admits() -> None:
    admitted = run_token(TOKEN)
    assert admitted.mesh == WORLD.mesh
    assert admitted.peers == PEERS
    chain = admitted.chain
    assert MEMBER.verifier.member(chain, NOW).public == STRANGER.public


def test_a_wrong_secret_does_not() -> None:
    wrong = Token(TOKEN.mesh_id, TOKEN.inviter, bytes(16), "127.0.0.1", 5050)
    with pytest.raises(UsageError, match="not admitted: unknown"):
        run_token(wrong)


def test_an_impostor_of_the_inviter_is_shown_nothing() -> None:
    bearer = TokenBearer(TOKEN, STRANGER, "new")
    answer = TokenTaker(MITM).answer(value_of(bearer.hello(), exchange.KIND_TOKEN))
    with pytest.raises(PeerError, match="bad signature"):
        bearer.prove(answer)


def test_a_token_of_another_mesh_is_not_answered_for() -> None:
    other = Token(Digest(bytes(32)), TOKEN.inviter, SECRET, "127.0.0.1", 5050)
    with pytest.raises(PeerError, match="bad signature"):
        run_token(other)


def test_the_secret_is_never_shown_and_its_proof_is_for_one_run() -> None:
    bearer, taker = TokenBearer(TOKEN, STRANGER, "new"), TokenTaker(MEMBER)
    hello = bearer.hello()
    message = bearer.prove(taker.answer(value_of(hello, exchange.KIND_TOKEN)))
    assert SECRET not in hello + message
    assert token_id(SECRET) not in hello + message
    again = TokenTaker(MEMBER)
    again.answer(value_of(hello, exchange.KIND_TOKEN))
    with pytest.raises(PeerError, match="does not hold"):
        again.open(message)


def test_a_proof_is_for_one_key() -> None:
    bearer, taker = TokenBearer(TOKEN, STRANGER, "new"), TokenTaker(MEMBER)
    answer = taker.answer(value_of(bearer.hello(), exchange.KIND_TOKEN))
    _, _, proof = taker.open(bearer.prove(answer))
    other = exchange.Claim(identity(51).public, "thief")
    assert not taker.is_proof(SECRET, other, proof)


def test_the_inviter_cannot_slip_in_another_mesh() -> None:
    bearer, taker = TokenBearer(TOKEN, STRANGER, "new"), TokenTaker(MEMBER)
    answer = taker.answer(value_of(bearer.hello(), exchange.KIND_TOKEN))
    taker.open(bearer.prove(answer))
    elsewhere = World(1)  # the same inviter, another genesis
    chain = invite(elsewhere.first_identity, elsewhere.chain, STRANGER.public, "new", NEXT_YEAR)
    with pytest.raises(PeerError, match="another mesh"):
        bearer.admitted(taker.reply(welcome(elsewhere.mesh, chain, [])), NOW)


def knock_run(knocker: Knocker, taker: KnockTaker) -> exchange.Claim:
    return taker.open(knocker.open(taker.answer))


def pair() -> tuple[Knocker, KnockTaker]:
    knocker = Knocker(STRANGER, "new")
    commitment = value_of(knocker.hello(), exchange.KIND_KNOCK)
    return knocker, KnockTaker(MEMBER.identity.public, commitment)


def test_both_sides_of_a_knock_show_one_code() -> None:
    knocker, taker = pair()
    claim = knock_run(knocker, taker)
    assert len(taker.answer) == ANSWER_BYTES < HELLO_BYTES
    assert (claim.public, claim.name) == (STRANGER.public, "new")
    assert knocker.code == taker.code == typed_code(knocker.code)
    admitted = knocker.admitted(taker.reply(chain_for(claim.public)), NOW)
    assert admitted.mesh == WORLD.mesh


def test_every_knock_has_its_own_code() -> None:
    codes = set()
    for _ in range(100):
        knocker, taker = pair()
        knock_run(knocker, taker)
        codes.add(taker.code)
    assert len(codes) == 100


def test_a_key_changed_after_the_commitment_is_refused() -> None:
    """Grinding: whoever commits, sees the member's nonce and then looks for a key, a nonce or an
    ephemeral that gives a wanted code, must open another commitment than its own."""
    knocker, taker = pair()
    honest = knocker.open(taker.answer)
    for position in (0, 32, 64):  # key, ephemeral, nonce
        ground = bytearray(honest)
        ground[position] ^= 1
        with pytest.raises(PeerError, match="committed to"):
            taker.open(bytes(ground))
    other = Knocker(identity(51), "thief")
    with pytest.raises(PeerError, match="committed to"):
        taker.open(other.open(taker.answer))


def test_a_commitment_is_opened_to_one_answer_only() -> None:
    """Else who sits in between would hear the opening, then look for values of its own that give
    the code which the member shows for it."""
    knocker, taker = pair()
    opening = knocker.open(taker.answer)
    assert knocker.open(taker.answer) == opening
    changed = taker.answer[:64] + bytes(32)
    assert not knocker.fits(changed)
    with pytest.raises(PeerError, match="other values"):
        knocker.open(changed)


def test_in_between_the_codes_differ() -> None:
    """Mallory knocks at the member for herself and answers the stranger for herself."""
    stranger, _ = pair()
    to_member = Knocker(MITM.identity, "new")
    taker = KnockTaker(MEMBER.identity.public, value_of(to_member.hello(), exchange.KIND_KNOCK))
    knock_run(to_member, taker)
    to_stranger = KnockTaker(MITM.identity.public, value_of(stranger.hello(), exchange.KIND_KNOCK))
    knock_run(stranger, to_stranger)
    assert stranger.code != taker.code


def test_what_is_approved_is_for_the_key_behind_the_code() -> None:
    """Who relays a knock unchanged gets nothing he can open or use."""
    knocker, taker = pair()
    claim = knock_run(knocker, taker)
    reply = taker.reply(chain_for(claim.public))
    relay = Knocker(MITM.identity, "new")
    relay.open(taker.answer)
    with pytest.raises(PeerError, match="does not hold"):
        relay.admitted(reply, NOW)


def test_a_knock_needs_the_private_key() -> None:
    thief = identity(52)
    thief.public = STRANGER.public  # shows the stranger's key, signs with its own
    knocker = Knocker(thief, "new")
    taker = KnockTaker(MEMBER.identity.public, value_of(knocker.hello(), exchange.KIND_KNOCK))
    with pytest.raises(PeerError, match="bad signature"):
        knock_run(knocker, taker)


def test_admission_by_another_than_who_answered_is_refused() -> None:
    knocker, _ = pair()
    commitment = value_of(knocker.hello(), exchange.KIND_KNOCK)
    taker = KnockTaker(MITM.identity.public, commitment)
    claim = knock_run(knocker, taker)
    with pytest.raises(PeerError, match="another node"):
        knocker.admitted(taker.reply(chain_for(claim.public)), NOW)


def test_a_certificate_for_another_key_is_refused() -> None:
    knocker, taker = pair()
    knock_run(knocker, taker)
    with pytest.raises(PeerError, match="another key"):
        knocker.admitted(taker.reply(chain_for(identity(53).public)), NOW)


def test_a_forged_chain_is_refused() -> None:
    knocker, taker = pair()
    knock_run(knocker, taker)
    forged = Mesh(MITM.mesh.genesis, bytes(32))
    chain = invite(WORLD.first_identity, WORLD.chain, STRANGER.public, "new", NEXT_YEAR)
    with pytest.raises(PeerError):
        knocker.admitted(taker.reply(welcome(forged, chain, [])), NOW)


@pytest.mark.parametrize("name", ["", "two\nlines", "\x1b[31mred", "x" * 65])
def test_names_that_cannot_be_shown_are_refused(name: str) -> None:
    knocker = Knocker(STRANGER, name)
    taker = KnockTaker(MEMBER.identity.public, value_of(knocker.hello(), exchange.KIND_KNOCK))
    with pytest.raises(WireError):
        knock_run(knocker, taker)


def test_codes_are_readable() -> None:
    code = code_of(b"transcript")
    assert len(code) == 9
    assert code[4] == "-"
    assert not set(code) & set("ilou")
    assert typed_code(code.upper().replace("-", " ")) == code
    assert typed_code("OIL1-0000") == "0111-0000"
    with pytest.raises(UsageError):
        typed_code("short")
    with pytest.raises(UsageError):
        typed_code("u7qf-2m9x")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(junk: bytes) -> None:
    taker = TokenTaker(MEMBER)
    taker.answer(Ephemeral().public)
    with pytest.raises((WireError, PeerError)):
        taker.open(junk)
    _, knock_taker = pair()
    with pytest.raises((WireError, PeerError)):
        knock_taker.open(junk)
    with pytest.raises((WireError, PeerError)):
        TokenBearer(TOKEN, STRANGER, "new").prove(junk)
    if len(junk) >= HELLO_BYTES:
        with pytest.raises(WireError):
            parse_hello(b"\xff" + junk)
