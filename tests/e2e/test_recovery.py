"""A lost holder, between real nodes, by the commands that people type."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from radics_mesh.errors import UsageError
from radics_mesh.vmm.build import build_image
from scenarios.peers import Peer
from tests.e2e.conftest import MakePeer
from tests.e2e.test_images import command
from tests.e2e.test_mesh import knows
from tests.patience import PATIENCE_S

PROGRAM = """
#include <stdio.h>
#include <unistd.h>
int main(void) { for (int n = 1;; n++) { printf("%d\\n", n); fflush(stdout); usleep(50000); } }
"""


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counts")
    (folder / "counts.c").write_text(PROGRAM)
    build_image([folder / "counts.c"], folder / "counts.img")
    return folder / "counts.img"


async def join(a: Peer, b: Peer, *options: str) -> None:
    await a.start("--no-scheduler", *options)
    token = (await a.call("invite"))["token"]
    await b.start("--invite", token, "--no-scheduler")
    await knows(a, "B", connected=True)


async def diagnosed(peer: Peer, name: str, holds: Callable[[dict[str, Any]], bool]) -> None:
    while True:
        with suppress(UsageError):  # not known there yet
            if holds(await peer.call("doctor", name=name)):
                return
        await trio.sleep(0.2)


async def test_doctor_and_recover_say_what_is_lost_before_they_lose_it(
    make_peer: MakePeer, counts: Path
) -> None:
    a, b = make_peer("A"), make_peer("B")
    with trio.fail_after(PATIENCE_S):
        await join(a, b, "--require-witness")
        await knows(b, "A", connected=True)
        await command(a, "run", str(counts), "--name", "counts", "--keep-at", "B")
        await diagnosed(b, "counts", lambda d: [s["kind"] for s in d["states"]] == ["checkpoint"])
        held = await a.call("doctor", name="counts")
        assert held["ways"] == ["nothing to be done: it is held here"]
        refused = await command(b, "recover", "counts", status=1)
        assert "may be alive" in refused
        assert "--force recovers it all the same" in refused
        said = await command(b, "recover", "counts", "--force")
        assert "warning: its holder A (epoch 1) spoke" in said
        assert "on B, epoch 65536" in said
        # A was alive all the time.
        await diagnosed(a, "counts", lambda d: "divergent" in [s["kind"] for s in d["states"]])
        assert "diverged" in await command(a, "ps")
        lines = await command(a, "doctor", "counts")
        assert "held by B at epoch 65536 (forced)" in lines
        assert "from the divergent state of" in lines
        where = await command(b, "where", "counts")
        assert where.splitlines()[-1].endswith(", forced")
        state = next(row for row in lines.splitlines() if " divergent " in row).split()[-1]
        await command(a, "doctor", "counts", "--discard", state)
        assert (await a.call("doctor", name="counts"))["states"] == []


async def test_replicas_are_started_and_moved_without_a_hand_over(
    make_peer: MakePeer, counts: Path
) -> None:
    a, b = make_peer("A"), make_peer("B")
    with trio.fail_after(PATIENCE_S):
        await join(a, b)
        options = ("--policy", "replicated", "--count", "2")
        await command(a, "run", str(counts), "--name", "many", *options)
        rows = (await b.call("ps"))["vms"]
        assert any(row["name"] == "many" and row["local"] for row in rows)
        sent = await a.call("send", destination="many/text", payload=b"to any of them")
        assert sent["id"]
        assert (await b.call("send", destination="many/text", payload=b"from there"))["id"]
        await command(b, "stop", "many")
        await command(a, "migrate", "many", "--to", "B")
        rows = (await b.call("ps"))["vms"]
        assert any(r["name"] == "many" and r["local"] and r["state"] != "stopped" for r in rows)
        rows = (await a.call("ps"))["vms"]
        assert all(r["state"] == "stopped" for r in rows if r["local"])
