"""A member is put out by who invited it, on every node, and stays out after a restart."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from radics_mesh.errors import UsageError
from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.e2e.test_images import command
from tests.e2e.test_mesh import knows, receive
from tests.patience import PATIENCE_S


async def three(make_peer: MakePeer) -> tuple[Peer, Peer, Peer]:
    """A has invited B and C; C has a session with both."""
    a, b, c = make_peer("A"), make_peer("B"), make_peer("C")
    await a.start()
    token = (await a.call("invite", uses=2, hours=1.0))["token"]
    async with trio.open_nursery() as nursery:
        for peer in (b, c):
            nursery.start_soon(peer.start, "--invite", token)
    for other in ("A", "B"):
        await knows(c, other, connected=True)
    for one, other in ((a, "C"), (b, "A"), (b, "C")):
        await knows(one, other)
    return a, b, c


async def member(peer: Peer, name: str) -> dict[str, Any] | None:
    rows: list[dict[str, Any]] = (await peer.call("members"))["members"]
    return next((row for row in rows if row["name"] == name), None)


async def revoked_on(peer: Peer) -> dict[str, Any] | None:
    row = await member(peer, "C")
    return row if row is not None and row["revoked"] else None


async def without_session(peer: Peer, *names: str) -> bool | None:
    rows = (await peer.call("nodes"))["nodes"]
    connected = {row["name"] for row in rows if row["connected"]}
    return True if connected.isdisjoint(names) else None


async def test_a_revoked_node_is_refused_by_all(make_peer: MakePeer, tmp_path: Path) -> None:
    (stick := tmp_path / "stick").mkdir()
    with trio.fail_after(PATIENCE_S):
        a, b, c = await three(make_peer)
        await c.call("send", destination="B/mail", payload=b"before")
        assert (await receive(b, "mail", 1))[0]["payload"] == b"before"
        with pytest.raises(UsageError, match="only who stands above"):
            await b.call("revoke", node="C")

        said = await command(a, "revoke", "C", "--reason", "stolen")
        assert said.startswith("C is no member any more")
        assert not (await a.call("revoke", node="C"))["news"]
        row = await until(partial(revoked_on, b))
        assert (row["revoked_by"], row["reason"], row["invited_by"]) == (["A"], "stolen", "A")
        assert "by A: stolen" in await command(b, "members")
        for peer in (a, b):
            await until(partial(without_session, peer, "C"))
        await until(partial(without_session, c, "A", "B"))

        await c.call("send", destination="B/mail", payload=b"after")
        assert (await c.call("carry_out", directory=str(stick)))["written"] >= 1
        came = await b.call("carry_in", directory=str(stick))
        assert came["taken"] == 0
        assert "has been revoked" in str(came["problems"])

        await b.call("send", destination="A/mail", payload=b"B goes on")
        assert (await receive(a, "mail", 1))[0]["payload"] == b"B goes on"
        b.sigkill()
        await b.start()
        assert await revoked_on(b) is not None
        await knows(b, "A", connected=True)
        assert await without_session(b, "C")
