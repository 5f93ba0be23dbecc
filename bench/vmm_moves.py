"""Moves of a running guest between two nodes in one process, over bundles and links in memory.

All that a move is made of is real but the link: agents over bundle stores on disk, signatures,
sealing, page stores with fsync, QEMU. The guest writes anew all the time over a part of its memory
(noise, which does not compress), so that much has changed since the last round of staging when it
is parked. Downtime is from the order to park until the guest answers on the other node.

The peer is QEMU's own live migration of the same guest over a Unix socket into a waiting QEMU,
without a limit: its word for the downtime, and for the bytes of memory that it sent in all.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import trio

from bench.machines import HELLO, SHM, clocked, completed, migratable, peers_command_line
from bench.rows import Row, Times, rounds, row
from radics_mesh.vmm import qemu
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.launch import Launch, launch, prepare
from tests.hosting.world import Site, World, until

MIB = 1 << 20
PROGRAM = """
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>
int main(int argc, char** argv)
{
    const size_t touched = std::strtoul(argv[1], nullptr, 0);
    const size_t changing = std::strtoul(argv[2], nullptr, 0);
    std::vector<char> text(touched - changing);
    for (size_t at = 0, line = 0; at + 64 < text.size(); line++)
        at += static_cast<size_t>(std::sprintf(&text[at], "%zu INFO sensor %zu reads %zu\\n", line,
                                               line * 7919 % 97, line * 2654435761u % 100000));
    std::vector<uint64_t> noise(changing / 8);
    std::puts("touched");
    std::fflush(stdout);
    for (uint64_t x = 88172645463325252u;;) {
        for (auto& word : noise) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            word = x;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}
"""


class Pair:
    """Two nodes, and guests that go there and back."""

    def __init__(self, world: World, image: Path) -> None:
        self._world = world
        self._image = image

    async def open(self) -> None:
        one, other = await self._world.start(0), await self._world.start(1)
        self._world.connect(0, 1)
        self._sites = (one, other)

    async def guest(self, memory_bytes: int, touched: int, changing: int) -> None:
        one = self._sites[0]
        await one.hosting.run_vm(
            self._image,
            "guest",
            arguments=(str(touched), str(changing)),
            memory_bytes=memory_bytes,
        )
        log = one.hosting.tenant(one.vm("guest").vm_id).life.log
        await until(lambda: log.end > 0)

    async def move(self) -> Times:
        """From where it is to the other one."""
        here, there = sorted(self._sites, key=lambda site: not site.has("guest"))
        vm = here.hosting.tenant(here.vm("guest").vm_id)
        stats = await here.hosting.migrate("guest", there.id)
        guest = there.hosting.tenant(vm.vm_id).life.guest
        assert guest is not None
        await guest.ready.wait()
        assert guest.ready_at is not None
        return {
            "down": guest.ready_at - vm.parked_at,
            "park": stats.park_s or 0.0,
            "snapshot": stats.snapshot_s or 0.0,
            "release": stats.pause_s or 0.0,
            "staged": float(stats.staged_bytes),
            "pause_bytes": float(stats.sent_bytes - stats.staged_bytes),
            "rounds": float(stats.rounds),
        }

    async def stop(self) -> None:
        site: Site = next(site for site in self._sites if site.has("guest"))
        await site.hosting.stop("guest")


async def live_migration(folder: Path, image: Path, memory_bytes: int, *words: str) -> Times:
    """The same guest by QEMU's own means."""
    hello = dataclasses.replace(HELLO, argv=("guest", *words))
    orders = []
    for name in ("one", "two"):
        (folder / name).mkdir(exist_ok=True)
        orders.append(Launch(folder / name, SHM, image, memory_bytes, "tcg", hello))
    socket = SHM / f"radics-bench-{folder.name}.migration"
    with peers_command_line():
        target = await prepare(orders[1])
        source = await launch(orders[0])
    async with clocked(source) as watched:
        await watched.moment("other")  # it has touched its memory
        incoming, waiting = await migratable(target, hello)
        await waiting.execute("migrate-incoming", uri=f"unix:{socket}")
        socket.chmod(0o666)
        control = await qemu.control(source.files.directory)
        await control.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        await control.execute("migrate", uri=f"unix:{socket}")
        await completed(control, patience_s=60)
        said = await control.execute("query-migrate")
        await incoming.kill()
    socket.unlink(missing_ok=True)
    return {"down": said["downtime"] / 1000, "bytes": float(said["ram"]["transferred"])}


async def measure(count: int) -> list[Row]:
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory(dir="/dev/shm") as ram,
    ):
        path = Path(folder)
        (path / "moves.cpp").write_text(PROGRAM)
        build_image([path / "moves.cpp"], path / "moves.img")
        async with trio.open_nursery() as nursery:
            pair = Pair(
                World(nursery, path, ram=Path(ram), memory_bytes=1200 * MIB), path / "moves.img"
            )
            await pair.open()
            await pair.guest(32 * MIB, 8 * MIB, 1 * MIB)
            new = await pair.move()  # to a node that never had it; later ones hold what they had
            small, peer = await rounds(
                pair.move,
                lambda: live_migration(
                    path, path / "moves.img", 32 * MIB, str(8 * MIB), str(1 * MIB)
                ),
                count=count,
            )
            await pair.stop()
            await pair.guest(512 * MIB, 64 * MIB, 4 * MIB)
            [big] = await rounds(pair.move, count=count)
            await pair.stop()
            nursery.cancel_scope.cancel()
    return rows(new, small, big, peer)


def rows(new: Times, small: Times, big: Times, peer: Times) -> list[Row]:
    ms, mib = 1000.0, 1 / MIB
    first, second = "move, 32 MB VM, 1 MB changes", "move, 512 MB VM, 4 MB change"
    in_all = new["staged"] + new["pause_bytes"]
    qemus = f"QEMU live: {peer['bytes'] * mib:.1f} MB in all", f"QEMU: {peer['down'] * ms:.0f} ms"
    return [
        row(f"{first}: bytes in the pause", small["pause_bytes"] * mib, "MB", 1.2),
        row(f"{first}: bytes in all, the first time", in_all * mib, "MB", None, qemus[0]),
        row(f"{first}: downtime", small["down"] * ms, "ms", 150, qemus[1]),
        row("  to park", small["park"] * ms, "ms"),
        row("  to write its state", small["snapshot"] * ms, "ms"),
        row("  until released", small["release"] * ms, "ms"),
        row(f"{second}: bytes in the pause", big["pause_bytes"] * mib, "MB"),
        row(f"{second}: downtime", big["down"] * ms, "ms", 300),
        row("  to park", big["park"] * ms, "ms"),
        row("  to write its state", big["snapshot"] * ms, "ms"),
        row("  until released", big["release"] * ms, "ms"),
    ]
