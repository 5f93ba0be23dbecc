"""Agents: store and forward, delivery once, restarts, refusals."""

from __future__ import annotations

from pathlib import Path

from radics_mesh.dtn.routing import StaticRoutes
from radics_mesh.ids import Eid
from tests.dtn.world import Members, TrioClock, connect, running, until


async def test_bundle_waits_in_b_for_c(tmp_path: Path) -> None:
    """A → B while C is away; B restarts; C comes; C has it once."""
    members = Members(TrioClock())
    a, b, c = members.me("a"), members.me("b"), members.me("c")
    inbox = c.node_id.service("inbox")
    via_b = StaticRoutes({c.node_id: [b.node_id]})
    async with running(b, tmp_path / "b") as node_b, running(a, tmp_path / "a", via_b) as node_a:
        connect(node_a, node_b)
        sent = await node_a.agent.send(inbox, b"hello")
        await until(lambda: len(node_a.store) == 0)
        assert [held.bundle_id for held in node_b.store] == [sent]
    async with running(b, tmp_path / "b") as node_b, running(c, tmp_path / "c") as node_c:
        node_c.agent.register(inbox, node_c.collect)
        connect(node_b, node_c)
        (delivery,) = await node_c.received(1)
        assert delivery.bundle_id == sent
        assert delivery.payload == b"hello"
        assert delivery.signer == a.node_id
        assert delivery.source == Eid(a.node_id.eid)
        await node_c.store.flushed()
        assert len(node_c.store) == 0
