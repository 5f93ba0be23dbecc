"""VMs and bundles between real nodes that are never connected: by stick and by mule."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.errors import CapacityError, MeshError, UsageError
from radics_mesh.identity import Identity
from radics_mesh.vmm.build import build_image
from scenarios.peers import Peer, until
from tests.e2e.conftest import MakePeer
from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
COUNT = re.compile(rb"^count (\d+) on (\S+)$", re.MULTILINE)


@pytest.fixture(scope="session")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = tmp_path_factory.mktemp("images") / "counter.img"
    build_image([ROOT / "examples" / "counter.c"], image)
    return image


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    path = tmp_path / "stick"
    path.mkdir()
    return path


async def strangers(make_peer: MakePeer) -> tuple[Peer, Peer]:
    """Two members of one mesh that have never heard of each other, nor anybody else now.

    A third one let each in while the other was away.
    """
    first, a, b = make_peer("F"), make_peer("A"), make_peer("B")
    await first.start("--no-scheduler")
    token = (await first.call("invite", uses=2, hours=1.0))["token"]
    for peer in (a, b):
        await peer.start("--invite", token, "--neighbours", first.address, "--no-scheduler")
        peer.stop()
    first.stop()
    for peer in (a, b):
        await peer.start()
    return a, b


async def run(peer: Peer, image: Path) -> bytes:
    """Start the counter; the secret that it tells."""
    await peer.call(
        "run", image=str(image), name="counter", arguments=["20"], memory_bytes=32 << 20
    )
    text = await logged(peer, 5)
    return bytes.fromhex(text.split()[1].decode().rstrip("."))


async def log_of(peer: Peer) -> bytes:
    parts = []
    async for item in peer.client.stream("logs", name="counter"):
        parts.append(item["data"])
    return b"".join(parts)


async def logged(peer: Peer, count: int) -> bytes:
    """The log, once it has that many counts."""

    async def enough() -> bytes | None:
        try:
            text = await log_of(peer)
        except MeshError:
            return None
        return text if len(COUNT.findall(text)) >= count else None

    return await until(enough)


def counts(text: bytes) -> list[int]:
    assert b"DAMAGED" not in text
    return [int(number) for number, _ in COUNT.findall(text)]


async def assert_goes_on(here: list[int], b: Peer) -> None:
    """B counts on where A stopped."""
    there = counts(await logged(b, 5))
    assert here + there == list(range(1, there[-1] + 1))
    row = await row_of(b)
    assert (row["state"], row["epoch"], row["moves"]) == ("running", 2, 1)


async def row_of(peer: Peer) -> dict[str, Any]:
    row = await peer.vm("counter")
    assert row is not None
    return row


async def test_a_vm_goes_by_stick_in_one_trip(
    make_peer: MakePeer, counter: Path, stick: Path, tmp_path: Path
) -> None:
    with trio.fail_after(PATIENCE_S):
        a, b = await strangers(make_peer)
        secret = await run(a, counter)
        with pytest.raises(UsageError, match="no node called B"):
            await a.call("migrate_via", name="counter", to="B", directory=str(stick))
        await b.call("carry_card", directory=str(stick))
        sent = await a.call("migrate_via", name="counter", to="B", directory=str(stick))
        assert sent["carried"]["left"] == 0
        assert (await row_of(a))["state"] == "released"
        told = await a.call("where", name="counter")
        assert (told["node"], told["state"], told["age_s"]) == ("B", "released", None)
        assert [link["holder"] for link in told["chain"]] == ["A", "B"]
        with pytest.raises(UsageError):  # A can neither run it nor give it away again
            await a.call("resume", name="counter")
        with pytest.raises(UsageError):
            await a.call("migrate_via", name="counter", to="B", directory=str(stick))

        await assert_pushed_again(a)
        lost = tmp_path / "lost"
        shutil.copytree(stick, lost)
        shutil.rmtree(stick)
        stick.mkdir()
        again = await a.call("carry_out", directory=str(stick), to=["B"])
        assert again["written"] >= sent["carried"]["written"]
        print("WRITTEN", again, sent)

        assert secret_in(secret, a.state)  # so it would be found on the stick, were it there
        assert not secret_in(secret, stick)

        damage = max(stick.iterdir(), key=lambda path: path.stat().st_size)
        content = bytearray(damage.read_bytes())
        content[len(content) // 2] ^= 1
        damage.write_bytes(content)
        first = await b.call("carry_in", directory=str(stick))
        assert first["taken"] == again["written"] - 1
        assert len(first["problems"]) == 1
        assert damage.name in first["problems"][0]
        await until(lambda: arriving(b))
        # The stick that was lost is found; on it is what B still needs.
        second = await b.call("carry_in", directory=str(lost))
        assert (second["taken"], second["problems"]) == (sent["carried"]["written"], [])
        await assert_goes_on(counts(await log_of(a)), b)
        third = await b.call("carry_in", directory=str(lost))
        assert third["taken"] == 0

        await b.call("carry_out", directory=str(stick))
        back = await a.call("carry_in", directory=str(stick))
        assert back["confirmed"] >= first["taken"]
        await until(lambda: gone(a))
        assert await nothing_stored(a)
        await assert_comes_back(a, b, stick)


def secret_in(secret: bytes, directory: Path) -> bool:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return any(secret in path.read_bytes() for path in files)


async def assert_comes_back(a: Peer, b: Peer, stick: Path) -> None:
    """By the same stick, to where it began; A had left its card when it wrote."""
    here = len(counts(await log_of(a)))
    await b.call("migrate_via", name="counter", to="A", directory=str(stick))
    there = counts(await log_of(b))
    assert (await a.call("carry_in", directory=str(stick)))["problems"] == []
    back = counts(await logged(a, here + 5))
    assert sorted(back + there) == list(range(1, back[-1] + 1))
    assert (await row_of(a))["epoch"] == 3


async def assert_pushed_again(a: Peer) -> None:
    """A node that ended before all was stored for the target stores it when it is back; whoever
    carries out right then does not do so with less. It takes its time about it, so that there is
    something to wait for."""
    a.stop()
    (note,) = a.state.glob("hosting/vms/*/pushed")
    note.unlink()
    shutil.rmtree(a.state / "bundles")
    await a.start("--limit", "300k")


async def arriving(peer: Peer) -> bool | None:
    row = await peer.vm("counter")
    return True if row is not None and row["state"] == "arriving" else None


async def gone(peer: Peer) -> bool | None:
    return True if await peer.vm("counter") is None else None


@pytest.mark.parametrize("last", ["link", "stick"])
async def test_a_vm_goes_by_mule(
    make_peer: MakePeer, counter: Path, stick: Path, last: str
) -> None:
    """M goes its rounds: it meets A, then B, or somebody takes a stick from it to B."""
    with trio.fail_after(PATIENCE_S):
        a, m, b = make_peer("A"), make_peer("M"), make_peer("B")
        await m.start("--no-scheduler", "--neighbours", b.address)
        token = (await m.call("invite", uses=2, hours=1.0))["token"]
        near_m = ("--no-scheduler", "--neighbours", m.address)
        await b.start("--invite", token, *near_m, "--carry", str(stick))
        await until(lambda: card_names(b, m, stick))
        b.stop()
        m.stop()
        await m.start("--no-scheduler", "--neighbours", a.address)
        await a.start("--invite", token, *near_m)
        await run(a, counter)
        await a.call("carry_in", directory=str(stick))
        await a.call("migrate", name="counter", to="B", one_way=True)
        await until(lambda: nothing_stored(a))
        here = counts(await log_of(a))
        a.stop()
        if last == "stick":
            await m.call("carry_out", directory=str(stick), to=["B"])
            m.stop()
            await b.start()  # it takes what is there by itself
        else:
            m.stop()
            await m.start("--no-scheduler", "--neighbours", b.address)
            await b.start()
        await assert_goes_on(here, b)


async def card_names(peer: Peer, neighbour: Peer, stick: Path) -> bool | None:
    """Leave the peer's card; once it says that this neighbour leads to it."""
    named: str = (await neighbour.call("status"))["node"]["id"]
    card = (await peer.call("carry_card", directory=str(stick)))["id"]
    return True if named.encode() in (stick / f"{card}.card").read_bytes() else None


async def nothing_stored(peer: Peer) -> bool | None:
    """Nothing of a hand-off."""
    rows = (await peer.call("bundles"))["bundles"]
    return None if any(row["destination"].endswith("/handoff") for row in rows) else True


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 1 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "radics-test", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")
async def test_a_stick_without_room(make_peer: MakePeer, counter: Path, small: Path) -> None:
    """A VM is not let go for it; of bundles it takes what fits, and nothing half.

    The key is given by hand, for who has neither met the other nor has its card.
    """
    there = Identity.generate()
    with trio.fail_after(PATIENCE_S):
        a = make_peer("A")
        await a.start("--no-scheduler")
        await run(a, counter)
        move = {"name": "counter", "to": "B", "key": there.public.hex()}
        with pytest.raises(CapacityError, match="bytes free"):
            await a.call("migrate_via", **move, directory=str(small))
        assert list(small.iterdir()) == []
        assert (await row_of(a))["state"] == "running"
        for _ in range(4):
            to = there.node_id.service("in")
            await a.call("send", destination=to, payload=os.urandom(200_000))
        went = await a.call("carry_out", directory=str(small))
        assert (went["written"], went["left"], went["problems"]) == (3, 1, [])
        for path in small.glob("*.bundle"):
            assert len(Bundle.parse(path.read_bytes()).payload) == 200_000
        assert list(small.glob(".*")) == []
        assert (await a.call("bundles"))["counts"]["stored"] == 4
