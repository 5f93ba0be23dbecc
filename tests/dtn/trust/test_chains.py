"""Chains by hash: shown once to a neighbour, then left out, sent again when it lacks them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from radics_mesh.config import Foreign
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.rules.processing import Gate, Peer, Refusal
from radics_mesh.dtn.trust.chains import ASKED_MAX, ChainUnknown, Memory, Shared, carried, name_of
from radics_mesh.dtn.trust.security import sign
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.ids import Digest, Eid
from radics_mesh.ownership import born
from tests.dtn.bundles import plain
from tests.dtn.world import HandClock, Members, Node, running, until

CLOCK = HandClock()
MEMBERS = Members(CLOCK)
A, B, C = MEMBERS.me("a"), MEMBERS.me("b"), MEMBERS.me("c")
INBOX = C.node_id.service("inbox")


class Wire:
    """A link in memory that shows what went over it."""

    def __init__(self, receiver: Node, sender: Peer) -> None:
        self._receiver = receiver
        self._sender = sender
        self.sent: list[bytes] = []

    async def transmit(self, raw: bytes) -> None:
        self.sent.append(raw)
        await self._receiver.agent.receive(raw, self._sender)

    def with_chains(self) -> list[int]:
        """How many chains each had."""
        return [len(carried(Bundle.parse(raw))) for raw in self.sent]


@asynccontextmanager
async def three(tmp_path: Path) -> AsyncIterator[tuple[Node, Node, Node]]:
    """a, b, c in a row."""
    to_b = StaticRoutes({C.node_id: [B.node_id]})
    async with (
        running(A, tmp_path / "a", to_b) as a,
        running(B, tmp_path / "b") as b,
        running(C, tmp_path / "c") as c,
    ):
        c.agent.register(INBOX, c.collect)
        yield a, b, c


async def test_a_payload_of_100_bytes_after_first_contact(tmp_path: Path) -> None:
    """Over two hops: the first bundle shows its chain to whom it is news, the second to nobody."""
    async with three(tmp_path) as (a, b, c):
        ab, bc = Wire(b, a.id), Wire(c, b.id)
        a.agent.contact_up(b.id, ab.transmit, shown=B.chain)
        b.agent.contact_up(a.id, Wire(a, b.id).transmit, shown=A.chain)
        b.agent.contact_up(c.id, bc.transmit, shown=C.chain)
        for count in (1, 2):
            await a.agent.send(INBOX, bytes(100), lifetime_s=86_400)
            await c.received(count)
        assert ab.with_chains() == [0, 0]
        assert bc.with_chains() == [1, 0]
        # A segment's head in TCPCL is a byte and the length, two here.
        assert [len(raw) + 3 < 320 for raw in ab.sent + bc.sent] == [True, True, False, True]
        assert [delivery.signer for delivery in c.delivered] == [a.id, a.id]


async def test_who_lacks_a_chain_gets_it_and_everything_once(tmp_path: Path) -> None:
    """b has forgotten: a burst by hash is refused once each, comes whole, and nothing is lost."""
    async with three(tmp_path) as (a, b, _):
        ab = Wire(b, a.id)
        for _ in range(40):
            await a.agent.send(INBOX, b"x")
        a.agent.contact_up(b.id, ab.transmit, shown=B.chain)
        await until(lambda: len(b.store) == 40 and not len(a.store))
        again = b.agent.counters["refused_chain"]
        assert 0 < again <= 16  # what was in flight
        assert a.agent.counters["sent_whole"] == again
        assert len(ab.sent) == 40 + again
        assert a.agent.counters["refused_by_neighbour"] == 0
        await a.agent.send(INBOX, b"x")
        await until(lambda: len(b.store) == 41)
        assert ab.with_chains()[-1] == 0


async def test_what_was_stored_is_whole(tmp_path: Path) -> None:
    """However it came: so that it can go by stick, or to somebody new, and after a restart."""
    async with three(tmp_path) as (a, b, _):
        ab = Wire(b, a.id)
        b.agent.contact_up(a.id, Wire(a, b.id).transmit, shown=A.chain)
        a.agent.contact_up(b.id, ab.transmit, shown=B.chain)
        await a.agent.send(INBOX, b"x")
        await until(lambda: len(b.store) == 1)
    assert ab.with_chains() == [0]
    async with running(B, tmp_path / "b") as b, running(C, tmp_path / "c") as c:
        raw = await b.agent.departing(b.agent.outgoing()[0])
        assert raw is not None
        assert set(carried(Bundle.parse(raw))) == {name_of(A.chain)}
        c.agent.register(INBOX, c.collect)
        await c.agent.receive(raw, b.id)
        await c.received(1)


async def test_the_chain_of_a_vm(tmp_path: Path) -> None:
    birth = born(A.identity, "vm", Digest.of(b"image"), bytes(16))
    packed = birth.pack()
    async with three(tmp_path) as (a, b, c):
        ab, bc = Wire(b, a.id), Wire(c, b.id)
        b.agent.contact_up(a.id, Wire(a, b.id).transmit, shown=A.chain)
        a.agent.contact_up(b.id, ab.transmit, shown=B.chain)
        b.agent.contact_up(c.id, bc.transmit, shown=C.chain)
        for count in (1, 2):
            source = Eid(f"{birth.vm_id.eid}out")
            await a.agent.send(INBOX, b"x", source=source, ownership=packed)
            await c.received(count)
        assert ab.with_chains() == [1, 0]  # the membership chain is known from the handshake
        assert bc.with_chains() == [2, 0]
        assert [delivery.vm_chain for delivery in c.delivered] == [packed, packed]


async def test_who_sends_a_chain_is_not_shown_it(tmp_path: Path) -> None:
    async with three(tmp_path) as (a, b, _):
        ba = Wire(a, b.id)
        b.agent.contact_up(a.id, ba.transmit, shown=A.chain)
        bundle = sign(plain(C.identity.eid, INBOX), C.identity, C.chain)
        await b.agent.receive(bundle.encode(), a.id)
        back = sign(plain(C.identity.eid, a.id.service("x"), sequence=2), C.identity, C.chain)
        await b.agent.receive(back.encode(), C.node_id)
        await until(lambda: len(ba.sent) == 2)
        assert ba.with_chains() == [0, 1]  # and in this test it has really forgotten it


async def test_a_neighbour_that_always_asks_is_refused_by_no_loop(tmp_path: Path) -> None:
    """Twice each and no more; and from some time on only once."""
    attempts: list[bytes] = []

    async def never_content(raw: bytes) -> None:
        attempts.append(raw)
        raise ChainUnknown("more")

    async with three(tmp_path) as (a, b, _):
        for _ in range(5):
            await a.agent.send(INBOX, b"x")
        a.agent.contact_up(b.id, never_content, shown=B.chain)
        await until(lambda: a.agent.counters["refused_by_neighbour"] == 5)
        assert len(attempts) <= 10
        assert len(a.store) == 5


def test_other_implementations_get_no_answer_that_means_again() -> None:
    """IBR-DTN would send the same bundle for ever."""
    bundle = sign(plain(C.identity.eid, INBOX), C.identity, C.chain)
    stripped = bundle.with_blocks(tuple(b for b in bundle.blocks if b.kind != blocks.CHAIN))
    gate = Gate(B)
    foreign = Foreign(Eid("dtn://ibr"), None, "127.0.0.1")
    judge = partial(gate.judge, now=CLOCK.monotonic(), wall=CLOCK.wall())
    with pytest.raises(Refusal) as refused:
        judge(stripped.encode(), foreign)
    assert refused.value.reason == "chain"
    with pytest.raises(ChainUnknown):
        judge(stripped.encode(), A.node_id)
    assert judge(bundle.encode(), A.node_id) is not None
    assert judge(stripped.encode(), A.node_id) is not None


def test_what_is_shared_with_a_neighbour_that_forgets() -> None:
    shared = Shared(b"a")
    for asked in range(ASKED_MAX):
        assert shared.among([b"a", b"b"]) == {b"a"}
        shared.lacks([b"a"])
        shared.lacks([b"a"])  # of the same burst
        assert not shared.among([b"a"])
        shared.holds([b"a"])
        assert bool(shared.among([b"a"])) == (asked + 1 < ASKED_MAX)


def test_memory_is_bounded() -> None:
    memory = Memory(limit_bytes=1000)
    for number in range(100):
        memory.remember(bytes([number]), bytes([number]) * 100)
    held = [number for number in range(100) if memory.get(bytes([number]))]
    assert held == list(range(90, 100))
    memory.remember(b"large", bytes(1001))
    assert memory.get(b"large") is None
