"""Real guests on real nodes: what survives when nodes, QEMUs and guests die at bad moments."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import trio

from radics_mesh.errors import GuestError, MeshError, UsageError
from radics_mesh.vmm import adoption, lock
from radics_mesh.vmm.build import build_image
from scenarios.first_light import Report
from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.e2e.test_mesh import knows
from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
LINES = 3000
RATE = 50.0  # a second: it lasts longer than what happens meanwhile; see `collect`


@pytest.fixture(scope="session")
def wordcount(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = tmp_path_factory.mktemp("images") / "wordcount.img"
    build_image([ROOT / "examples" / "wordcount.cpp"], image)
    return image


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text"
    path.write_text("".join(f"line {n} of the text, word{n % 97}\n" for n in range(LINES)))
    return path


async def two_peers(make_peer: MakePeer) -> tuple[Peer, Peer]:
    a, c = make_peer("A"), make_peer("C")
    await a.start("--no-scheduler")
    token = (await a.call("invite"))["token"]
    await c.start("--invite", token, "--no-scheduler")
    await knows(a, "C", connected=True)
    return a, c


async def start_count(a: Peer, c: Peer, image: Path, text: Path) -> None:
    await c.call("publish", name="text", file=str(text), rate=RATE)
    own = (await a.call("status"))["node"]["id"]
    await a.call(
        "run",
        image=str(image),
        name="count",
        sources=["text"],
        arguments=[f"dtn://{own}/report"],
        memory_bytes=32 << 20,
    )


async def collect(a: Peer, c: Peer, text: Path) -> Report:
    """The report, across restarts of A: what was shown but not taken comes again."""
    await c.call("publish", name="text", file=str(text))
    report = Report()

    async def whole() -> Report | None:
        try:
            async with aclosing(a.client.stream("recv", service="report")) as items:
                async for received in items:
                    if report.take(received["payload"]):
                        return report
        except MeshError:
            report.parts.clear()
        return None

    await until(whole)
    report.read()
    return report


def holders(vm_id: str, *peers: Peer) -> list[psutil.Process]:
    """The QEMUs of one VM, running or parked, or waiting for it, by the lock that each holds."""
    found = []
    for path in [p for peer in peers for p in peer.state.glob(f"**/{vm_id}/lock")]:
        if (held := lock.holder(path)) is not None:
            os.close(held[1])
            found.append(psutil.Process(held[0]))
    return found


async def executing(vm_id: str, *peers: Peer) -> list[Path]:
    """Where a QEMU lets this VM's guest execute: it neither stands still nor waits for a state."""
    found = []
    for directory in [p for peer in peers for p in peer.state.glob(f"**/vms/{vm_id}")]:
        held = lock.holder(directory / "lock")
        if held is None:
            continue
        os.close(held[1])
        with suppress(psutil.NoSuchProcess):
            stopped = psutil.Process(held[0]).status() == psutil.STATUS_STOPPED
            if not stopped and await adoption.is_running(directory):
                found.append(directory)
    return found


async def row_of(peer: Peer, **wanted: object) -> dict[str, Any]:
    """The VM's row on `peer`, once it has these values."""

    async def fitting() -> dict[str, Any] | None:
        try:
            row = await peer.vm("count")
        except MeshError:
            return None
        fits = row is not None and all(row[key] == value for key, value in wanted.items())
        return row if fits else None

    return await until(fitting)


def assert_exact(report: Report, text: Path) -> None:
    assert report.messages == LINES
    assert report.words == Counter(text.read_bytes().split())


@pytest.mark.parametrize("seed", [1])  # `make faults` takes many more, of worse things
async def test_no_word_is_lost_or_counted_twice_whatever_dies(
    make_peer: MakePeer, wordcount: Path, text: Path, seed: int
) -> None:
    """Nodes are killed while the VM runs, while it moves, and while it runs elsewhere."""
    chance = random.Random(seed)
    with trio.fail_after(PATIENCE_S):
        a, c = await two_peers(make_peer)
        await start_count(a, c, wordcount, text)
        await row_of(a, state="running")
        await trio.sleep(chance.uniform(0.2, 1.0))
        a.sigkill()
        await a.start()
        await row_of(a, state="running")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(migrate_whatever_happens, a, "C")
            await trio.sleep(chance.uniform(0.0, 1.5))
            victim = chance.choice([a, c])
            victim.sigkill()
            await victim.start()
        where = await whoever_runs(a, c)
        await trio.sleep(chance.uniform(0.1, 0.5))
        where.sigkill()
        await where.start()
        assert_exact(await collect(a, c, text), text)


async def migrate_whatever_happens(peer: Peer, to: str) -> None:
    """A node that dies under the request leaves the move to what it has made durable."""
    try:
        await peer.call("migrate", name="count", to=to)
    except MeshError:
        return


async def whoever_runs(*peers: Peer) -> Peer:
    """Wait until one of the peers runs the VM; meanwhile two never do."""

    async def the_one() -> Peer | None:
        running = []
        for peer in peers:
            row = await peer.vm("count")
            if row is not None:
                assert len(await executing(row["id"], *peers)) <= 1
                running += [peer] if row["state"] in ("running", "exited") else []
        assert len(running) <= 1
        return running[0] if running else None

    return await until(the_one)


async def test_a_vm_goes_there_and_back(make_peer: MakePeer, wordcount: Path, text: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        a, c = await two_peers(make_peer)
        await start_count(a, c, wordcount, text)
        for here, there in ((a, c), (c, a), (a, c)):
            await row_of(here, state="running")
            await trio.sleep(0.3)
            to = {"near": "text"} if here is a else {"to": there.name}  # C publishes it
            await here.call("migrate", name="count", limit=20e6, **to)
        assert (await row_of(c, state="running"))["epoch"] == 4
        report = await collect(a, c, text)
        assert_exact(report, text)
        assert set(report.hosts) == {"A", "C"}
        assert (await row_of(c, state="exited"))["status"] == 0


async def test_save_and_resume_across_a_reboot(
    make_peer: MakePeer, wordcount: Path, text: Path
) -> None:
    with trio.fail_after(PATIENCE_S):
        a, c = await two_peers(make_peer)
        await start_count(a, c, wordcount, text)
        row = await row_of(a, state="running")
        assert len(await executing(row["id"], a, c)) == 1
        await trio.sleep(0.5)
        await a.call("save", name="count")
        assert not holders(row["id"], a, c)
        a.sigkill()
        await a.start()
        assert (await row_of(a))["state"] == "saved"
        await a.call("resume", name="count")
        assert_exact(await collect(a, c, text), text)


async def another_qemu(peer: Peer, pid: int) -> int | None:
    now = (await row_of(peer, state="running"))["pid"]
    return now if now != pid else None


async def test_a_qemu_that_dies_is_started_again_and_that_is_told(
    make_peer: MakePeer, wordcount: Path, text: Path
) -> None:
    with trio.fail_after(PATIENCE_S):
        a, c = await two_peers(make_peer)
        await start_count(a, c, wordcount, text)
        row = await row_of(a, state="running")
        os.kill(row["pid"], signal.SIGKILL)
        await until(lambda: another_qemu(a, row["pid"]))
        # It began anew, and so did its subscription.
        assert_exact(await collect(a, c, text), text)
        events = [event["text"] for event in (await a.call("status"))["events"]]
        assert any("count" in line and "again" in line for line in events), events


async def test_a_damaged_snapshot_starts_nothing_and_is_mended_from_a_file(
    make_peer: MakePeer, wordcount: Path, text: Path, tmp_path: Path
) -> None:
    with trio.fail_after(PATIENCE_S):
        a, c = await two_peers(make_peer)
        await start_count(a, c, wordcount, text)
        row = await row_of(a, state="running")
        await a.call("save", name="count")
        file = tmp_path / "count.vm"
        out = await a.call("snapshot_export", snapshot="count", file=str(file))
        assert out["bytes"] == file.stat().st_size
        a.stop()
        for pack in a.state.rglob("*.pages"):
            content = bytearray(pack.read_bytes())
            for place in range(0, len(content), 512):  # not all that lies there is of this state
                content[place] ^= 1
            pack.write_bytes(content)
        await a.start()
        with pytest.raises(GuestError, match="the snapshot of count is no good"):
            await a.call("resume", name="count")
        assert not holders(row["id"], a, c)
        assert (await a.call("nodes"))["nodes"]
        ((verdict,),) = (await a.call("snapshot_verify")).values()
        assert verdict["damage"]
        assert (await a.call("snapshot_import", file=str(file)))["mended"]
        ((verdict,),) = (await a.call("snapshot_verify", snapshot="count")).values()
        assert not verdict["damage"]
        kept = (await a.call("snapshots"))["snapshots"]
        assert [(k["vm"], k["use"]) for k in kept] == [("count", "state")]
        with pytest.raises(UsageError, match="goes on from that"):
            await a.call("snapshot_rm", snapshot="count")
        await a.call("resume", name="count")
        await row_of(a, state="running")
        # Nowhere else does it make a second one.
        assert not (await c.call("snapshot_import", file=str(file)))["mended"]
        assert [v["node"] for v in (await c.call("ps"))["vms"] if v["local"]] == []


async def test_what_cannot_be_is_said(make_peer: MakePeer, tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE_S):
        a = make_peer("A")
        await a.start()
        (tmp_path / "no.img").write_bytes(b"not an image")
        for request, params, words in (
            ("stop", {"name": "nobody"}, "no VM named nobody"),
            ("migrate", {"name": "nobody", "to": "A"}, "no VM named nobody"),
            ("run", {"image": str(tmp_path / "no.img"), "name": "x"}, "not a RaDiCS image"),
            ("run", {"image": str(tmp_path / "none"), "name": "x"}, "none"),
            ("send", {"destination": "Nowhere/x", "payload": b""}, "no node called Nowhere"),
            ("publish", {"name": "s", "file": str(tmp_path / "none")}, "none"),
        ):
            with pytest.raises(UsageError, match=words):
                await a.call(request, **params)
