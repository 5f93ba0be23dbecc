"""A guest's start, park, snapshot and move on one host, beside QEMU's own migration to a file.

  .venv/bin/python bench/vmm.py [--json] [--rounds N]

Medians of N rounds (5), on real QEMUs under TCG. The guest has 32 MB, of which it fills 8 MB with
lines of text, and then adds up numbers from a source; the move is from park to its next sum, with
snapshot, its verification and a waiting QEMU on the other side, as between two nodes but without
a network. The peer moves the same guest by QMP `migrate`, stopped, to a file on the same tmpfs and
into a waiting QEMU.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import structlog
import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from radics_mesh.clock import SystemClock, Wall
from radics_mesh.errors import GuestError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, VmId
from radics_mesh.membership import Verifier, found
from radics_mesh.vmm import adoption, lock, qemu
from radics_mesh.vmm.architecture import X86_64, Architecture
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.events import Ready
from radics_mesh.vmm.frames import Hello, Message
from radics_mesh.vmm.launch import Launch, launch, prepare
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.outputs import Output, Send, Subscribe
from radics_mesh.vmm.qmp import Qmp
from radics_mesh.vmm.snapshot import Signer, Snapshot, Subject

PROGRAM = """
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>
#include "radics.h"
int main()
{
    std::vector<char> text(8 << 20);
    for (size_t at = 0, line = 0; at + 64 < text.size(); line++)
        at += static_cast<size_t>(std::sprintf(&text[at], "%zu INFO sensor %zu reads %zu\\n", line,
                                               line * 7919 % 97, line * 2654435761u % 100000));
    static char buf[RADICS_MESSAGE_MAX];
    unsigned long sum = 0;
    const int numbers = radics_subscribe("numbers");
    for (long n; (n = radics_receive(numbers, buf, sizeof buf, -1, nullptr)) >= 0;) {
        sum += std::stoul(std::string(buf, static_cast<size_t>(n)));
        const std::string said = std::to_string(sum);
        radics_send("dtn://here/sums", said.data(), said.size(), 0);
    }
}
"""
MEMORY_BYTES = 32 << 20
NOW = Wall(1_800_000_000.0)
HELLO = Hello("bench", "dtn://vm.bench/", "here", "dtn://here/")
ONE = Message(b"1")
SHM = Path("/dev/shm")

Row = dict[str, Any]
Times = dict[str, float]


class Clocked:
    """A machine with one task that takes its events, and the moments at which they came."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.outputs = 0
        self._moments: dict[str, float] = {}
        self._news = trio.Event()

    async def attend(self) -> None:
        async for event in self.machine.events:
            if isinstance(event, Ready):
                self._note("ready")
            if isinstance(event, Output):
                self.outputs = event.number
                await self.machine.acknowledge(event.number)
                self._note({Subscribe: "subscribed", Send: "sum"}.get(type(event.body), "other"))

    def _note(self, what: str) -> None:
        self._moments[what] = time.perf_counter()
        self._news.set()
        self._news = trio.Event()

    async def moment(self, what: str) -> float:
        """When it happened; waits for it, and forgets it."""
        while what not in self._moments:
            await self._news.wait()
        return self._moments.pop(what)


@asynccontextmanager
async def clocked(machine: Machine) -> AsyncIterator[Clocked]:
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            watched = Clocked(machine)
            nursery.start_soon(watched.attend)
            await nursery.start(machine.run)
            yield watched
            await machine.kill()
            nursery.cancel_scope.cancel()


class Bench:
    def __init__(self, folder: Path) -> None:
        source = folder / "bench.cpp"
        source.write_text(PROGRAM)
        self.image = folder / "bench.img"
        build_image([source], self.image)
        self.image.chmod(0o444)
        self.folder = folder
        identity = Identity.generate()
        _, mesh, chain = found(identity, "bench", NOW)
        self.signer, self.verifier = Signer(identity, chain.pack()), Verifier(mesh)

    def vm(self, name: str) -> Launch:
        """Where `name` runs."""
        directory = self.folder / name
        directory.mkdir(exist_ok=True)
        return Launch(directory, SHM, self.image, MEMORY_BYTES, "tcg", HELLO)

    async def start(self) -> Times:
        """From nothing to QEMU's first word, and to the guest's."""
        vm = self.vm("waiting")
        files = qemu.Files.name(vm.directory, SHM, vm.image, MEMORY_BYTES)
        began = time.perf_counter()
        process = await qemu.start(files, "tcg", paused=True)
        control = await qemu.control(files.directory)
        up = time.perf_counter()
        await control.aclose()
        await adoption.end(process, files.lock)
        files.discard()
        again = time.perf_counter()
        async with clocked(await launch(self.vm("one"))) as guest:
            ready = await guest.moment("ready")
        return {"qemu": up - began, "ready": ready - again}

    async def move(self) -> Times:
        """Park here, go on there."""
        digest = Digest.of(self.image.read_bytes())
        subject = Subject(VmId(bytes(20)), 1, digest, X86_64.name, X86_64.baseline, b"", int(NOW))
        target = await prepare(self.vm("two"))
        async with clocked(await launch(self.vm("one"))) as source:
            await source.moment("subscribed")
            await source.machine.deliver(1, 1, [ONE])
            await source.moment("sum")
            t = [time.perf_counter()]
            await source.machine.park()
            t.append(time.perf_counter())
            state = await source.machine.take(subject, self.signer)
            packed = state.pack()
            t.append(time.perf_counter())
            await source.machine.kill()
            t.append(time.perf_counter())
            hello = dataclasses.replace(HELLO, epoch=2, out_acked=source.outputs)
        t.append(time.perf_counter())
        async with clocked(target) as guest:
            arrived = Snapshot.unpack(packed, self.verifier, NOW)
            t.append(time.perf_counter())
            await target.warm_start(arrived, hello)
            ready = await guest.moment("ready")
            await target.deliver(1, 2, [ONE])
            said = await guest.moment("sum")
        return {
            "park": t[1] - t[0],
            "take": t[2] - t[1],
            "kill": t[3] - t[2],
            "verify": t[5] - t[4],
            "resume": ready - t[5],
            "downtime": said - t[0] - (t[4] - t[3]),
            "bytes": float(len(packed)),
        }

    async def migrate(self) -> Times:
        """The same by QEMU's own means."""
        file = SHM / f"radics-bench-{self.folder.name}.migration"
        file.touch()
        file.chmod(0o666)  # QEMU's shell is nobody
        with peers_command_line():
            target = await prepare(self.vm("two"))
            source = await launch(self.vm("one"))
        async with clocked(source) as watched:
            await watched.moment("subscribed")
            await source.deliver(1, 1, [ONE])
            await watched.moment("sum")
            control = await qemu.control(source.files.directory)
            await control.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
            began = time.perf_counter()
            await control.execute("stop")
            await control.execute("migrate", uri=f"exec:cat > {file}")
            await completed(control)
            saved = time.perf_counter()
            out_acked = watched.outputs
        size = file.stat().st_size
        hello = dataclasses.replace(HELLO, epoch=2, out_acked=out_acked)
        target = Machine(target.files, target.process, hello, SystemClock(), paused=False)
        control = await qemu.control(target.files.directory)
        loading = time.perf_counter()
        await control.execute("migrate-incoming", uri=f"exec:cat {file}")
        await completed(control)
        await control.execute("cont")
        async with clocked(target) as watched:
            await watched.moment("ready")
            await target.deliver(1, 2, [ONE])
            said = await watched.moment("sum")
        file.unlink()
        return {"downtime": saved - began + said - loading, "bytes": float(size)}


async def completed(control: Qmp) -> None:
    """QEMU tells only who asks."""
    for _ in range(10_000):
        status = (await control.execute("query-migrate")).get("status")
        if status == "completed":
            return
        if status == "failed":
            break
        await trio.sleep(0.001)
    raise GuestError("QEMU did not migrate the guest")


@contextmanager
def peers_command_line() -> Iterator[None]:
    """QEMU's `exec:` starts a shell, which our sandbox forbids; and the target waits for it."""
    ours = qemu.arguments

    def arguments(
        guests: Architecture,
        fds: qemu.Inheritance,
        memory_bytes: int,
        accelerator: str,
        *,
        paused: bool,
    ) -> list[str]:
        words = ours(guests, fds, memory_bytes, accelerator, paused=False)
        at = words.index("-sandbox")
        del words[at : at + 2]
        return [*words, "-incoming", "defer"] if paused else words

    qemu.arguments = arguments
    try:
        yield
    finally:
        qemu.arguments = ours


@contextmanager
def buried(folder: Path) -> Iterator[None]:
    """After a failure too, no QEMU is left."""
    try:
        yield
    finally:
        for name in ("waiting", "one", "two"):
            files = qemu.Files.read(folder / name)
            if (holder := lock.holder(folder / name / "lock")) is not None:
                signal.pidfd_send_signal(holder[1], signal.SIGKILL)
                os.close(holder[1])
            if files is not None:
                files.discard()


def row(name: str, value: float, unit: str, aim: float | None = None, peer: str = "") -> Row:
    met = None if aim is None else value <= aim
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "aim": aim,
        "met": met,
        "peer": peer,
    }


async def rounds(*measurements: Callable[[], Awaitable[Times]], count: int) -> list[Times]:
    """Medians of each, taken by turns."""
    taken: list[list[Times]] = [[] for _ in measurements]
    for _ in range(count):
        for times, once in zip(taken, measurements, strict=True):
            times.append(await once())
    return [
        {key: statistics.median(one[key] for one in times) for key in times[0]} for times in taken
    ]


async def measure(count: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, buried(Path(folder)):
        bench = Bench(Path(folder))
        (start,) = await rounds(bench.start, count=count)
        # By turns: what else the machine does then hits both alike.
        move, peer = await rounds(bench.move, bench.migrate, count=count)
    ms = 1e3
    return [
        row("QEMU start to its answer, image loaded", start["qemu"] * ms, "ms"),
        row(
            "run to the guest's first word, beyond that",
            (start["ready"] - start["qemu"]) * ms,
            "ms",
            30,
        ),
        row("park", move["park"] * ms, "ms"),
        row("snapshot of 8 MB touched", move["take"] * ms, "ms"),
        row("park + snapshot", (move["park"] + move["take"]) * ms, "ms", 100),
        row("QEMU's end", move["kill"] * ms, "ms"),
        row("verification", move["verify"] * ms, "ms"),
        row("resume to the guest's next word", move["resume"] * ms, "ms", 30),
        row(
            "downtime of a move, same host",
            move["downtime"] * ms,
            "ms",
            150,
            f"QEMU: {peer['downtime'] * ms:.0f} ms",
        ),
        row(
            "bytes moved",
            move["bytes"] / 1e6,
            "MB",
            round(peer["bytes"] / 1e6, 2),
            f"QEMU: {peer['bytes'] / 1e6:.1f} MB",
        ),
    ]


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    rows = trio.run(measure, options.rounds)
    if options.json:
        print(json.dumps({"machine": f"{processor()}, TCG", "rows": rows}))
        return
    print(f"{processor()}, TCG, medians of {options.rounds}")
    for r in rows:
        aim = "" if r["aim"] is None else f"aim {r['aim']:g}{'' if r['met'] else ', MISSED'}"
        print(f"{r['name']:44} {r['value']:9.2f} {r['unit']:3} {aim:18} {r['peer']}")


if __name__ == "__main__":
    main()
