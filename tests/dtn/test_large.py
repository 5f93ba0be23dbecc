"""Bundles larger than what is kept in memory: over sessions, through stores, to applications."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import memory_stream_pair

from radics_mesh.dtn.layers import tcpcl_wire as wire
from radics_mesh.dtn.layers.tcpcl_session import TcpclSession
from radics_mesh.dtn.layers.tcpcl_wire import Features, Hello
from radics_mesh.dtn.routes.module import Module
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.storage.database import FILE_FROM_BYTES
from radics_mesh.dtn.storage.spool import Spool
from radics_mesh.dtn.wire.bundle import BULK, EXPEDITED, NORMAL
from radics_mesh.dtn.wire.content import FileBytes, pieces
from radics_mesh.errors import CapacityError
from radics_mesh.ids import NodeId
from tests.dtn.world import HandClock, Members, Node, running, until

PAYLOAD = random.Random(1).randbytes(3 * FILE_FROM_BYTES)


@asynccontextmanager
async def pair(
    tmp_path: Path, quota_bytes: int = 64 << 20, router: Module | None = None, evicts: bool = False
) -> AsyncIterator[tuple[Node, Node]]:
    """Two nodes with a TCPCL session between them; `router` is the first's, the others the
    second's."""
    members = Members(HandClock())
    streams = memory_stream_pair()
    async with (
        running(members.me("a"), tmp_path / "a", router) as a,
        running(members.me("b"), tmp_path / "b", quota_bytes=quota_bytes, evicts=evicts) as b,
        trio.open_nursery() as nursery,
    ):
        sessions = [
            TcpclSession(
                stream,
                own=node.id.eid,
                identify=lambda eid: eid.node_id or NodeId(bytes(20)),
                receiver=node.agent,
                keepalive_s=0,
                large=node.agent,
                has_room=node.agent.has_room,
            )
            for node, stream in zip((a, b), streams, strict=True)
        ]
        for session in sessions:
            nursery.start_soon(session.run)
        await until(lambda: all(session.peer is not None for session in sessions))
        for node, other, session in zip((a, b), (b, a), sessions, strict=True):
            node.agent.contact_up(other.id, session.transmit, stream=session.transmit)
        yield a, b
        nursery.cancel_scope.cancel()


def files(node: Node, directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "large").iterdir())


async def test_from_file_to_file(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(PAYLOAD)
    async with pair(tmp_path) as (a, b):
        b.agent.register(b.id.service("x"), b.collect)
        await a.agent.send(b.id.service("x"), FileBytes.of(source))
        (delivery,) = await b.received(1)
        assert isinstance(delivery.content, FileBytes)
        assert b"".join(pieces(delivery.content)) == delivery.payload == PAYLOAD
        assert delivery.signer == a.id
        await until(lambda: not len(a.store) and not len(b.store))
        await a.store.flushed()
        await b.store.flushed()
        assert files(a, tmp_path / "a") == files(b, tmp_path / "b") == []


async def test_it_waits_in_the_store_as_the_file_that_came(tmp_path: Path) -> None:
    async with pair(tmp_path) as (a, b):
        await a.agent.send(b.id.service("x"), PAYLOAD)
        await until(lambda: len(b.store) == 1)
        assert [name.endswith(".bundle") for name in files(b, tmp_path / "b")] == [True]
    members = Members(HandClock())
    async with running(members.me("b"), tmp_path / "b") as b:
        b.agent.register(b.id.service("x"), b.collect)
        (delivery,) = await b.received(1)
        assert delivery.payload == PAYLOAD


async def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async with pair(tmp_path, quota_bytes=2 * FILE_FROM_BYTES) as (a, b):
        await a.agent.send(b.id.service("x"), PAYLOAD)
        await until(lambda: a.agent.counters["neighbour_full"] > 0)
        await a.agent.send(b.id.service("x"), b"small", priority=2)
        assert len(a.store) == 2
        assert files(b, tmp_path / "b") == []


async def test_an_urgent_one_pushes_others_out(tmp_path: Path) -> None:
    """And one that may not is refused when it begins, not when it is whole."""
    members = Members(HandClock())
    c = members.me("c").node_id
    via_b = StaticRoutes({c: [members.me("b").node_id]})
    async with pair(tmp_path, quota_bytes=3 * len(PAYLOAD), router=via_b, evicts=True) as (a, b):
        for priority in (BULK, NORMAL):
            await a.agent.send(c.service("x"), PAYLOAD, priority=priority)
        await until(lambda: len(b.store) == 2 and not len(a.store))
        await a.agent.send(c.service("x"), PAYLOAD, priority=EXPEDITED)
        await until(lambda: len(b.store) == 2 and not len(a.store))
        assert sorted(held.priority for held in b.store) == [NORMAL, EXPEDITED]
        assert b.agent.counters["evicted"] == 1
        await a.agent.send(c.service("x"), PAYLOAD, priority=BULK)
        await until(lambda: a.agent.counters["neighbour_full"] == 1)
        assert len(b.store) == 2
        for held in b.store:
            raw = await b.store.content(held)
            assert raw is not None
            assert b.agent.may_come(raw[:5000]) == (held.priority == EXPEDITED)
        assert not [name for name in files(b, tmp_path / "b") if name.startswith("in-")]


async def test_a_transfer_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """Nor does one whose length was not announced and that grows over all bounds."""
    members = Members(HandClock())
    me = members.me("b")
    async with running(me, tmp_path / "b", quota_bytes=2 * FILE_FROM_BYTES) as b:
        for whole in (False, True):
            peer, stream = memory_stream_pair()
            session = TcpclSession(
                stream,
                own=me.identity.eid,
                identify=lambda eid: members.me("a").node_id,
                receiver=b.agent,
                keepalive_s=0,
                large=b.agent,
            )
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.run)
                hello = Hello(
                    members.me("a").identity.eid, Features.ACKNOWLEDGE | Features.REFUSE, 0
                )
                await peer.send_all(hello.encode())
                for number in range(6 if whole else 3):
                    segment = wire.segment_head(number == 0, False, FILE_FROM_BYTES // 2)
                    await peer.send_all(segment + bytes(FILE_FROM_BYTES // 2))
                if whole:
                    await until(lambda: files(b, tmp_path / "b") == [])
                else:
                    await until(lambda: len(files(b, tmp_path / "b")) == 1)
                session.stop()
            assert files(b, tmp_path / "b") == []


async def test_a_disk_that_fails_leaves_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    await spool.write(b"x")
    spool.discard()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CapacityError):
        await spool.write(b"y")
