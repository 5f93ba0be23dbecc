"""Who is there, as real processes see it."""

from __future__ import annotations

from typing import Any

import trio

from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.patience import PATIENCE_S


async def seen(peer: Peer, name: str, state: str) -> dict[str, Any]:
    """Wait until `peer`, which it has answered, sees the node called `name` in a state."""

    async def row() -> dict[str, Any] | None:
        rows = (await peer.call("peers"))["peers"]
        fitting = [r for r in rows if (r["name"], r["state"]) == (name, state)]
        return dict(fitting[0]) if fitting and fitting[0]["heard_s"] is not None else None

    return await until(row)


async def test_a_killed_peer_is_unreachable_and_a_stopped_one_has_left(
    make_peer: MakePeer,
) -> None:
    with trio.fail_after(PATIENCE_S):
        a, b, c = make_peer("A"), make_peer("B"), make_peer("C")
        quick = ("--probe-every", "0.2")
        await a.start(*quick)
        token = (await a.call("invite", uses=2, hours=1.0))["token"]
        for peer in (b, c):
            await peer.start("--invite", token, "--bootstrap", a.address, *quick)
            await seen(a, peer.name, "alive")
        await seen(c, "B", "alive")
        b.sigkill()
        gone = await seen(c, "B", "unreachable")
        assert gone["heard_s"] > gone["for_s"]
        await seen(a, "B", "unreachable")
        states = {row["name"]: row["state"] for row in (await a.call("nodes"))["nodes"]}
        assert states["B"] == "unreachable"
        c.stop()
        await seen(a, "C", "left")
        # It is never forgotten: the same node may come back.
        await b.start()
        assert (await seen(a, "B", "alive"))["incarnation"] > 0
