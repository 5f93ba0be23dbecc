"""Agents together: what is refused, and from whom; foreign peers."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog.testing

from radics_mesh.config import Foreign
from radics_mesh.dtn.rules.processing import depart
from radics_mesh.dtn.wire import blocks
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.errors import CapacityError, PeerError, UsageError, WireError
from radics_mesh.ids import Eid
from tests.dtn.bundles import plain
from tests.dtn.world import Members, TrioClock, made, nowhere, running, until

IBR = Foreign(Eid("dtn://ibr/"), None, "192.0.2.1", ("echo",))


@pytest.mark.parametrize("kind", ["truncated", "tampered", "unsigned", "stranger", "expired"])
async def test_what_is_refused(tmp_path: Path, members: Members, kind: str) -> None:
    a, b = members.me("a"), members.me("b")
    to = b.node_id.service("inbox")
    good = made(a, to)
    stranger = Members(TrioClock()).me("a")
    bad = {
        "truncated": good[:-1],
        "tampered": good[:-1] + b"!",
        "unsigned": plain(a.identity.eid, to).encode(),
        "stranger": made(stranger, to),
        "expired": depart(Bundle.parse(good), a.identity.eid, 3600_000_000).encode(),
    }[kind]
    reason = {"truncated": "malformed", "tampered": "signature", "stranger": "signature"}
    async with running(b, tmp_path) as node:
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                with pytest.raises((WireError, PeerError)):
                    await node.agent.receive(bad, a.node_id)
        assert node.agent.counters[f"refused_{reason.get(kind, kind)}"] == 3
        assert len([entry for entry in logs if entry["event"] == "bundle refused"]) == 1
        assert len(node.store) == 0
        await node.agent.receive(good, a.node_id)  # and it goes on
        assert len(node.store) == 1
        with pytest.raises((WireError, PeerError)):
            await node.agent.receive(bad, a.node_id)


async def test_a_revoked_signer_is_refused(tmp_path: Path, members: Members) -> None:
    """Also one whose bundles were taken before, with its chain remembered from then."""
    a, b = members.me("a"), members.me("b")
    to = b.node_id.service("inbox")
    async with running(b, tmp_path) as node:
        await node.agent.receive(made(a, to), a.node_id)
        b.verifier.revoke(a.identity.public, b.mesh.genesis)
        with pytest.raises(PeerError, match="has been revoked"):
            await node.agent.receive(made(a, to, b"another"), a.node_id)
        assert len(node.store) == 1


async def test_a_full_store_refuses(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    async with running(b, tmp_path, quota_bytes=2000) as node:
        with pytest.raises(CapacityError):
            await node.agent.receive(made(a, b.identity.eid, bytes(2000)), a.node_id)
        assert node.agent.counters["refused_full"] == 1
        with pytest.raises(CapacityError):
            await node.agent.send(a.identity.eid, bytes(2000))


async def test_what_cannot_be_sent(tmp_path: Path, members: Members) -> None:
    async with running(members.me("a"), tmp_path) as node:
        other = members.me("b").identity.eid
        with pytest.raises(UsageError):
            await node.agent.send(other, b"x", source=other)
        with pytest.raises(UsageError):
            await node.agent.send(other, b"x", lifetime_s=0)
        with pytest.raises(UsageError):
            await node.agent.send(other, b"x", priority=3)
        assert len(node.store) == 0


async def test_a_bundle_whose_block_demands_it_is_deleted(tmp_path: Path, members: Members) -> None:
    a, b = members.me("a"), members.me("b")
    bundle = Bundle.parse(made(a, b.identity.eid))
    demanding = Block(200, blocks.DELETE_BUNDLE_IF_UNPROCESSABLE, b"")
    async with running(b, tmp_path) as node:
        raw = bundle.with_blocks((demanding, *bundle.blocks)).encode()
        await node.agent.receive(raw, a.node_id)
        assert len(node.store) == 0
        assert node.agent.counters["deleted"] == 1


async def test_foreign_peers(tmp_path: Path, members: Members) -> None:
    me = members.me("a")
    echo = me.node_id.service("echo")
    out: list[bytes] = []

    async def take(raw: bytes) -> None:
        out.append(raw)

    async with running(me, tmp_path, locate=nowhere) as node:
        node.agent.register(echo, node.collect)
        node.agent.contact_up(IBR, take)
        await node.agent.receive(plain(Eid("dtn://ibr/app"), echo).encode(), IBR)
        (delivery,) = await node.received(1)
        assert delivery.signer is None
        assert delivery.source == "dtn://ibr/app"
        with pytest.raises(PeerError):
            await node.agent.receive(plain(destination=me.node_id.service("x")).encode(), IBR)
        await node.agent.send(Eid("dtn://ibr/app"), b"answer")
        await until(lambda: len(out) == 1)
        answer = Bundle.parse(out[0])
        assert answer.payload == b"answer"
        integrity = answer.block(blocks.INTEGRITY)
        assert integrity is not None
        assert not integrity.flags & blocks.DELETE_BUNDLE_IF_UNPROCESSABLE


async def test_a_damaged_bundle_does_not_stop_the_node(tmp_path: Path, members: Members) -> None:
    me = members.me("a")
    inbox = me.node_id.service("inbox")
    async with running(me, tmp_path) as node:
        await node.agent.send(inbox, bytes(3 << 20))
        await node.agent.send(inbox, b"sound")
        next((tmp_path / "large").iterdir()).write_bytes(b"rotten")
        node.agent.register(inbox, node.collect)
        assert [d.payload for d in await node.received(1)] == [b"sound"]
        assert node.store.counters["isolated"] == 1
