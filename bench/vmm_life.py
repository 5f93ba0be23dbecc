"""How quickly VMs start and resume, with a pool of waiting QEMUs and without, and what they take.

A node in one process, with real QEMUs, stores and fsync; a tiny program in C in 64 MB. From the
request (`run_vm`, `resume`) to the guest's first word on the channel: image and settings checked,
rows durable, QEMU started or taken from the pool, the library OS up. A pool has what was asked for
last: QEMUs that have loaded nothing, for a first `run` and every `resume`, and one that has booted
the image, for the runs after that. The peer of a start is QEMU's own start up to its first answer.

Memory is PSS: what is shared is counted in parts, so fifty VMs are measured at once.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from bench.rows import Row, Times, rounds, row
from radics_mesh.hosting import pool
from radics_mesh.hosting.conduct import Conduct
from radics_mesh.vmm import adoption, qemu, usage
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.waiting import Kind
from tests.hosting.world import Site, World, until

MIB = 1 << 20
MEMORY_BYTES = 64 * MIB
SHM = Path("/dev/shm")
PROGRAM = """
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
    for (volatile unsigned long n = 0; argc > 1 && !strcmp(argv[1], "spin"); n++)
        ;
    for (;;)
        pause();
}
"""
MANY, MANY_BYTES = 50, 16 * MIB
SHARE_PERCENT, SHARE_OVER_S = 25, 4.0


class Bench:
    def __init__(self, site: Site, image: Path) -> None:
        self.site = site
        self.image = image
        self._number = 0

    async def _words(self, name: str) -> float:
        """The moment of its guest's first word."""
        guest = self.site.hosting.named(name).life.guest
        assert guest is not None
        await guest.ready.wait()
        assert guest.ready_at is not None
        return guest.ready_at

    async def run(self, *words: str, **settings: object) -> tuple[str, float]:
        self._number += 1
        name = f"vm{self._number}"
        memory = settings.pop("memory_bytes", MEMORY_BYTES)
        assert isinstance(memory, int)
        conduct = settings.pop("conduct", Conduct())
        assert isinstance(conduct, Conduct)
        began = trio.current_time()
        await self.site.hosting.run_vm(
            self.image, name, arguments=words, memory_bytes=memory, conduct=conduct
        )
        return name, await self._words(name) - began

    async def wait_for(self, *, booted: bool) -> None:
        """Until the pool has rested and has such a one."""
        waiting = self.site.hosting.pool

        def has() -> bool:
            fit = [w for w in waiting.waiting if w.kind.memory_bytes == MEMORY_BYTES]
            return any((w.kind.image is not None) is booted for w in fit)

        if waiting.size:
            await until(has)
        await trio.sleep(0.3)

    async def start(self) -> Times:
        """A first run, one more, and a resume."""
        host = self.site.hosting
        host.pool.forget()
        host.pool.want(Kind("x86_64", MEMORY_BYTES))
        await self.wait_for(booted=False)
        first, first_s = await self.run()
        await self.wait_for(booted=True)
        again, again_s = await self.run()
        await host.save(again)
        await self.wait_for(booted=False)
        began = trio.current_time()
        await host.resume(again)
        resume_s = await self._words(again) - began
        for name in (first, again):
            await host.kill(name)
        return {"first": first_s, "again": again_s, "resume": resume_s}

    async def peer(self) -> Times:
        """QEMU's own start."""
        with tempfile.TemporaryDirectory() as folder:
            files = qemu.Files.name(Path(folder), SHM, self.image, MEMORY_BYTES)
            began = time.perf_counter()
            process = await qemu.start(files, "tcg", paused=True)
            control = await qemu.control(files.directory)
            up = time.perf_counter()
            await control.aclose()
            await adoption.end(process, files.lock)
            files.discard()
        return {"qemu": up - began}

    async def idle(self) -> Times:
        """What those of the pool take while they wait."""
        found = [usage.of(w.process.pid) for w in self.site.hosting.pool.waiting]
        await trio.sleep(2)
        later = [usage.of(one.pid) for one in found]
        used_s = sum(b.cpu_s - a.cpu_s for a, b in zip(found, later, strict=True))
        return {
            "pss": statistics.mean(one.pss_bytes for one in found),
            "cpu": used_s / 2 / len(found),
        }

    async def many(self) -> Times:
        names = [(await self.run(memory_bytes=MANY_BYTES))[0] for _ in range(MANY)]
        await trio.sleep(1)
        own = []
        for name in names:
            guest = self.site.hosting.named(name).life.guest
            assert guest is not None
            touched = guest.machine.files.ram.stat().st_blocks * 512
            own.append(usage.of(guest.machine.pid).pss_bytes - touched)
        for name in names:
            await self.site.hosting.kill(name)
        return {"own": statistics.mean(own)}

    async def share(self) -> Times:
        name, _ = await self.run("spin", conduct=Conduct(cpu_percent=SHARE_PERCENT))
        pid = self.site.hosting.vm(name).pid
        assert pid is not None
        before, began = usage.of(pid).cpu_s, time.monotonic()
        await trio.sleep(SHARE_OVER_S)
        share = (usage.of(pid).cpu_s - before) / (time.monotonic() - began)
        await self.site.hosting.kill(name)
        return {"share": share * 100}


@asynccontextmanager
async def node(folder: Path, ram: Path, image: Path, pool_size: int) -> AsyncIterator[Bench]:
    path = folder / f"pool{pool_size}"
    path.mkdir()
    async with trio.open_nursery() as nursery:
        world = World(nursery, path, ram=ram, memory_bytes=4 << 30, pool_size=pool_size)
        site = await world.start(0)
        try:
            yield Bench(site, image)
        finally:
            with trio.CancelScope(shield=True):
                for vm in site.hosting.tenants():
                    await vm.life.kill_stray()
            nursery.cancel_scope.cancel()


async def measure(count: int) -> list[Row]:
    pool.QUIET_S = 0.1
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory(dir=SHM) as ram,
    ):
        os.chmod(folder, 0o755)
        source, image = Path(folder) / "tiny.c", Path(folder) / "tiny.img"
        source.write_text(PROGRAM)
        build_image([source], image)
        image.chmod(0o444)
        async with node(Path(folder), Path(ram), image, 2) as with_pool:
            async with node(Path(folder), Path(ram), image, 0) as without:
                quick, slow, peer = await rounds(
                    with_pool.start, without.start, without.peer, count=count
                )
                (many,) = await rounds(without.many, count=1)
                (share,) = await rounds(without.share, count=1)
            await with_pool.wait_for(booted=False)
            (idle,) = await rounds(with_pool.idle, count=1)
    ms, mb = 1e3, 1e-6
    qemus = f"QEMU's start: {peer['qemu'] * ms:.0f} ms"
    return [
        row(
            "run, pool: image not run before", quick["first"] * ms, "ms", None, _none(slow, "first")
        ),
        row("run, pool: image run before", quick["again"] * ms, "ms", 15, _none(slow, "again")),
        row("resume, pool", quick["resume"] * ms, "ms", 15, _none(slow, "resume")),
        row("run, no pool", slow["again"] * ms, "ms", None, qemus),
        row("a waiting QEMU, memory", idle["pss"] * mb, "MB"),
        row("a waiting QEMU, processor", idle["cpu"] * 100, "%"),
        row(f"{MANY} VMs: a QEMU beside its guest's memory", many["own"] * mb, "MB", 15),
        row(f"a guest that spins, --cpu {SHARE_PERCENT}", share["share"], "%", SHARE_PERCENT * 1.1),
    ]


def _none(slow: Times, what: str) -> str:
    return f"no pool: {slow[what] * 1e3:.0f} ms"
