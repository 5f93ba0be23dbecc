"""The unikernel: how small, how soon, how long a park and a warm start take.

  .venv/bin/python bench/guest.py [--json] [--rounds N]

Every figure is the median of N rounds (5) on real QEMUs under TCG. The floor is the least that the
same QEMU can boot, measured in the same run: a kernel of a dozen bytes that says one line.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from radics_mesh.vmm.build import GUEST_LIB, build_image
from radics_mesh.vmm.image import load_segments, loaded_pages
from radics_mesh.vmm.probe import kernel
from tests.guest.channel_host import PAGE, PLAIN, Host, World

C_MAIN = """
#include <stdio.h>
#include <time.h>
int main(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%f\\n", now.tv_sec * 1e3 + now.tv_nsec / 1e6);
    fflush(stdout);
    for (;;) {}
}
"""
CXX_MAIN = """
#include <iostream>
#include <time.h>
int main()
{
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    std::cout << now.tv_sec * 1e3 + now.tv_nsec / 1e6 << std::endl;
    for (;;) {}
}
"""
WAITING = """
#include <radics.hpp>
int main() { while (radics::receive()) {} }
"""

# Says "!" and a new line on serial, and stops.
STUB = bytes.fromhex("66baf803 b021 ee b00a ee fa f4 ebfd")

Row = dict[str, Any]


def row(name: str, value: float, unit: str, aim: float | None = None, peer: str = "") -> Row:
    met = None if aim is None else value <= aim
    return {"name": name, "value": value, "unit": unit, "aim": aim, "met": met, "peer": peer}


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def first_line(image: Path) -> tuple[bytes, float, float]:
    """Its first line, when it came (ms after the process's start), and QEMU's RSS then, in MB."""
    started = time.monotonic()
    with subprocess.Popen(
        (*PLAIN, "-serial", "stdio", "-m", "64", "-kernel", str(image)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        words = process.stdout.readline()
        after = (time.monotonic() - started) * 1e3
        rss = rss_mb(process.pid)
        process.kill()
    return words, after, rss


def stub_once(image: Path) -> tuple[float, float]:
    words, after, rss = first_line(image)
    assert words == b"!\n"
    return after, rss


def start_once(image: Path) -> tuple[float, float, float]:
    """Guest entry to main in ms, process start to first output in ms, QEMU's RSS in MB."""
    words, after, rss = first_line(image)
    return float(words), after, rss


def park_once(image: Path) -> tuple[float, float, float]:
    """Park request to PARKED in ms, `cont` to the hello's answer in ms, snapshot in KiB."""
    loaded = loaded_pages(image.read_bytes(), 32 << 20)
    with Host(image, World()) as host:
        host.until_ready()
        asked = time.monotonic()
        host.ask_park()
        host.until(lambda: host.parked is not None)
        park = (time.monotonic() - asked) * 1e3
        host.kill()
        pages = host.pages()
    own = [index for index, page in pages.items() if loaded.get(index) != page]
    with Host(image, World(), snapshot=pages) as host:
        host.until_ready()
        assert host.continued is not None
        warm = (time.monotonic() - host.continued) * 1e3
    return park, warm, len(own) * PAGE / 1024


def medians(once: Callable[[Path], tuple[float, ...]], image: Path, rounds: int) -> list[float]:
    return [
        statistics.median(values)
        for values in zip(*(once(image) for _ in range(rounds)), strict=True)
    ]


def measure(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        images = {}
        for name, text in (("c.c", C_MAIN), ("cxx.cpp", CXX_MAIN), ("waiting.cpp", WAITING)):
            source = Path(folder, name)
            source.write_text(text)
            images[source.stem] = build_image([source], source.with_suffix(".img"))
        stub = Path(folder, "stub.img")
        stub.write_bytes(kernel(STUB))
        library_os = load_segments((GUEST_LIB / "build/x86_64/kernel.elf").read_bytes())
        kernel_kb = sum(segment.file_bytes for segment in library_os) / 1024
        floor_output, floor_rss = medians(stub_once, stub, rounds)
        c_entry, c_output, _ = medians(start_once, images["c"].output, rounds)
        entry, output, rss = medians(start_once, images["cxx"].output, rounds)
        park, warm, snapshot = medians(park_once, images["waiting"].output, rounds)
    return [
        row("image, C++ with iostream", images["cxx"].image_bytes / 1e6, "MB", 2.2),
        row("library OS in it", kernel_kb, "KiB", 128),
        row("guest entry to main, C", c_entry, "ms", 5),
        row("guest entry to main, iostream", entry, "ms", 5),
        row("start to first output, C", c_output, "ms", 70, f"floor {floor_output:.0f} ms"),
        row("start to first output, iostream", output, "ms", 70, f"floor {floor_output:.0f} ms"),
        row("QEMU's RSS, 64 MB guest", rss, "MB", 60, f"floor {floor_rss:.0f} MB"),
        row("park request to parked", park, "ms", 10),
        row("`cont` to a warm guest's answer", warm, "ms", 10),
        row("snapshot of a waiting guest", snapshot, "KiB", 512),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows = measure(options.rounds)
    if options.json:
        print(json.dumps({"rows": rows}))
        return
    for r in rows:
        aim = "" if r["aim"] is None else f"aim {r['aim']:g}{'' if r['met'] else ', MISSED'}"
        print(f"{r['name']:34} {r['value']:9.2f} {r['unit']:4} {aim:18} {r['peer']}")


if __name__ == "__main__":
    main()
