"""A hundred VMs of 16 MB on one node: each starts, each answers, all are found again, all end.

A tiny program in C that answers each request with what it was asked. One node of its own, started
as a user would. Printed: how long a VM takes from the order to its first word, how long it takes to
answer, what a QEMU takes of memory beyond its guest, what the node takes. Then the node is killed
with SIGKILL and started again, and must find every one of them alive.

All figures are wall clock on one machine, guests under the accelerator that is named, memory as
PSS: what is shared is counted in parts.
Exit status 0 only if every check holds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from radics_mesh.errors import MeshError
from radics_mesh.vmm import usage
from radics_mesh.vmm.build import build_image
from scenarios.peers import Peer, stop_all

MEMORY_MB = 16
GIVE_UP_S = 600.0
ANSWER_S = 60.0
# Orders at a time, as of an impatient user with some windows.
AT_ONCE = 4
# What QEMU shares among all its processes counts in parts, so fewer than this many prove little.
WEIGHED_FROM = 50
PROGRAM = """
#include "radics.h"
int main(void)
{
    static char text[RADICS_MESSAGE_MAX];
    const int asked = radics_serve("echo");
    for (;;) {
        struct radics_message request;
        const long n = radics_receive(asked, text, sizeof text, -1, &request);
        if (n >= 0)
            radics_reply(&request, text, (size_t)n);
    }
}
"""


@dataclass
class Figures:
    """Seconds and bytes."""

    boots_s: list[float] = field(default_factory=list)
    answers_s: list[float] = field(default_factory=list)
    answered: int = 0
    all_started_s: float = 0.0
    qemus: int = 0
    pss_bytes: list[int] = field(default_factory=list)
    touched_bytes: list[int] = field(default_factory=list)
    node_pss_bytes: int = 0
    idle_cpu: float = 0.0
    found_again: int = 0
    found_again_s: float = 0.0
    ended_s: float = 0.0
    left: int = 0


@dataclass
class Fleet:
    peer: Peer
    image: Path
    count: int
    figures: Figures = field(default_factory=Figures)

    @property
    def names(self) -> list[str]:
        return [f"vm{number}" for number in range(self.count)]

    async def each(self, work: Any) -> None:
        """`work(name)` for all, AT_ONCE at a time."""
        names = iter(self.names)

        async def some() -> None:
            for name in names:
                await work(name)

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(some)

    async def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.peer.call("ps"))["vms"]
        return [row for row in found if row["local"]]

    async def start(self) -> None:
        async def run(name: str) -> None:
            await self.peer.call(
                "run", image=str(self.image), name=name, memory_bytes=MEMORY_MB << 20
            )

        began = time.monotonic()
        await self.each(run)
        rows = await self._when_all("running")
        self.figures.all_started_s = time.monotonic() - began
        self.figures.boots_s = [row["boot_s"] for row in rows if row["boot_s"] is not None]

    async def _when_all(self, state: str) -> list[dict[str, Any]]:
        while True:
            rows = await self.rows()
            if sum(row["state"] == state for row in rows) == self.count:
                return rows
            await trio.sleep(0.05)

    async def ask(self) -> None:
        """Each once, by name, over the bundle layer as any program would."""
        times: list[float] = []

        async def one(name: str) -> None:
            began, asked = time.monotonic(), name.encode()
            answer = await self.peer.call(
                "request", destination=f"{name}/echo", payload=asked, timeout_s=ANSWER_S
            )
            times.append(time.monotonic() - began)
            self.figures.answered += answer["payload"] == asked

        await self.each(one)
        self.figures.answers_s = times

    async def weigh(self, seconds: float = 2.0) -> None:
        """What they take while nobody asks anything of them."""
        pids = [row["pid"] for row in await self.rows()]
        before = [usage.of(pid) for pid in pids]
        began = time.monotonic()
        await trio.sleep(seconds)
        after = [usage.of(pid) for pid in pids]
        used_s = sum(a.cpu_s - b.cpu_s for a, b in zip(after, before, strict=True))
        self.figures.idle_cpu = used_s / (time.monotonic() - began)
        self.figures.qemus = len(after)
        self.figures.pss_bytes = [found.pss_bytes for found in after]
        self.figures.touched_bytes = [_touched_bytes(found) for found in after]
        self.figures.node_pss_bytes = usage.of(self.peer.pid).pss_bytes

    async def survive(self) -> None:
        """The node's SIGKILL."""
        pids = {row["name"]: row["pid"] for row in await self.rows()}
        self.peer.sigkill()
        began = time.monotonic()
        await self.peer.start()
        rows = await self._when_all("running")
        self.figures.found_again_s = time.monotonic() - began
        self.figures.found_again = sum(row["pid"] == pids[row["name"]] for row in rows)

    async def end(self) -> None:
        async def stop(name: str) -> None:
            await self.peer.call("stop", name=name)

        pids = [row["pid"] for row in await self.rows()]
        began = time.monotonic()
        await self.each(stop)
        self.figures.ended_s = time.monotonic() - began
        self.figures.left = sum(map(_runs, pids))


def _runs(pid: int) -> bool:
    """Not: is a zombie, whose new parent has not looked yet."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def _touched_bytes(qemu: usage.Usage) -> int:
    """Of the guest's memory, which is a file that QEMU has open."""
    for number, name in qemu.descriptors.items():
        if name.endswith(".ram"):
            return Path(f"/proc/{qemu.pid}/fd/{number}").stat().st_blocks * 512
    return 0


def tell(fleet: Fleet) -> dict[str, bool]:
    f, n = fleet.figures, fleet.count
    mb = 1e6
    own = [pss - touched for pss, touched in zip(f.pss_bytes, f.touched_bytes, strict=True)]
    print(f"  {n} VMs of {MEMORY_MB} MB up after {f.all_started_s:.1f} s, {AT_ONCE} at a time")
    print(
        f"  order to first word: median {statistics.median(f.boots_s) * 1e3:.0f} ms,"
        f" longest {max(f.boots_s) * 1e3:.0f}"
    )
    print(
        f"  request to answer: median {statistics.median(f.answers_s) * 1e3:.0f} ms,"
        f" longest {max(f.answers_s) * 1e3:.0f}"
    )
    print(
        f"  a VM's memory (PSS): {statistics.mean(f.pss_bytes) / mb:.1f} MB, of which its guest"
        f" {statistics.mean(f.touched_bytes) / mb:.1f}, QEMU itself {statistics.mean(own) / mb:.1f}"
    )
    print(f"  all together {sum(f.pss_bytes) / mb:.0f} MB, the node {f.node_pss_bytes / mb:.0f}")
    print(f"  while nobody asks: {f.idle_cpu * 100:.0f} % of a processor, all together")
    print(
        f"  found again {f.found_again_s:.1f} s after the node's SIGKILL; ended in {f.ended_s:.1f}"
    )
    weighed = {"a QEMU takes less than 15 MB beside its guest": statistics.mean(own) < 15 * mb}
    return {
        f"all {n} ran at once, each in a QEMU of its own": f.qemus == n,
        "each answered what it was asked": f.answered == n,
        "each was found again, the same process, after the node's SIGKILL": f.found_again == n,
        **(weighed if n >= WEIGHED_FROM else {}),
        "none is left": f.left == 0,
    }


async def play(directory: Path, count: int) -> bool:
    source, image = directory / "echo.c", directory / "echo.img"
    source.write_text(PROGRAM)
    build_image([source], image)
    peer, checks = Peer("host", directory), dict[str, bool]()
    fleet = Fleet(peer, image, count)
    try:
        with trio.move_on_after(GIVE_UP_S):
            memory_mb = str(count * MEMORY_MB + 64)
            await peer.start("--guest-memory", memory_mb, "--no-scheduler")
            node = (await peer.call("status"))["node"]
            print(f"{count} VMs, {node['arch']}, {node['cores']} cores, {node['accelerator']}")
            for step in (fleet.start, fleet.ask, fleet.weigh, fleet.survive, fleet.end):
                await step()
            checks = tell(fleet)
    except (MeshError, ExceptionGroup) as error:
        print(f"failed: {error}")
    finally:
        await stop_all([peer])
    for name, held in checks.items():
        print(f"  {'yes' if held else 'NO '}  {name}")
    if not checks:
        print(f"--- last words of {peer.name}\n{peer.last_words()}")
    return bool(checks) and all(checks.values())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int, nargs="?", default=100)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="radics-hundred-") as directory:
        return 0 if trio.run(play, Path(directory), options.count) else 1


if __name__ == "__main__":
    sys.exit(main())
