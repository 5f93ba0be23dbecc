"""A move over a bad link: 1 Mbit/s, 10 % of all packets lost, 10 ms each way; beside QEMU's own.

Two real nodes in a network namespace each, between them bench/link.py. A guest of 32 MB fills 8 MB
with lines of text, then writes one of its pages and prints a number every 50 ms. Both ends hold the
image. The peer is the same image in plain QEMUs and QEMU's live migration over the same link, with
its defaults (a pause of at most 300 ms); one that does not end within PATIENCE_S is given up.

Total time runs from the order to the guest's first number on the other side, pause between its last
number here and its first one there, bytes are IP packets that the link carried both ways meanwhile,
lost ones too. One round, whatever the number of rounds is: it takes minutes. Needs root.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from bench.rows import Row, row
from radics_mesh.errors import MeshError
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.qmp import Qmp
from scenarios.peers import Peer, until

PROGRAM = r"""
#include <stdio.h>
#include <unistd.h>
static char text[8 << 20];
int main(void)
{
    unsigned long line = 0, count = 0;
    for (unsigned long at = 0; at + 64 < sizeof text; line++)
        at += (unsigned long)sprintf(text + at, "%lu INFO sensor %lu reads %lu\n", line,
                                     line * 7919 % 97, line * 2654435761u % 100000);
    for (;; usleep(50000)) {
        sprintf(text + count * 4096 % sizeof text, "%lu", count);
        printf("tick %lu\n", ++count);
        fflush(stdout);
    }
}
"""
ROOT = Path(__file__).resolve().parents[1]
MEMORY_MB = 32
PATIENCE_S = 600.0
SETTLED_TICKS = 40
TICK = re.compile(rb"tick (\d+)\r?\n")
A, B = "10.77.0.1", "10.77.0.2"


class Ticks:
    """When each of a guest's numbers was first seen."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}
        self._rest = b""
        self._news = trio.Event()

    def take(self, data: bytes) -> None:
        """More of the guest's output."""
        now, text = time.perf_counter(), self._rest + data
        cut = text.rfind(b"\n") + 1
        self._rest = text[cut:]
        for number in TICK.findall(text[:cut]):
            self.at.setdefault(int(number), now)
        self._news.set()
        self._news = trio.Event()

    def again(self) -> None:
        """What comes now is the output from its beginning."""
        self._rest = b""

    async def are(self, count: int) -> None:
        while len(self.at) < count:
            await self._news.wait()


@dataclass(frozen=True)
class Journey:
    """Seconds, and bytes both ways. `total_s` None: it did not end in time."""

    total_s: float | None
    pause_s: float
    sent_bytes: int


class Link:
    """Two namespaces and what lies between them."""

    def __init__(self) -> None:
        self._ends = [subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) for _ in "ab"]
        for end in self._ends:
            while os.readlink(f"/proc/{end.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
                time.sleep(0.01)
        pids = [str(end.pid) for end in self._ends]
        self._emulator = subprocess.Popen(
            [sys.executable, "-m", "bench.link", *pids], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert self._emulator.stdout is not None
        self._said = self._emulator.stdout
        assert self._said.readline() == b"up\n"

    def within(self, end: int) -> tuple[str, ...]:
        """The command that runs another one at an end of the link."""
        return ("nsenter", f"--net=/proc/{self._ends[end].pid}/ns/net")

    def carried_bytes(self) -> int:
        """So far, both ways."""
        self._emulator.send_signal(signal.SIGUSR1)
        return sum(direction["bytes"] for direction in json.loads(self._said.readline()))

    def close(self) -> None:
        for process in (self._emulator, *self._ends):
            process.kill()
            process.wait()


# --- our nodes ----------------------------------------------------------------------------------


async def follow(peer: Peer, ticks: Ticks) -> None:
    """The VM's log on a peer; where the VM is not known yet, until it is."""
    while True:
        ticks.again()
        with suppress(MeshError):
            async for item in peer.client.stream("logs", name="ticks", follow=True):
                ticks.take(item["data"])
        await trio.sleep(0.01)


@asynccontextmanager
async def nodes(folder: Path, image: Path, link: Link) -> AsyncIterator[tuple[Peer, Peer]]:
    """A and B, one mesh; both have the image, the VM runs on A."""
    a, b = Peer("A", folder), Peer("B", folder)
    for end, (peer, host) in enumerate(((a, A), (b, B))):
        peer.within, peer.host = link.within(end), host
    try:
        await a.start("--no-scheduler")
        token = (await a.call("invite"))["token"]
        await b.start("--no-scheduler", "--invite", token)
        await b.call("image_add", file=str(image), name="ticks")
        await until(lambda: connected(a))
        await a.call("run", image=str(image), name="ticks", memory_bytes=MEMORY_MB << 20)
        yield a, b
    finally:
        for peer in (a, b):
            with trio.CancelScope(shield=True), suppress(MeshError):
                await peer.call("stop", name="ticks")
            peer.stop()


async def connected(peer: Peer) -> bool | None:
    rows = (await peer.call("nodes"))["nodes"]
    return True if any(r["name"] == "B" and r["connected"] for r in rows) else None


async def our_move(folder: Path, image: Path) -> Journey:
    link = Link()
    here, there = Ticks(), Ticks()
    try:
        async with nodes(folder, image, link) as (a, b), trio.open_nursery() as nursery:
            nursery.start_soon(follow, a, here)
            nursery.start_soon(follow, b, there)
            await here.are(SETTLED_TICKS)
            before, began = link.carried_bytes(), time.perf_counter()
            nursery.start_soon(order, a)
            journey = await arrival(here, there, link, before, began)
            nursery.cancel_scope.cancel()
        return journey
    finally:
        link.close()


async def order(a: Peer) -> None:
    await a.call("migrate", name="ticks", to="B")


async def arrival(here: Ticks, there: Ticks, link: Link, before: int, began: float) -> Journey:
    """From the order to the first tick there."""
    with trio.move_on_after(PATIENCE_S) as scope:
        await there.are(1)
    sent = link.carried_bytes() - before
    if scope.cancelled_caught:
        return Journey(None, 0.0, sent)
    first = min(there.at.values())
    return Journey(first - began, first - max(here.at.values()), sent)


# --- plain QEMU ---------------------------------------------------------------------------------


@asynccontextmanager
async def plain(
    folder: Path, image: Path, within: tuple[str, ...], *more: str
) -> AsyncIterator[tuple[Qmp, Ticks]]:
    """The image in a QEMU of its own, and when its ticks came."""
    folder.mkdir()
    ticks, socket = Ticks(), folder / "qmp"
    words = ["qemu-system-x86_64", "-M", "microvm,acpi=off", "-accel", "tcg", "-nodefaults"]
    words += ["-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"]
    words += ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
    words += ["-m", str(MEMORY_MB), "-kernel", str(image)]
    words += ["-qmp", f"unix:{socket},server=on,wait=off", *more]
    process = subprocess.Popen([*within, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        async with trio.open_nursery() as nursery:
            assert process.stdout is not None
            os.set_blocking(process.stdout.fileno(), False)
            nursery.start_soon(listen, process.stdout.fileno(), ticks)
            await until(lambda: there_is(socket))
            control = Qmp(await trio.open_unix_socket(socket))
            await control.negotiate()
            yield control, ticks
            await control.aclose()
            nursery.cancel_scope.cancel()
    finally:
        process.kill()
        process.wait()


async def there_is(path: Path) -> bool | None:
    return path.exists() or None


async def listen(descriptor: int, ticks: Ticks) -> None:
    while True:
        await trio.lowlevel.wait_readable(descriptor)
        if not (data := os.read(descriptor, 65536)):
            return
        ticks.take(data)


async def their_move(folder: Path, image: Path) -> Journey:
    link = Link()
    try:
        async with (
            plain(folder / "b", image, link.within(1), "-incoming", f"tcp:{B}:4444") as (_, there),
            plain(folder / "a", image, link.within(0)) as (control, here),
        ):
            await here.are(SETTLED_TICKS)
            before, began = link.carried_bytes(), time.perf_counter()
            await control.execute("migrate", uri=f"tcp:{B}:4444")
            return await arrival(here, there, link, before, began)
    finally:
        link.close()


async def measure(count: int) -> list[Row]:
    if os.geteuid() != 0:
        return []
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        source, image = folder / "ticks.c", folder / "ticks.img"
        source.write_text(PROGRAM)
        build_image([source], image)
        image.chmod(0o444)
        theirs = await their_move(folder, image)
        ours = await our_move(folder, image)
    return rows(ours, theirs)


def rows(ours: Journey, theirs: Journey) -> list[Row]:
    never = f"QEMU: not done after {PATIENCE_S:g} s"
    over = "over 1 Mbit/s, 10 % loss"
    ended = theirs.total_s is not None
    times = [
        ("a move", ours.total_s, f"QEMU: {theirs.total_s:.1f} s" if theirs.total_s else never, "s"),
        ("its pause", ours.pause_s, f"QEMU: {theirs.pause_s:.2f} s" if ended else never, "s"),
        (
            "its bytes on the link",
            ours.sent_bytes / 1e6,
            f"QEMU: {theirs.sent_bytes / 1e6:.1f} MB{'' if ended else ' by then'}",
            "MB",
        ),
    ]
    return [
        row(f"{name} {over}", float("inf") if value is None else value, unit, None, peer)
        for name, value, peer, unit in times
    ]
