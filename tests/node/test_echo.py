"""Every node's echo: what is asked comes back, and never an echo of an echo."""

from __future__ import annotations

from pathlib import Path

from radics_mesh.node.echo import SERVICE, Echo
from tests.dtn.world import Members, TrioClock, running, until


async def test_a_bundle_comes_back_and_an_echo_does_not(tmp_path: Path) -> None:
    me = Members(TrioClock()).me("a")
    async with running(me, tmp_path) as node:
        Echo(node.id, node.agent)
        node.agent.register(node.id.service("asks"), node.collect)
        echo = node.id.service(SERVICE)
        for source in (echo, me.identity.eid):
            await node.agent.send(echo, b"nothing", source=source)
        await node.agent.send(echo, b"ping", source=node.id.service("asks"))
        [reply] = await node.received(1)
        assert (reply.payload, reply.source) == (b"ping", echo)
        await until(lambda: len(node.store) == 0)
        assert node.agent.counters["sent"] == 4
