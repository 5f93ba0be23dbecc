"""Revocations between real agents: told at contact, passed on, kept; what is bad is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from radics_mesh.codec import pack
from radics_mesh.errors import UsageError
from radics_mesh.me import Me
from radics_mesh.membership import Chain
from radics_mesh.node.revoking import FILE_NAME, SERVICE, Revoking
from radics_mesh.revocations import Revocation, revoke
from tests.dtn.world import Members, Node, TrioClock, connect, running, until
from tests.dtn.world import identity as named

MEMBERS = Members(TrioClock())
FIRST = named("first")


def me(name: str) -> Me:
    return MEMBERS.me(name)


def put_out(name: str) -> Revocation:
    """By the first member, who has invited all the others."""
    member = Chain.parse(me(name).chain).member
    return revoke(FIRST, MEMBERS.root.pack(), member, when=member.expiry, reason="")


@asynccontextmanager
async def site(name: str, path: Path) -> AsyncIterator[tuple[Node, Revoking]]:
    directory = path / name
    directory.mkdir(exist_ok=True)
    own = me(name)
    revoking = Revoking(own, directory)
    async with running(own, directory) as node:
        revoking.attach(node.agent)
        await node.nursery.start(revoking.run)
        yield node, revoking


async def test_neighbours_tell_each_other_what_the_other_lacks(tmp_path: Path) -> None:
    async with site("a", tmp_path) as (a, at_a), site("b", tmp_path) as (b, at_b):
        for name in ("c", "d"):
            await at_a.publish(put_out(name), [])
        for name in ("d", "e"):
            await at_b.publish(put_out(name), [])
        connect(a, b)
        await until(lambda: len(at_a.known) == len(at_b.known) == 3)
        assert at_a.known.all() == at_b.known.all()
        assert a.me.verifier.is_out(me("e").chain)
        assert b.me.verifier.is_out(me("c").chain)


async def test_news_goes_on_to_neighbours_of_neighbours_and_is_kept(tmp_path: Path) -> None:
    async with (
        site("a", tmp_path) as (a, at_a),
        site("b", tmp_path) as (b, at_b),
        site("c", tmp_path) as (c, at_c),
    ):
        connect(a, b)
        connect(b, c)
        assert await at_a.publish(put_out("x"), [])
        assert not await at_a.publish(put_out("x"), [])
        await until(lambda: len(at_c.known) == 1)
        assert len(at_b.known) == 1
    again = me("c")
    assert not again.verifier.is_out(me("x").chain)
    assert len(Revoking(again, tmp_path / "c").known) == 1
    assert again.verifier.is_out(me("x").chain)


async def test_what_is_bad_is_counted_and_the_node_goes_on(tmp_path: Path) -> None:
    async with site("a", tmp_path) as (a, at_a), site("b", tmp_path) as (b, at_b):
        connect(a, b)
        to = b.id.service(SERVICE)
        good = put_out("x").pack()
        forged = good[:-1] + bytes((good[-1] ^ 1,))
        for payload in (b"", pack([0, [], [b"?"]]), pack([3, [], []]), pack([2, [b"short"], []])):
            await a.agent.send(to, payload)
        await a.agent.send(to, pack([0, [], [forged, good]]))
        await until(lambda: len(at_b.known) == 1)
        assert at_b.counters == {"refused_PeerError": 1, "learned": 1}
        assert len(at_a.known) == 0


def test_a_damaged_file_lets_nobody_back_in(tmp_path: Path) -> None:
    for damaged in (b"", b"\x00", pack([1, [put_out("x").pack()[:-1]]]), pack([2, []])):
        (tmp_path / FILE_NAME).write_bytes(damaged)
        with pytest.raises(UsageError, match="damaged"):
            Revoking(me("a"), tmp_path)
