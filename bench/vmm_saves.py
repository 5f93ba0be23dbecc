"""Saves to disk and resumes, durable, as a node does them: pages that the store lacks, first while
the guest runs, then the rest in the pause; a signed manifest; each synced.

Two guests: one of 32 MB that has filled 8 MB with text, and one of 512 MB that has written 256 MB,
and between two saves 4 MB of those. The peer is QEMU's `migrate` of the same guest, stopped, to a
file on a tmpfs (so without a sync) and back.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import trio

from bench.machines import ONE, PROGRAM, Bench, Clocked, buried, clocked
from bench.rows import Row, Times, rounds, row
from bench.vmm_move import Moves
from radics_mesh.hosting.surveyor import Surveyor
from radics_mesh.vmm.launch import Launch, launch, prepare
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.manifest import Signed
from radics_mesh.vmm.stored import Stored
from radics_mesh.vmm.survey import Survey

MIB = 1 << 20
LARGE_BYTES = 512 * MIB
LARGE = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "radics.h"
enum { PAGES = 65536, CHANGED = 1024, WORDS = 512 };
int main(void)
{
    static char buf[RADICS_MESSAGE_MAX];
    uint64_t *words = malloc((size_t)PAGES * WORDS * 8);
    for (uint64_t at = 0; at < (uint64_t)PAGES * WORDS; at++)
        words[at] = at * 0x9E3779B97F4A7C15u >> 40;
    const int numbers = radics_subscribe("numbers");
    for (uint64_t round = 1; radics_receive(numbers, buf, sizeof buf, -1, NULL) >= 0; round++) {
        for (uint64_t page = 0; page < CHANGED; page++)
            for (uint64_t at = 0; at < WORDS; at++)
                words[(page * 61 % PAGES) * WORDS + at] = (at + round) * 0x9E3779B97F4A7C15u >> 40;
        radics_send("dtn://here/sums", buf, 1, 0);
    }
}
"""


@asynccontextmanager
async def summing(
    bench: Bench, machine: Machine, state: Signed | None
) -> AsyncIterator[tuple[Clocked, Surveyor, float]]:
    """A guest that has taken a number more, and when it was there."""
    start = Survey.at_start(state.manifest if state else None)
    async with clocked(machine) as guest:
        ready = await guest.moment("ready")
        if state is None:
            await guest.moment("subscribed")
        await machine.deliver(1, 1 if state is None else 2, [ONE])
        await guest.moment("sum")
        yield guest, Surveyor(machine, bench.pages, start), ready


async def saved(
    bench: Bench, name: str, guest: Clocked, surveyor: Surveyor
) -> tuple[Stored, Times]:
    machine, before = guest.machine, bench.pages.used_bytes
    t = [time.perf_counter()]
    await surveyor.ahead()
    t.append(time.perf_counter())
    ahead = bench.pages.used_bytes
    await machine.park(known=surveyor.stage)
    t.append(time.perf_counter())
    seen = await surveyor.last()
    kept = await bench.kept(name).keep(seen, machine.files, bench.subject(name), bench.signer)
    t.append(time.perf_counter())
    return kept, {
        "ahead": t[1] - t[0],
        "park": t[2] - t[1],
        "keep": t[3] - t[2],
        "pause": t[3] - t[1],
        "whole": t[3] - t[0],
        "ahead bytes": float(ahead - before),
        "pause bytes": float(bench.pages.used_bytes - ahead),
    }


class Waits:
    """A QEMU that is started while other things are done."""

    def __init__(self, order: Launch) -> None:
        self._order = order

    async def prepare(self) -> None:
        self.machine = await prepare(self._order)


class Saves:
    """Each round in a directory of its own, so with an empty store."""

    def __init__(self, program: str, suffix: str, memory_bytes: int) -> None:
        self._made = (program, memory_bytes, suffix)

    async def round(self) -> Times:
        """Save, resume, save again."""
        with tempfile.TemporaryDirectory() as folder, buried(Path(folder)):
            bench = Bench(Path(folder), *self._made)
            try:
                return await self._round(bench)
            finally:
                bench.pages.close()

    async def _round(self, bench: Bench) -> Times:
        machine = await launch(bench.vm("one"))
        async with summing(bench, machine, None) as (guest, surveyor, _):
            state, first = await saved(bench, "one", guest, surveyor)
            said = guest.outputs
        began = time.perf_counter()
        async with trio.open_nursery() as nursery:  # as a node without a pool does it
            waiting = Waits(bench.vm("one"))
            nursery.start_soon(waiting.prepare)
            checked = await bench.kept("one").check(state.digest)
            read = time.perf_counter()
        machine = waiting.machine
        await machine.warm_start(checked, replace(bench.vm("one").hello, out_acked=said))
        async with summing(bench, machine, checked) as (guest, surveyor, ready):
            _, again = await saved(bench, "one", guest, surveyor)
        return {
            **first,
            **{f"again {name}": value for name, value in again.items()},
            "check": read - began,
            "resume": ready - began,
        }


async def measure(count: int) -> list[Row]:
    ms, mb = 1e3, 1e-6
    with tempfile.TemporaryDirectory() as folder, buried(Path(folder)):
        moves = Moves(Path(folder))
        small = Saves(PROGRAM, "cpp", moves.memory_bytes)
        save, start, peer = await rounds(small.round, moves.start, moves.migrate, count=count)
        moves.pages.close()
    (large,) = await rounds(Saves(LARGE, "c", LARGE_BYTES).round, count=max(1, count // 2))
    qemu_save, qemu_resume = f"QEMU: {peer['saved'] * ms:.0f} ms", f"{peer['resumed'] * ms:.0f} ms"
    return [
        row("save 8 MB touched, first: whole", save["whole"] * ms, "ms", 100, qemu_save),
        row("  of that the guest stands still", save["pause"] * ms, "ms"),
        row("  written", (save["ahead bytes"] + save["pause bytes"]) * mb, "MB"),
        row("save again, a number later: whole", save["again whole"] * ms, "ms"),
        row("  of that the guest stands still", save["again pause"] * ms, "ms"),
        row("  written", (save["again ahead bytes"] + save["again pause bytes"]) * mb, "MB"),
        row("resume to the guest's word, every page read", save["resume"] * ms, "ms"),
        row(
            "  beyond QEMU's own start",
            (save["resume"] - start["qemu"]) * ms,
            "ms",
            30,
            f"QEMU from file to its next word, already up: {qemu_resume}",
        ),
        row("save 512 MB VM, 256 MB touched, first: whole", large["whole"] * ms, "ms"),
        row("  of that the guest stands still", large["pause"] * ms, "ms"),
        row("save it again, 4 MB changed: pause", large["again pause"] * ms, "ms", 300),
        row("  before the pause", large["again ahead"] * ms, "ms"),
        row("  written before the pause", large["again ahead bytes"] * mb, "MB"),
        row("  written in the pause", large["again pause bytes"] * mb, "MB"),
        row(
            "resume it, every page read twice",
            large["resume"] * ms,
            "ms",
        ),
    ]
