"""What a node in a process of its own answers about VMs, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

from radics_mesh.errors import UsageError
from radics_mesh.node.requests import WORDS_MAX_BYTES
from radics_mesh.vmm.build import build_image
from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.e2e.test_mesh import knows, receive
from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]


async def refusal(peer: Peer, request: str, **params: object) -> str:
    with pytest.raises(UsageError) as caught:
        await peer.call(request, **params)
    return str(caught.value)


async def row_on(peer: Peer, node: str) -> dict[str, Any] | None:
    rows: list[dict[str, Any]] = (await peer.call("ps"))["vms"]
    return next((row for row in rows if row["name"] == "waits" and row["node"] == node), None)


async def test_requests_that_no_service_could_take_are_refused_and_the_node_goes_on(
    make_peer: MakePeer,
    tmp_path: Path,
) -> None:
    lines = tmp_path / "lines"
    lines.write_text("one\n")
    with trio.fail_after(PATIENCE_S):
        peer = make_peer("A")
        await peer.start("--accelerator", "tcg")
        run = {"image": str(lines), "name": "x"}
        words = ["w" * (WORDS_MAX_BYTES // 2 + 1)] * 2
        assert "too long" in await refusal(peer, "run", **run, arguments=words)
        assert "empty" in await refusal(peer, "run", **run, sources=[""])
        for rate in (0.0, -1.0, 1e300, float("inf"), float("nan")):
            assert "rate" in await refusal(peer, "publish", name="s", file=str(lines), rate=rate)
        assert "empty" in await _no_stream(peer, service="")
        assert "own service" in await _no_stream(peer, service="handoff")
        assert "no group" in await _no_stream(peer, service="dtn://nobody/x")
        assert "known here" in await refusal(peer, "why", name="nobody")
        assert (await peer.call("publish", name="s", file=str(lines)))["source"]["name"] == "s"
        await peer.call("send", destination="dtn://group.news/x", payload=b"for many")
        await peer.call("send", destination="urn:x", payload=b"for whoever calls itself so")
        for endpoint, payload in (
            ("dtn://group.news/x", b"for many"),
            ("urn:x", b"for whoever calls itself so"),
        ):
            assert (await receive(peer, endpoint, 1))[0]["payload"] == payload


async def _no_stream(peer: Peer, service: str) -> str:
    with pytest.raises(UsageError) as caught:
        async for _ in peer.client.stream("recv", service=service):
            pass
    return str(caught.value)


async def test_a_vm_that_moved_away_is_told_with_its_place(
    make_peer: MakePeer,
    tmp_path: Path,
) -> None:
    image = tmp_path / "waits.img"
    build_image([ROOT / "examples" / "wordcount.cpp"], image)
    with trio.fail_after(PATIENCE_S):
        a, b = make_peer("A"), make_peer("B")
        await a.start("--no-scheduler", "--accelerator", "tcg")
        token = (await a.call("invite"))["token"]
        await b.start("--no-scheduler", "--accelerator", "tcg", "--invite", token)
        await knows(a, "B", connected=True)
        arguments = ["dtn://nobody/report"]
        await a.call("run", image=str(image), name="waits", sources=["text"], arguments=arguments)
        await until(lambda: row_on(a, "A"))
        await a.call("migrate", name="waits", to="B")
        assert not (await until(lambda: row_on(a, "B")))["local"]
        for request in ("stop", "save", "resume"):
            assert await refusal(a, request, name="waits") == "waits is on B; ask there"
        assert "on B" in await refusal(a, "migrate", name="waits", to="A")
        assert (await a.call("why", name="waits"))["lines"][0] == "waits is on B; ask there"
        assert (await a.call("where", name="waits"))["node"] == "B"
        b_id = (await b.call("status"))["node"]["id"]
        b.sigkill()
        a.sigkill()
        await a.start()  # it knows where, though nobody is there to tell
        rows = [row for row in (await a.call("ps"))["vms"] if row["name"] == "waits"]
        assert [(row["local"], b_id.startswith(row["node"]), row["epoch"]) for row in rows] == [
            (False, True, 2)
        ]
        await b.start()
        await until(lambda: row_on(a, "B"))
