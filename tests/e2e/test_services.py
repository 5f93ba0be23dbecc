"""The echo example on nodes in processes of their own: services, requests, input, a lost QEMU."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import trio

from radics_mesh.errors import LinkError, UsageError
from radics_mesh.vmm.build import build_image
from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.e2e.test_mesh import knows
from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]


async def row(peer: Peer, name: str, state: str) -> dict[str, Any] | None:
    rows: list[dict[str, Any]] = (await peer.call("ps"))["vms"]
    return next((r for r in rows if r["name"] == name and r["state"] == state), None)


async def log_of(peer: Peer, name: str) -> str:
    return b"".join([i["data"] async for i in peer.client.stream("logs", name=name)]).decode()


async def ask(peer: Peer, destination: str, payload: bytes) -> str:
    reply = await peer.call(
        "request", destination=destination, payload=payload, timeout_s=PATIENCE_S
    )
    return bytes(reply["payload"]).decode()


async def test_a_service_is_asked_by_nodes_and_vms_wherever_it_is(
    make_peer: MakePeer, tmp_path: Path
) -> None:
    image = tmp_path / "echo.img"
    build_image([ROOT / "examples" / "echo.cpp"], image)
    with trio.fail_after(PATIENCE_S):
        a, b = make_peer("A"), make_peer("B")
        await a.start("--no-scheduler", "--accelerator", "tcg")
        token = (await a.call("invite"))["token"]
        await b.start("--no-scheduler", "--accelerator", "tcg", "--invite", token)
        await knows(a, "B", connected=True)
        await a.call("run", image=str(image), name="echo")
        assert await ask(a, "echo/echo", b"one") == "one from A"
        await until(lambda: row(b, "echo", "running"))
        assert await ask(b, "echo/echo", b"two") == "two from A"
        # A client elsewhere, with its input; the service comes to it.
        vm = (await row(a, "echo", "running")) or {}
        await b.call(
            "run",
            image=str(image),
            name="client",
            environment=[f"TO=dtn://vm.{vm['id']}/echo"],
            stdin=True,
        )
        await b.call("feed", name="client", data=b"three\nfo")
        await a.call("migrate", name="echo", to="B")
        await b.call("feed", name="client", data=b"ur\n", end=True)
        await until(lambda: row(b, "client", "exited"))
        words = (await log_of(b, "client")).split()
        assert [words[0], words[3], len(words)] == ["three", "four", 6]
        assert await ask(a, "echo/count", b"") == "4"
        await _lost(b)
    with pytest.raises(UsageError, match="NAME=VALUE"):
        await b.call("run", image=str(image), name="x", environment=["=1"])
    with pytest.raises(LinkError, match="no reply"):
        await b.call("request", destination="B/nobody", payload=b"", timeout_s=0.2)
    with pytest.raises(UsageError, match="known here"):
        await b.call("request", destination="nobody/x", payload=b"")


async def _lost(peer: Peer) -> None:
    """Its QEMU is killed: the service goes on from the state it came with and is asked again what
    it was asked since, so that it has counted as many as before."""
    vm = (await row(peer, "echo", "running")) or {}
    assert await ask(peer, "echo/echo", b"five") == "five from B"
    os.kill(vm["pid"], signal.SIGKILL)
    # Services are streams of their own: the question for the count may come before the questions.
    counted = await until(lambda: _counted(peer, at_least=5))
    assert counted == 5


async def _counted(peer: Peer, *, at_least: int) -> int | None:
    counted = int(await ask(peer, "echo/count", b""))
    return counted if counted >= at_least else None
