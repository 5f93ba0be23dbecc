"""The unikernel: how small, how soon, how fast, how long a park and a warm start take.

  .venv/bin/python bench/guest.py [--json] [--rounds N] [--peers]

Every figure is the median of N rounds (5) on real QEMUs under TCG, beside what it is compared with,
measured by turns in the same run: the least that QEMU boots (a kernel of a dozen bytes), Debian's
cloud kernel and a tinyconfig kernel, both with the very same program as init. `--peers` first
fetches and builds these two into .cache/peers, which takes some minutes; without them their rows
say "not built". Times inside guests are taken by the host between two lines of output, as
processor time of QEMU where it says so: what else runs on the machine then counts least.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog
import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import guest_channel, guest_peers
from bench.guest_channel import GUESTS
from bench.guest_runs import (
    QEMU,
    X86,
    by_turns,
    entry,
    first_output,
    loaded_bytes,
    medians,
    middle,
    park_once,
    sections,
    smallest_mb,
    work,
)
from radics_mesh.vmm.build import build_image, compile_program
from radics_mesh.vmm.tools import GUEST_LIB

NOT_BUILT = "not built: --peers"

Row = dict[str, Any]


def row(
    name: str,
    value: float | None,
    unit: str,
    aim: tuple[float, float] | float | None = None,
    peer: str = "",
) -> Row:
    """`aim`: at most so much, or between two values."""
    low, high = aim if isinstance(aim, tuple) else (-math.inf, aim)
    met = None if high is None or value is None else low <= value <= high
    return {"name": name, "value": value, "unit": unit, "aim": aim, "met": met, "peer": peer}


# --- the rows ---


class Bench:
    def __init__(self, folder: Path, rounds: int) -> None:
        self.folder, self.rounds = folder, rounds
        self.peers = guest_peers.CLOUD.exists() and guest_peers.TINY.exists()

    def image(self, name: str, arch: str = "x86_64") -> Path:
        output = self.folder / f"{Path(name).stem}.{arch}.img"
        if not output.exists():
            build_image([GUESTS / name], output, arch=arch)
        return output

    def linux(self, kernel: Path, name: str) -> list[str]:
        """Arguments for a Linux whose init is the program of `image(name)`, the same ELF file."""
        program, archive = self.folder / f"{name}.elf", self.folder / f"{name}.cpio"
        if not archive.exists():
            compile_program([GUESTS / name], program)
            archive.write_bytes(guest_peers.initramfs(program.read_bytes()))
        return guest_peers.linux_arguments(kernel, archive)

    def sizes(self, arch: str) -> list[Row]:
        image = self.image("hello_iostream.cpp", arch)
        kib = loaded_bytes((GUEST_LIB / "build" / arch / "kernel.elf").read_bytes()) / 1024
        small = smallest_mb(self.image("hello.c", arch), arch)
        small_cxx = smallest_mb(image, arch)
        return [
            row(f"library OS in the image, {arch}", kib, "KiB", 128),
            row(f"image, C++ with iostream, {arch}", image.stat().st_size / 1e6, "MB", 2.2),
            row(f"smallest RAM, C hello, {arch}", small, "MB", 3),
            row(f"smallest RAM, C++ hello, {arch}", small_cxx, "MB", 6),
        ]

    def starts(self, arch: str) -> list[Row]:
        stub = self.folder / f"stub.{arch}"
        stub.write_bytes(guest_peers.stub(arch))
        hello = self.image("hello_iostream.cpp", arch)
        entries = [self.image(name, arch) for name in ("entry.c", "entry_iostream.cpp")]
        all_samples = by_turns(
            3 * self.rounds,
            lambda: first_output(("-kernel", stub), "!", arch),
            lambda: first_output(("-kernel", hello), "hello", arch),
            *(lambda image=image: entry(image, arch) for image in entries),
        )
        floor, ours, c_entry, cxx_entry = map(middle, all_samples)
        least_floor, least, *least_entry = (min(samples)[0] for samples in all_samples)
        beyond = ours[1] - floor[1]
        return [
            row(
                f"guest entry to main, {name}, {arch}",
                value[0],
                "ms",
                5,
                f"fastest of {3 * self.rounds}: {fastest:.1f} ms; to its output, CPU of emulation "
                f"beyond the stub's {value[1] - floor[4]:.1f} ms",
            )
            for name, value, fastest in zip(
                ("C", "iostream"), (c_entry, cxx_entry), least_entry, strict=True
            )
        ] + [
            row(
                f"start to first output, C++ hello, {arch}",
                ours[0],
                "ms",
                round(floor[0] + 15, 1),
                f"stub {floor[0]:.1f} ms; fastest {least:.1f}, stub {least_floor:.1f}; "
                f"QEMU's CPU {ours[3]:.1f}, stub {floor[3]:.1f}",
            ),
            row(
                f"QEMU's RSS beyond stub's and guest's pages, {arch}",
                beyond,
                "MB",
                8,
                f"{ours[1] + ours[2]:.0f} MB in all, guest's {ours[2]:.0f}; stub "
                f"{floor[1] + floor[2]:.0f}",
            ),
        ]

    def linux_starts(self) -> list[Row]:
        names = "Debian's cloud kernel starts later by", "tinyconfig kernel starts later by"
        if not self.peers:
            return [row(name, None, "x", None, NOT_BUILT) for name in names]
        hello = "hello_iostream.cpp"
        ours, cloud, tiny = medians(
            self.rounds,
            lambda: first_output(("-kernel", self.image(hello)), "hello"),
            lambda: first_output(self.linux(guest_peers.CLOUD, hello), "hello", mb=128),
            lambda: first_output(self.linux(guest_peers.TINY, hello), "hello", mb=128),
        )
        return [
            row(
                names[0], cloud[0] / ours[0], "x", (40, math.inf),
                f"{cloud[0]:.0f} ms, {cloud[1] + cloud[2]:.0f} MB RSS; ours {ours[0]:.0f} ms",
            ),
            row(
                names[1], tiny[0] / ours[0], "x", None,
                f"{tiny[0]:.0f} ms, {tiny[1] + tiny[2]:.0f} MB RSS",
            ),
        ]  # fmt: skip

    def costs(self) -> list[Row]:
        names = (
            *("null system call", "context switch, sched_yield", "context switch, futex"),
            *("context switch, pipe", "page fault, a fresh page"),
        )
        mine = lambda: sections(("-kernel", self.image("costs.c")))  # noqa: E731
        if not self.peers:
            (ours,) = medians(self.rounds, mine)
            return [
                row(name, value, "us", None, NOT_BUILT)
                for name, value in zip(names, ours, strict=True)
            ]
        ours, tiny = medians(
            self.rounds, mine, lambda: sections(self.linux(guest_peers.TINY, "costs.c"))
        )
        return [
            row(f"{name}, QEMU's CPU", value, "us", round(theirs, 2), f"tinyconfig {theirs:.2f}")
            for name, value, theirs in zip(names, ours, tiny, strict=True)
        ]

    def computes(self) -> list[Row]:
        name = "CPU-bound program: ours / Debian's kernel"
        if not self.peers:
            return [row(name, None, "x", (0.97, 1.03), NOT_BUILT)]
        ours, debian = medians(
            max(self.rounds, 3),
            lambda: work(("-kernel", self.image("work.c"))),
            lambda: work(self.linux(guest_peers.CLOUD, "work.c")),
        )
        peer = f"{ours[0]:.2f} s, {debian[0]:.2f} s of QEMU's CPU"
        return [row(name, ours[0] / debian[0], "x", (0.97, 1.03), peer)]

    def channel(self) -> list[Row]:
        trip, out, into = trio.run(guest_channel.measure, self.folder, self.rounds)
        limits = [
            statistics.median(
                guest_channel.console_limit(self.folder, out=way) for _ in range(self.rounds)
            )
            for way in (True, False)
        ]
        rows = [row("channel, round trip with the Python host", trip, "ms", 0.3)]
        for name, speed, limit in (("from", out, limits[0]), ("to", into, limits[1])):
            binds = f"CPU: host {speed.host_ns:.1f}, QEMU {speed.guest_ns:.1f} ns/B"
            rows.append(
                row(
                    f"channel, {name} the guest",
                    speed.mb_s,
                    "MB/s",
                    (200, math.inf),
                    f"bare console {limit:.0f} MB/s; {binds}",
                )
            )
        return rows

    def parks(self) -> list[Row]:
        image = self.image("waiting.cpp")
        ((park, warm, snapshot),) = medians(self.rounds, lambda: park_once(image))
        return [
            row("park request to parked", park, "ms", 10),
            row("`cont` to a warm guest's answer", warm, "ms", 10),
            row("snapshot of a waiting guest", snapshot, "KiB", 512),
        ]

    def all(self) -> Iterator[Row]:
        for arch in QEMU:
            yield from self.sizes(arch)
            yield from self.starts(arch)
        yield from self.linux_starts()
        yield from self.costs()
        yield from self.computes()
        yield from self.channel()
        yield from self.parks()


# --- showing it ---


def machine() -> str:
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(": ")[2]
    version = subprocess.run((X86[0], "--version"), capture_output=True, text=True).stdout
    load = os.getloadavg()[0]
    return f"{model}, {os.cpu_count()} CPUs, load {load:.1f}, TCG, {version.splitlines()[0]}"


def line_of(r: Row) -> str:
    low, high = r["aim"] if isinstance(r["aim"], tuple) else (0, r["aim"])
    words = ""
    if high is not None:
        words = f"{low:g} to {high:g}" if low and high != math.inf else f"{high:g}"
        words = f"aim {words if high != float('inf') else f'over {low:g}'}"
        words += ", MISSED" if r["met"] is False else ""
    value = "-" if r["value"] is None else f"{r['value']:.2f}"
    return f"{r['name']:50} {value:>9} {r['unit']:5} {words:24} {r['peer']}"


def jsonable(r: Row) -> Row:
    aim = r["aim"]
    if isinstance(aim, tuple):
        aim = [None if bound == math.inf else bound for bound in aim]
    return {**r, "aim": aim}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peers", action="store_true", help="fetch and build the Linuxes first")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    if options.peers:
        guest_peers.make()
    where = machine()
    if not options.json:
        print(f"{where}, medians of {options.rounds}")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for r in Bench(Path(folder), options.rounds).all():
            rows.append(r)
            if not options.json:
                print(line_of(r), flush=True)
    if options.json:
        print(json.dumps({"machine": where, "rows": [jsonable(r) for r in rows]}))


if __name__ == "__main__":
    main()
