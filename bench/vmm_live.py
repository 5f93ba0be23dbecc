"""QEMU's own live migration, over a local socket, of the larger guest of bench/vmm_moves.py.

It writes noise anew all the time. QEMU's figure for its downtime is from stopping the source's
processor until the last page is sent; ours, in vmm_moves, is until the guest answers on the other
node, its state durable and signed. QEMU's RAM goes as it is, ours compressed.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import trio

from bench.machines import SHM, Bench, buried, clocked, completed, migratable, peers_command_line
from bench.rows import Row, Times, rounds, row
from bench.vmm_moves import MIB, PROGRAM
from radics_mesh.vmm import qemu
from radics_mesh.vmm.launch import launch, prepare


class Live:
    """One guest: what it touches, what of that it writes all the time."""

    def __init__(self, folder: Path, memory_bytes: int, touched: int, changing: int) -> None:
        folder.mkdir()
        self._bench = Bench(folder, PROGRAM, memory_bytes)
        self._folder = folder
        self._arguments = ("bench", str(touched), str(changing))

    async def migrate(self) -> Times:
        socket = SHM / f"radics-bench-{self._folder.parent.name}"
        socket.mkdir(exist_ok=True)
        socket.chmod(0o777)  # QEMU is nobody
        try:
            return await self._migrate(f"unix:{socket / 'migration'}")
        finally:
            shutil.rmtree(socket)

    async def _migrate(self, uri: str) -> Times:
        one, two = self._bench.vm("one"), self._bench.vm("two")
        hello = replace(one.hello, argv=self._arguments)
        with peers_command_line():
            source = await launch(replace(one, hello=hello))
            target = await prepare(replace(two, hello=hello))
        target, there = await migratable(target, hello)
        async with clocked(source) as watched:
            await watched.moment("other")  # it says "touched"
            await trio.sleep(0.2)
            here = await qemu.control(source.files.directory)
            for control in (here, there):
                await control.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
            await there.execute("migrate-incoming", uri=uri)
            await here.execute("migrate", uri=uri)
            await completed(here, patience_s=50)
            told = await here.execute("query-migrate")
            await there.aclose()
            await here.aclose()
            await target.kill()
        return {
            "downtime": told["downtime"] / 1e3,
            "whole": told["total-time"] / 1e3,
            "bytes": float(told["ram"]["transferred"]),
        }


async def measure(count: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large"
        with buried(path):
            guest = Live(path, 512 * MIB, 64 * MIB, 4 * MIB)
            (times,) = await rounds(guest.migrate, count=max(1, count // 2))
    return [
        row(
            "QEMU's live migration, 512 MB VM, 4 MB change: downtime", times["downtime"] * 1e3, "ms"
        ),
        row("  whole", times["whole"] * 1e3, "ms"),
        row("  bytes", times["bytes"] / 1e6, "MB"),
    ]
