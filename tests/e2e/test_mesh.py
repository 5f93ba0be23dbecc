"""Real processes on loopback: joining, bundles through a neighbour, SIGKILL at bad moments."""

from __future__ import annotations

import subprocess
import sys
from contextlib import aclosing
from typing import Any

import pytest
import trio

from radics_mesh.errors import UsageError
from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.patience import PATIENCE_S


async def chain_of_three(make_peer: MakePeer) -> tuple[Peer, Peer, Peer]:
    """A -- B -- C: A and C reach each other only through B."""
    a, b, c = make_peer("A"), make_peer("B"), make_peer("C")
    await b.start("--neighbours", a.address, "--neighbours", c.address)
    token = (await b.call("invite", uses=2, hours=1.0))["token"]
    for peer in (a, c):
        await peer.start("--invite", token, "--neighbours", b.address)
    return a, b, c


async def receive(peer: Peer, service: str, count: int) -> list[dict[str, Any]]:
    taken: list[dict[str, Any]] = []
    async with aclosing(peer.client.stream("recv", service=service, count=count)) as stream:
        async for item in stream:
            taken.append(item)
    return taken


async def knows(peer: Peer, name: str, *, connected: bool = False) -> dict[str, Any]:
    """Wait until `peer` has a record of the node called `name`, and a session with it."""

    async def row() -> dict[str, Any] | None:
        rows = (await peer.call("nodes"))["nodes"]
        fitting = [r for r in rows if r["name"] == name and (r["connected"] or not connected)]
        return dict(fitting[0]) if fitting else None

    return await until(row)


async def test_bundles_wait_for_a_hop_that_was_killed(make_peer: MakePeer) -> None:
    with trio.fail_after(PATIENCE_S):
        a, b, c = await chain_of_three(make_peer)
        target = (await c.call("status"))["node"]["id"]
        await knows(a, "C")
        b.sigkill()
        sent = [
            (await a.call("send", destination=f"dtn://{target}/mail", payload=b"%d" % n))["id"]
            for n in range(5)
        ]
        a.sigkill()  # what was acknowledged survives the sender's death too
        await a.start()
        held = {row["id"] for row in (await a.call("bundles"))["bundles"]}
        assert set(sent) <= held
        await b.start()
        taken = await receive(c, "mail", 5)
        assert [item["payload"] for item in taken] == [b"%d" % n for n in range(5)]
        assert {item["signer"] for item in taken} == {(await a.call("status"))["node"]["id"]}
        assert [item["id"] for item in taken] == sent


async def test_a_bundle_is_delivered_once_though_its_receiver_dies(make_peer: MakePeer) -> None:
    with trio.fail_after(PATIENCE_S):
        a, _, c = await chain_of_three(make_peer)
        await knows(a, "C")
        await a.call("send", destination="C/mail", payload=b"one")
        assert (await receive(c, "mail", 1))[0]["payload"] == b"one"
        c.sigkill()
        await c.start()
        await a.call("send", destination="C/mail", payload=b"two")
        assert (await receive(c, "mail", 1))[0]["payload"] == b"two"


async def first_knock(member: Peer) -> str | None:
    knocks = (await member.call("knocks"))["knocks"]
    return str(knocks[0]["code"]) if knocks else None


async def says(peer: Peer, word: str) -> bool | None:
    return word in peer.last_words() or None


async def refusals(peer: Peer) -> int | None:
    """How many sessions `peer` has refused; None while it is none."""
    counters = (await peer.call("status"))["bundles"]["counters"]
    return sum(n for name, n in counters.items() if name.startswith("session_refused")) or None


async def test_a_stranger_knocks_and_is_let_in(make_peer: MakePeer) -> None:
    with trio.fail_after(PATIENCE_S):
        member, stranger = make_peer("member"), make_peer("stranger")
        await member.start("--accelerator", "tcg")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stranger.start, "--bootstrap", member.address)
            code = await until(lambda: first_knock(member))
            with pytest.raises(UsageError):
                await member.call("approve", code="aaaa-aaaa")
            assert await until(lambda: says(stranger, code))
            await member.call("approve", code=code)
        await knows(member, "stranger", connected=True)
        await knows(stranger, "member", connected=True)
        assert (await stranger.call("status"))["node"]["mesh"] == (await member.call("status"))[
            "node"
        ]["mesh"]


async def test_a_peer_of_another_mesh_is_not_let_in(make_peer: MakePeer) -> None:
    with trio.fail_after(PATIENCE_S):
        ours, other = make_peer("ours"), make_peer("other")
        await ours.start("--accelerator", "tcg")
        await other.start("--accelerator", "tcg")
        target = (await ours.call("status"))["node"]["id"]
        other.stop()
        await other.start("--bootstrap", ours.address)
        sent = await other.call("send", destination=f"dtn://{target}/mail", payload=b"let me in")
        assert await until(lambda: refusals(ours)) > 0
        rows = (await ours.call("nodes"))["nodes"]
        assert [row["name"] for row in rows] == ["ours"]
        assert sent["id"] in {row["id"] for row in (await other.call("bundles"))["bundles"]}


async def test_a_port_in_use_is_one_line(make_peer: MakePeer) -> None:
    with trio.fail_after(PATIENCE_S):
        first, second = make_peer("first"), make_peer("second")
        await first.start("--accelerator", "tcg")
        done = await trio.run_process(
            [
                *(sys.executable, "-m", "radics_mesh", "join", "--state", str(second.state)),
                *("--listen", first.address),
            ],
            capture_stderr=True,
            stdout=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode != 0
        words = done.stderr.decode()
        assert "error:" in words
        assert str(first.port) in words
        assert "Traceback" not in words
        assert not (second.state / "membership").exists(), "no mesh was made for nothing"
