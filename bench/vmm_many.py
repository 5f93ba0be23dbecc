"""Many VMs of one small C program (2 MB of its memory filled): saved and resumed all at once, and
what their states take on disk.

Two cores do the work of all, so the figures for 64 are of the whole, not of one. Beside: a `save`
and `resume` of the same 64 by QEMU's `migrate` to files on a tmpfs, also all at once.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import trio

from bench.machines import (
    ONE,
    SHM,
    Bench,
    Clocked,
    bury,
    completed,
    migratable,
    peers_command_line,
)
from bench.rows import Row, row
from radics_mesh.hosting.surveyor import Surveyor
from radics_mesh.vmm import qemu
from radics_mesh.vmm.launch import launch, prepare
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.stored import Stored
from radics_mesh.vmm.survey import Survey

MIB = 1 << 20
MEMORY_BYTES = 16 * MIB
# QEMU's own start is bounded by the processor; more at once only wait for each other.
AT_ONCE = 8
PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "radics.h"
enum { BYTES = 2 << 20 };
int main(void)
{
    static char buf[RADICS_MESSAGE_MAX];
    char *text = malloc(BYTES);
    for (size_t at = 0, line = 0; at + 64 < BYTES; line++)
        at += (size_t)sprintf(text + at, "%zu INFO sensor %zu reads %zu\\n", line, line * 7919 % 97,
                              line * 2654435761u % 100000);
    const int numbers = radics_subscribe("numbers");
    while (radics_receive(numbers, buf, sizeof buf, -1, NULL) >= 0)
        radics_send("dtn://here/sums", buf, 1, 0);
}
"""


async def for_all(count: int, work: Callable[[int], Awaitable[None]], at_once: int = 0) -> float:
    """How long it takes."""
    limit = trio.CapacityLimiter(at_once or count)

    async def one(index: int) -> None:
        async with limit:
            await work(index)

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for index in range(count):
            nursery.start_soon(one, index)
    return time.perf_counter() - began


class Crowd:
    """VMs `0` to `count - 1`, each running and idle."""

    def __init__(self, bench: Bench, count: int, nursery: trio.Nursery) -> None:
        self.bench, self.count, self._nursery = bench, count, nursery
        self.guests: dict[int, Clocked] = {}
        self.states: dict[int, Stored] = {}

    async def start(self, index: int) -> None:
        machine = await launch(self.bench.vm(str(index)))
        guest = await self._attend(index, machine)
        await guest.moment("subscribed")
        await machine.deliver(1, 1, [ONE])
        await guest.moment("sum")

    async def _attend(self, index: int, machine: Machine) -> Clocked:
        """Until it is killed."""
        guest = self.guests[index] = Clocked(machine)
        self._nursery.start_soon(guest.attend)
        await self._nursery.start(machine.run)
        return guest

    async def save(self, index: int) -> None:
        guest, bench, name = self.guests[index], self.bench, str(index)
        surveyor = Surveyor(guest.machine, bench.pages, Survey.at_start(None))
        await surveyor.ahead()
        await guest.machine.park(known=surveyor.stage, deadline_s=60)
        seen, files = await surveyor.last(), guest.machine.files
        self.states[index] = await bench.kept(name).keep(
            seen, files, bench.subject(name), bench.signer
        )
        await guest.machine.kill()

    async def resume(self, index: int) -> None:
        state = await self.bench.kept(str(index)).check(self.states[index].digest)
        vm = self.bench.vm(str(index))
        hello = replace(vm.hello, out_acked=self.guests[index].outputs)
        machine = await launch(replace(vm, snapshot=state, hello=hello))
        guest = await self._attend(index, machine)
        await guest.moment("ready")

    def dedup(self) -> float:
        """Pages of all states for each that is kept."""
        hashes = [h for state in self.states.values() for h in state.manifest.page_hashes()]
        return len(hashes) / len(set(hashes))

    async def migrate_out(self, index: int) -> None:
        machine = self.guests[index].machine
        control = await qemu.control(machine.files.directory)
        await control.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        await control.execute("stop")
        await control.execute("migrate", uri=f"exec:cat > {self.file(index)}")
        await completed(control, patience_s=120)
        await control.aclose()
        await machine.kill()

    async def migrate_in(self, index: int) -> None:
        vm = self.bench.vm(str(index))
        machine = await prepare(vm)
        hello = replace(vm.hello, out_acked=self.guests[index].outputs)
        machine, control = await migratable(machine, hello)
        await control.execute("migrate-incoming", uri=f"exec:cat {self.file(index)}")
        await completed(control, patience_s=120)
        await control.execute("cont")
        await control.aclose()
        guest = await self._attend(index, machine)
        await guest.moment("ready")
        self.file(index).unlink()

    def file(self, index: int) -> Path:
        file = SHM / f"radics-bench-{self.bench.folder.name}-{index}.migration"
        if not file.exists():
            file.touch()
            file.chmod(0o666)  # QEMU's shell is nobody
        return file


async def crowd(count: int, then: Callable[[Crowd], Awaitable[list[Row]]]) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            bench = Bench(Path(folder), PROGRAM, MEMORY_BYTES, "c")
            async with trio.open_nursery() as nursery:
                people = Crowd(bench, count, nursery)
                await for_all(count, people.start, AT_ONCE)
                rows = await then(people)
                for guest in people.guests.values():
                    await guest.machine.kill()
            bench.pages.close()
        finally:
            for name in range(count):
                bury(Path(folder) / str(name))
    return rows


async def saved_together(people: Crowd) -> list[Row]:
    save_s = await for_all(people.count, people.save)
    used, ratio = people.bench.pages.used_bytes, people.dedup()
    resume_s = await for_all(people.count, people.resume, AT_ONCE)
    return [
        row("64 VMs of 2 MB, saved all at once", save_s * 1e3, "ms"),
        row("  on disk, pages of all", used / 1e6, "MB"),
        row("  pages for each that is kept", ratio, "times"),
        row("  resumed, 8 at a time", resume_s * 1e3, "ms"),
    ]


async def migrated_together(people: Crowd) -> list[Row]:
    save_s = await for_all(people.count, people.migrate_out)
    size = sum(people.file(index).stat().st_size for index in range(people.count))
    resume_s = await for_all(people.count, people.migrate_in, AT_ONCE)
    return [
        row("  QEMU: migrated to files all at once", save_s * 1e3, "ms"),
        row("  QEMU: in files", size / 1e6, "MB"),
        row("  QEMU: migrated back, 8 at a time", resume_s * 1e3, "ms"),
    ]


async def deduplicated(people: Crowd) -> list[Row]:
    await for_all(people.count, people.save)
    return [row("20 VMs of one image: pages for each that is kept", people.dedup(), "times")]


async def measure(count: int) -> list[Row]:
    """Once each, whatever `count`: each figure is of many VMs."""
    rows = await crowd(64, saved_together)
    with peers_command_line():
        rows += await crowd(64, migrated_together)
    return rows + await crowd(20, deduplicated)
