"""Certificates that are renewed over bundles, between real agents, by a clock that is moved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from radics_mesh.clock import Wall
from radics_mesh.codec import pack
from radics_mesh.errors import PeerError, UsageError
from radics_mesh.me import Me
from radics_mesh.membership import GRACE_S, YEAR_S, Chain, Verifier, found, invite
from radics_mesh.node.renewing import FILE_NAME, SERVICE, Renewing
from radics_mesh.node.revoking import Revoking
from radics_mesh.renewals import BEFORE_S
from radics_mesh.revocations import revoke
from tests.dtn.world import START, Node, TrioClock, connect, identity, running, until

KEYS = {name: identity(name) for name in ("first", "upper", "lower")}
GENESIS, MESH, ROOT = found(KEYS["first"], "first", START)
END = Wall(START + YEAR_S)
UPPER = invite(KEYS["first"], ROOT, KEYS["upper"].public, "upper", END)
LOWER = invite(KEYS["upper"], UPPER, KEYS["lower"].public, "lower", END)
CHAINS = {"first": ROOT, "upper": UPPER, "lower": LOWER}


class Calendar(TrioClock):
    """Of all nodes; it stands still but when it is set."""

    later = 0.0

    def wall(self) -> Wall:
        return Wall(START + self.later)


@dataclass
class Site:
    node: Node
    renewing: Renewing
    revoking: Revoking
    kept: list[Chain] = field(default_factory=list)

    @property
    def chain(self) -> Chain:
        return Chain.parse(self.node.me.chain)


@asynccontextmanager
async def site(name: str, path: Path, clock: TrioClock) -> AsyncIterator[Site]:
    directory = path / name
    directory.mkdir(exist_ok=True)
    me = Me(KEYS[name], Verifier(MESH), CHAINS[name].pack(), clock)
    revoking = Revoking(me, directory)
    kept: list[Chain] = []
    renewing = Renewing(me, directory, kept.append, GENESIS if name == "first" else None)
    revoking.heard = lambda news: renewing.revocations_changed()

    async def put_out(chain: Chain) -> None:
        said = revoke(me.identity, me.chain, chain.member, when=me.clock.wall(), reason="")
        await revoking.publish(said, [])

    renewing.revoke = put_out
    async with running(me, directory) as node:
        revoking.attach(node.agent)
        renewing.attach(node.agent)
        await node.nursery.start(revoking.run)
        await node.nursery.start(renewing.run)
        yield Site(node, renewing, revoking, kept)


async def test_a_certificate_goes_on_step_by_step_before_its_end(tmp_path: Path) -> None:
    clock = Calendar()
    async with (
        site("first", tmp_path, clock) as first,
        site("upper", tmp_path, clock) as upper,
        site("lower", tmp_path, clock) as lower,
    ):
        connect(first.node, upper.node)
        connect(upper.node, lower.node)
        await lower.renewing.look()
        assert lower.renewing.counters == {}
        clock.later = YEAR_S - BEFORE_S + 100.0
        await lower.renewing.look()  # its inviter cannot give any yet
        await until(lambda: upper.renewing.counters["refused"] == 1)
        await upper.renewing.look()
        await until(lambda: upper.chain.until > END)
        assert upper.kept == [upper.chain]
        await lower.renewing.look()
        await until(lambda: lower.chain.until > END)
        assert [c.name for c in lower.chain.certificates] == ["first", "upper", "lower"]
        member = first.node.me.verifier.member(lower.node.me.chain, clock.wall())
        assert member.roles == LOWER.member.roles


async def test_the_grace_period_ends_for_those_whom_nobody_reaches(tmp_path: Path) -> None:
    clock = Calendar()
    async with site("first", tmp_path, clock) as first, site("upper", tmp_path, clock) as upper:
        verifier, chain = first.node.me.verifier, UPPER.pack()
        clock.later = YEAR_S + 10.0
        assert verifier.member(chain, clock.wall()).is_stale(clock.wall())
        # Back in time: it is renewed although it has expired.
        clock.later = YEAR_S + GRACE_S - 100.0
        connect(first.node, upper.node)
        await upper.renewing.look()
        await until(lambda: upper.chain.until > END)
        clock.later = YEAR_S + GRACE_S
        with pytest.raises(PeerError, match="expired"):
            verifier.member(chain, clock.wall())
        verifier.member(upper.node.me.chain, clock.wall())


async def test_who_was_revoked_gets_none_and_not_by_a_way_round(tmp_path: Path) -> None:
    """Its inviter is out of reach and has put it out, which the one above has not heard of."""
    clock = Calendar()
    said = revoke(KEYS["upper"], UPPER.pack(), LOWER.member, when=START, reason="")
    async with site("first", tmp_path, clock) as first, site("lower", tmp_path, clock) as lower:
        connect(first.node, lower.node)
        clock.later = YEAR_S - 100.0
        for _ in range(2):  # nobody answers; then the next one above is asked
            await lower.renewing.look()
        await until(lambda: lower.chain.until > END)
        assert [c.name for c in lower.chain.certificates] == ["first", "lower"]
        assert first.renewing.counters["given"] == 1
        # It counts in no chain in which its signer is not: so the giver says it too.
        await first.revoking.publish(said, [])
        assert (tmp_path / "first" / FILE_NAME).exists()
        first.renewing.revocations_changed()
        verifier = first.node.me.verifier
        await until(lambda: verifier.is_out(lower.node.me.chain))
    (tmp_path / "first" / FILE_NAME).write_bytes(b"x")
    with pytest.raises(UsageError, match="damaged"):
        Renewing(first.node.me, tmp_path / "first", lambda chain: None, None)


async def test_nobody_takes_what_another_asks_for_or_brings(tmp_path: Path) -> None:
    clock = Calendar()
    async with site("first", tmp_path, clock) as first, site("upper", tmp_path, clock) as upper:
        connect(first.node, upper.node)
        clock.later = YEAR_S - 100.0
        to = first.node.id.service(SERVICE)
        for payload in (
            b"",
            pack([3, LOWER.pack()]),
            pack([1, b"x"]),
            pack([1, LOWER.pack()]),  # not its own
            pack([2, UPPER.pack()]),
        ):
            await upper.node.agent.send(to, payload)
        await until(lambda: first.node.agent.counters["dropped_by_handler"] == 5)
        assert first.renewing.counters == {}
        assert first.chain == ROOT


async def test_the_founder_goes_on_by_itself(tmp_path: Path) -> None:
    clock = Calendar()
    async with site("first", tmp_path, clock) as first:
        clock.later = 10 * YEAR_S - 100.0
        await first.renewing.look()
        assert first.chain.until > ROOT.until
        assert first.kept == [first.chain]
