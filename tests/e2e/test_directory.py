"""What nodes in processes of their own say of each other: found, watched, taken back, stale."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import trio

from scenarios.peers import until
from tests.e2e.conftest import MakePeer
from tests.e2e.test_mesh import knows, receive
from tests.patience import PATIENCE_S


async def test_what_a_node_states_is_found_watched_and_taken_back(
    make_peer: MakePeer, tmp_path: Path
) -> None:
    lines = tmp_path / "lines"
    lines.write_text("one\n")
    with trio.fail_after(PATIENCE_S):
        a, b = make_peer("A"), make_peer("B")
        await a.start("--accelerator", "tcg")
        token = (await a.call("invite"))["token"]
        await b.start("--invite", token, "--bootstrap", a.address, "--accelerator", "tcg")
        await knows(a, "B", connected=True)
        command = [sys.executable, "-m", "radics_mesh", "watch", "camera/*", "--json"]
        watcher = await trio.lowlevel.open_process(
            [*command, "--state", str(a.state)], stdout=subprocess.PIPE
        )
        assert watcher.stdout is not None
        await b.call("publish", name="camera/door", file=str(lines))
        await b.call("publish", name="clock", file=str(lines))
        said = await _line(watcher.stdout)
        assert (said["change"], said["fact"]["subject"], said["fact"]["publisher"]) == (
            "added",
            "camera/door",
            "B",
        )
        found = await a.call("sources", pattern="camera/*")
        assert [(row["name"], row["stale"]) for row in found["sources"]] == [("camera/door", False)]
        facts = (await a.call("find", pattern="clock"))["facts"]
        assert [(row["kind"], row["publisher"]) for row in facts] == [("source", "B")]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive, b, "desk/inbox", 1)

            async def served() -> str | None:
                rows = (await a.call("services", pattern="desk/*"))["services"]
                return rows[0]["endpoint"] if rows else None

            await a.call("send", destination=await until(served), payload=b"x")
        await b.call("unpublish", name="clock")
        # It ends in an orderly way, and the watch tells at once.
        await trio.to_thread.run_sync(b.stop)
        while said["change"] != "withdrawn":
            said = await _line(watcher.stdout)
        assert said["fact"]["subject"] == "camera/door"
        assert [row["name"] for row in (await a.call("nodes"))["nodes"]] == ["A"]
        # Mail for it is taken all the same, by its name.
        assert (await a.call("send", destination="B/mail", payload=b"later"))["id"]
        watcher.send_signal(signal.SIGINT)
        assert await watcher.wait() == 130


async def _line(stream: trio.abc.ReceiveStream) -> dict[str, Any]:
    data = b""
    while not data.endswith(b"\n"):
        data += await stream.receive_some(1)
    said: dict[str, Any] = json.loads(data)
    return said
