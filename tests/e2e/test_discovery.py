"""Two nodes on one cable with link-local IPv6 only: nothing but beacons brings them together."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from scenarios.peers import stop_all
from tests.e2e.test_links import PORT, Cable, RemotePeer, namespaces, receive, why_not
from tests.patience import PATIENCE_S


async def test_beacons_bring_two_nodes_together(tmp_path: Path) -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    a, b = RemotePeer("A", tmp_path), RemotePeer("B", tmp_path)
    with trio.fail_after(PATIENCE_S), namespaces([a, b]):
        cable = Cable(a, b, "10.78.0")
        try:
            await a.start("--verbose")
            token = (await a.call("invite", uses=1, hours=1.0))["token"]
            await b.start("--invite", token)
            await stop_all([a, b])
            for peer in (a, b):
                # Every address that one has heard of the other is gone.
                peer.interface("addr", "flush", "dev", cable.end(peer), "scope", "global")
                await peer.start("--discover", "all", "--listen", f"[::]:{PORT}")
            own = (await b.call("status"))["node"]["id"]
            await a.call("send", destination=f"dtn://{own}/mail", payload=b"found you")
            assert await receive(b, 1) == [b"found you"]
        finally:
            await stop_all([a, b])
