"""The node that is killed. On standard output: `port N`, `begun N` when the application gets bundle
N, `delivered N` when that is durable."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import trio

from radics_mesh.clock import SystemClock
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.layers.tcpcl_session import TcpclSession
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.errors import MeshError, PeerError
from radics_mesh.identity import Identity
from radics_mesh.ids import Eid, NodeId
from radics_mesh.me import Me
from radics_mesh.membership import Mesh, Verifier

# So few that most of what waits is in the backlog.
_LIVE_MAX = 8


def me_from(task: dict[str, Any], who: str) -> Me:
    mesh = Mesh(bytes.fromhex(task["genesis"]), bytes.fromhex(task["key"]))
    seed, chain = bytes.fromhex(task[who]["seed"]), bytes.fromhex(task[who]["chain"])
    return Me(Identity(seed), Verifier(mesh), chain, SystemClock())


def identify(eid: Eid) -> NodeId:
    node_id = eid.node_id
    if node_id is None:
        raise PeerError("no member")
    return node_id


def nowhere(eid: Eid) -> NodeId | None:
    return None


def say(line: str) -> None:
    print(line, flush=True)


async def work(task: dict[str, Any], directory: Path) -> None:
    me = me_from(task, "node")
    store = BundleStore.open(directory, quota_bytes=1 << 30, clock=me.clock, live_max=_LIVE_MAX)
    agent = Agent(me=me, store=store, router=StaticRoutes(), locate=nowhere, lifetime_s=3600)
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:

        async def confirm(delivery: Delivery) -> None:
            while store.holds(delivery.bundle_id):  # noqa: ASYNC110 - the store tells nobody
                await trio.sleep(0.001)
            await store.flushed()
            say(f"delivered {delivery.bundle_id.sequence}")

        async def take(delivery: Delivery) -> None:
            say(f"begun {delivery.bundle_id.sequence}")
            nursery.start_soon(confirm, delivery)

        async def serve(stream: trio.SocketStream) -> None:
            def greeted(peer: Peer) -> None:
                agent.contact_up(peer, session.transmit, stream=session.transmit)

            session = TcpclSession(
                stream,
                own=me.identity.eid,
                identify=identify,
                receiver=agent,
                keepalive_s=0,
                on_greeted=greeted,
                large=agent,
            )
            try:
                await session.run()
            except MeshError as error:
                print(error, file=sys.stderr)

        await nursery.start(agent.run)
        agent.register(me.node_id.service("inbox"), take)
        say(f"port {listener.socket.getsockname()[1]}")
        await trio.serve_listeners(serve, [listener])


if __name__ == "__main__":
    trio.run(work, json.loads(sys.argv[1]), Path(sys.argv[2]))
