"""What a member remembers: tokens (on disk) and knocks (in memory)."""

from collections.abc import Callable
from pathlib import Path

import pytest

from radics_mesh.admission import exchange
from radics_mesh.admission.exchange import Claim, Knocker, parse_hello, token_id
from radics_mesh.admission.knocks import (
    KNOCKS_MAX,
    LIFETIME_S,
    PER_HOST_MAX,
    RATE_WINDOW_S,
    Knocks,
    Pending,
)
from radics_mesh.admission.tokens import TokenBook
from radics_mesh.clock import Monotonic, Wall
from radics_mesh.config import Address
from radics_mesh.errors import CapacityError, UsageError
from radics_mesh.membership import Grant
from tests.meshes import NOW, identity

LATER = Wall(NOW + 100)
ALICE, BOB = identity(2).public, identity(3).public


def right(secret: bytes) -> bool:
    return True


def issuing(*chains: bytes) -> Callable[[Grant], bytes]:
    left = iter(chains)
    return lambda grant: next(left)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens.sqlite"


def test_each_use_once_and_asking_again_is_answered_alike(path: Path) -> None:
    book = TokenBook(path)
    secret = book.make(2, LATER)
    name = token_id(secret)
    issue = issuing(b"for alice", b"for bob")
    assert book.redeem(name, right, ALICE, NOW, issue) == b"for alice"
    assert book.redeem(name, right, ALICE, NOW, issue) == b"for alice"
    assert book.redeem(name, right, BOB, NOW, issue) == b"for bob"
    with pytest.raises(UsageError, match="used up"):
        book.redeem(name, right, identity(4).public, NOW, issue)
    # It was admitted, and may only have missed the answer.
    assert book.redeem(name, right, BOB, Wall(LATER + 1), issue) == b"for bob"
    book.close()


def test_uses_survive_a_restart(path: Path) -> None:
    book = TokenBook(path)
    secret = book.make(1, LATER)
    book.redeem(token_id(secret), right, ALICE, NOW, issuing(b"chain"))
    book.close()
    book = TokenBook(path)
    assert book.redeem(token_id(secret), right, ALICE, NOW, issuing()) == b"chain"
    with pytest.raises(UsageError, match="used up"):
        book.redeem(token_id(secret), right, BOB, NOW, issuing(b"x"))
    book.close()
    assert path.stat().st_mode & 0o077 == 0


def test_expired_unknown_and_unproved_tokens(path: Path) -> None:
    book = TokenBook(path)
    secret = book.make(1, LATER)
    with pytest.raises(UsageError, match="expired"):
        book.redeem(token_id(secret), right, ALICE, LATER, issuing(b"x"))
    with pytest.raises(UsageError, match="does not know"):
        book.redeem(bytes(16), right, ALICE, NOW, issuing(b"x"))
    with pytest.raises(UsageError, match="does not know"):
        book.redeem(token_id(secret), lambda found: found != secret, ALICE, NOW, issuing(b"x"))
    book.close()


def test_nothing_is_counted_when_no_certificate_can_be_made(path: Path) -> None:
    def cannot(grant: Grant) -> bytes:
        raise UsageError("may not invite")

    book = TokenBook(path)
    secret = book.make(1, LATER)
    with pytest.raises(UsageError, match="may not"):
        book.redeem(token_id(secret), right, ALICE, NOW, cannot)
    assert book.redeem(token_id(secret), right, ALICE, NOW, issuing(b"chain")) == b"chain"
    book.close()


HOST = Address("10.0.0.9", 1234)
T0 = Monotonic(1000.0)


def commitment(number: int) -> bytes:
    return number.to_bytes(32, "big")


def knocking(knocks: Knocks, seed: int, host: str = HOST.host, now: Monotonic = T0) -> Pending:
    """An opened knock of one stranger."""
    knocker = Knocker(identity(seed), f"n{seed}")
    _, value = parse_hello(knocker.hello())
    pending = knocks.begin(value, Address(host, 1), now)
    claim = pending.taker.open(knocker.open(pending.taker.answer))
    knocks.opened(pending, claim)
    return pending


def admit(claim: Claim) -> bytes:
    return exchange.decline(claim.name)


def test_a_knock_is_approved_by_its_code() -> None:
    knocks = Knocks(ALICE)
    one, two = knocking(knocks, 10), knocking(knocks, 11)
    assert [knock.name for knock in knocks.waiting(T0)] == ["n10", "n11"]
    knock = knocks.approve(two.taker.code.upper(), Monotonic(T0 + 3), admit)
    assert (knock.name, knock.age_s, knock.node_id) == ("n11", 3.0, identity(11).node_id)
    assert two.reply is not None
    assert one.reply is None
    assert [knock.name for knock in knocks.waiting(T0)] == ["n10"]
    before = two.reply
    knocks.approve(two.taker.code, T0, admit)  # again: the same answer
    assert two.reply is before


def test_unknown_and_ambiguous_codes_are_refused() -> None:
    knocks = Knocks(ALICE)
    one, two = knocking(knocks, 10), knocking(knocks, 11)
    with pytest.raises(UsageError, match="nobody knocks"):
        knocks.approve("0000-0000", T0, admit)
    two.taker.code = one.taker.code  # the 2^-40 case
    with pytest.raises(UsageError, match="2 knock"):
        knocks.approve(one.taker.code, T0, admit)
    assert one.reply is two.reply is None


def test_a_stranger_that_comes_back_finds_its_knock() -> None:
    knocks = Knocks(ALICE)
    first = knocks.begin(commitment(1), HOST, T0)
    assert knocks.begin(commitment(1), Address("10.0.0.8", 9), T0) is first


def test_a_stranger_that_starts_over_has_one_knock() -> None:
    knocks = Knocks(ALICE)
    knocking(knocks, 10)
    again = knocking(knocks, 10)
    assert [knock.code for knock in knocks.waiting(T0)] == [again.taker.code]


def test_knocks_are_forgotten() -> None:
    knocks = Knocks(ALICE)
    pending = knocking(knocks, 10)
    late = Monotonic(T0 + LIFETIME_S)
    assert knocks.waiting(late) == []
    with pytest.raises(UsageError):
        knocks.approve(pending.taker.code, late, admit)


def test_one_address_cannot_fill_the_book() -> None:
    knocks = Knocks(ALICE)
    for seed in range(PER_HOST_MAX):
        knocking(knocks, 10 + seed)
    with pytest.raises(CapacityError):
        knocks.begin(commitment(1), HOST, T0)
    knocking(knocks, 100, host="10.0.0.8")


def test_one_address_cannot_hammer() -> None:
    knocks = Knocks(ALICE)
    for number in range(PER_HOST_MAX):
        knocks.abandon(knocks.begin(commitment(number), HOST, T0))
    with pytest.raises(CapacityError, match="often"):
        knocks.begin(commitment(99), HOST, T0)
    knocks.begin(commitment(99), HOST, Monotonic(T0 + RATE_WINDOW_S))


def test_the_book_is_bounded() -> None:
    knocks = Knocks(ALICE)
    for number in range(KNOCKS_MAX):
        knocks.begin(commitment(number), Address(f"10.0.1.{number}", 1), T0)
    with pytest.raises(CapacityError):
        knocks.begin(commitment(99), Address("10.0.2.1", 1), T0)
