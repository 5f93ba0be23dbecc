"""A hostile program against the library OS: `make fuzz-guest SECONDS=600`.

    python -m tests.guest.fuzz SECONDS [--seed N] [--arch ARCH] [--memory MIB]

Each seed is one life of programs/fuzz.c. It is well if it says "alive" at its end. A program may
use up its own memory: then the VM must say so, and that is well too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from radics_mesh.vmm.build import build_image
from tests.guest.channel_host import Host
from tests.guest.seen import World

PROGRAM = Path(__file__).parent / "programs" / "fuzz.c"
# Without a canary of its own, which would be in its thread-local storage.
FLAGS = ("-static-pie", "-fPIE", "-fno-stack-protector")
DEADLINE_S = 300.0
STATUS = 7


def build_fuzz(folder: Path, arch: str) -> Path:
    image = folder / f"fuzz-{arch}.img"
    build_image([PROGRAM], image, arch=arch, flags=FLAGS)
    return image


def life(image: Path, seed: int, calls: int, memory_mb: int = 64) -> str:
    """How it ended: "alive", "out of memory", or what went wrong."""
    world = World()
    with Host(image, world, memory_mb=memory_mb, args=("fuzz", str(seed), str(calls))) as host:
        try:
            host.until(lambda: world.exit is not None or host.panic is not None, DEADLINE_S)
        except AssertionError:
            return f"no answer; console: {host.serial()[-300:]!r}"
        if host.panic is not None:
            return f"panic: {host.panic}"
    how, status, why = world.exit or (0, 0, "")
    if how == 2:
        return "out of memory"
    if (how, status) == (0, STATUS) and bytes(world.stdout) == b"alive 1\n":
        return "alive"
    return f"ended with {how} {status} {why}, said {bytes(world.stdout[-200:])!r}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.guest.fuzz")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=200_000)
    parser.add_argument("--arch", default="x86_64")
    parser.add_argument("--memory", type=int, default=64)
    options = parser.parse_args()
    ends: dict[str, int] = {}
    deadline = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        image = build_fuzz(Path(folder), options.arch)
        seed = options.seed
        while time.monotonic() < deadline:
            end = life(image, seed, options.calls, options.memory)
            ends[end] = ends.get(end, 0) + 1
            if end not in ("alive", "out of memory"):
                print(f"seed {seed}: {end}", flush=True)
            seed += 1
    bad = sum(n for end, n in ends.items() if end not in ("alive", "out of memory"))
    lives = sum(ends.values())
    print(
        f"{options.arch}: {lives} lives of {options.calls} calls, seeds {options.seed} to "
        f"{seed - 1}: {ends.get('alive', 0)} alive, {ends.get('out of memory', 0)} out of memory, "
        f"{bad} bad"
    )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
