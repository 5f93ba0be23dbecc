"""What people ask about bundles, between real nodes: A -- B -- C, and B goes away."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio

from radics_mesh.errors import UsageError
from radics_mesh.ids import NodeId
from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.e2e.test_images import command
from tests.e2e.test_mesh import chain_of_three, knows
from tests.patience import PATIENCE_S


async def document(peer: Peer, *words: str) -> Any:
    return json.loads(await command(peer, *words, "--json"))


async def test_a_bundle_is_followed_looked_into_and_deleted(
    make_peer: MakePeer, tmp_path: Path
) -> None:
    with trio.fail_after(PATIENCE_S):
        a, b, c = await chain_of_three(make_peer)
        await knows(a, "C")
        await knows(a, "B", connected=True)

        pings = (await command(a, "ping", "C", "--count", "2", "--interval", "0")).splitlines()
        assert pings[0].startswith("1: 56 B from dtn://")
        assert pings[2].startswith("2 sent, 2 came back; ")

        seen = (await document(a, "trace", "C"))["sightings"]
        told = [(row["node"], row["what"]) for row in seen]
        assert {("B", "received"), ("B", "forwarded"), ("C", "received")} <= set(told)
        assert told[-1] == ("C", "delivered")

        large = tmp_path / "large"
        large.write_bytes(os.urandom(3_000_000))
        options = ("--custody", "--encrypt", "--wait")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive_into, c, tmp_path / "came")
            sent = await document(a, "send", "C/files", str(large), *options)
        assert sent["sightings"][-1]["what"] == "delivered"
        assert (tmp_path / "came").read_bytes() == large.read_bytes()

        [row] = (await a.call("contacts"))["contacts"]
        assert (row["node"], row["state"]) == ("B", "up")
        assert row["contacts"] >= 1  # two that dial each other at once may have had one more
        assert row["bytes_out"] > 3_000_000
        b.sigkill()
        await until(lambda: out_of_reach(a))

        await waits_and_is_deleted(a, str(sent["id"]))


async def receive_into(peer: Peer, path: Path) -> None:
    line = [sys.executable, "-m", "radics_mesh", "recv", "files", "--count", "1", "--raw"]
    with path.open("wb") as file:
        await trio.run_process([*line, "--state", str(peer.state)], stdout=file)


async def out_of_reach(peer: Peer) -> bool | None:
    [row] = (await peer.call("contacts"))["contacts"]
    return True if row["state"] == "down" else None


async def waits_and_is_deleted(a: Peer, delivered: str) -> None:
    """What was delivered is known by what was told; what waits says what for."""
    gone = await command(a, "bundles", "why", delivered)
    assert "says that it was delivered" in gone
    name = (await a.call("send", destination="C/files", payload=b"later"))["id"]
    short = name.split()[-1]
    said = await command(a, "bundles", "why", short)
    assert "neighbours   none in reach" in said
    assert "B is looked for at 127.0.0.1:" in said
    assert "waits for    a contact that leads to C" in said
    assert "copy         A since " in said
    assert (await a.call("bundle", id=name))["row"]["state"] == "waiting"
    assert f"{name} deleted\n" == await command(a, "bundles", "delete", short)
    assert short not in await command(a, "bundles")  # records for others may wait, too
    with pytest.raises(UsageError, match="is stored here"):
        await a.call("bundle", id=short)


async def test_a_contact_plan_is_shown_loaded_and_gone_by(
    make_peer: MakePeer, tmp_path: Path
) -> None:
    ferry, island = (NodeId(bytes([n]) * 20) for n in (1, 2))
    begins = int(time.time()) + 3600
    names = f"node ferry {ferry.text}\nnode island {island.text}\n"
    plan, other, bad = (tmp_path / name for name in ("plan", "other", "bad"))
    plan.write_text("")
    a = make_peer("A")
    with trio.fail_after(PATIENCE_S):
        await a.start("--accelerator", "tcg", "--no-scheduler", "--route", f"*=plan:{plan}")
        own = (await a.call("status"))["node"]["id"]
        other.write_text(
            f"{names}contact {begins} {begins + 600} {own} ferry 1k\n"
            f"contact {begins + 7200} {begins + 7800} ferry island 1k oneway\n"
        )
        bad.write_text(f"{names}contact then\n")
        with pytest.raises(UsageError, match="line 3: not all of a contact line"):
            await a.call("plan_load", file=str(bad))
        assert "3 contacts, 3 of them to come" in await command(a, "plan", "load", str(other))
        assert plan.read_bytes() == other.read_bytes()
        a.stop()
        await a.start()
        shown = (await command(a, "plan", "show", "--hours", "1.5")).splitlines()
        assert shown[0] == f"{plan}, for *: 3 contacts in all"
        assert len(shown) == 4
        [row] = (await a.call("contacts"))["contacts"]
        assert (row["id"], row["state"], row["since"]) == (ferry.text, "expected", begins)
        sent = await a.call("send", destination=f"{island.eid}x", payload=b"by ferry")
        found = await a.call("bundle_why", id=sent["id"])
    over = f"by its contact plan over {ferry.short}, {island.short}, beginning in "
    assert found["expected"][0].startswith(over)
    assert found["unblock"] == [f"a contact that leads to {island.short}"]
