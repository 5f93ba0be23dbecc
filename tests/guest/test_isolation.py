"""What a program cannot reach, and that its memory lies elsewhere in every VM."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.tools import GUEST_LIB
from tests.guest.channel_host import PAGE, Host
from tests.guest.conftest import PROGRAMS, Guest
from tests.guest.plain import plain_status, run_plain
from tests.guest.seen import World


def test_a_program_stays_in_its_own_memory(guest: Callable[[str], Guest]) -> None:
    done = run_plain(guest("isolated").image)
    *lines, _ = done.stdout.decode().splitlines()
    assert lines[0] == "wx 0 0 0 1"
    assert [line for line in lines[1:] if not line.endswith(" refused")] == []
    assert len(lines) == 1 + 5 + 7 * 3 + 2
    assert done.returncode == plain_status(0)


def test_a_programs_places_are_chosen_by_chance(tmp_path: Path) -> None:
    image = tmp_path / "isolated.img"
    build_image([PROGRAMS / "isolated.c"], image, flags=("-static-pie", "-fPIE"))
    runs = [run_plain(image).stdout.decode().split()[-4:] for _ in range(3)]
    for places in zip(*runs, strict=True):
        assert len(set(places)) == 3, places
        assert all(0 < int(place, 16) < 2**47 for place in places)


# Where the kernel sees the start of RAM, in arch/*/place.h and layout.h.
KERNEL_AT = {"x86_64": 0xFFFFFFFF80000000, "aarch64": 0xFFFFFFFFC0000000}


def guard_page(host: Host) -> tuple[int, int]:
    """Where in RAM the kernel's canary is, and what it is."""
    symbols = subprocess.run(
        ["nm", GUEST_LIB / "build" / host.architecture / "kernel.elf.debug"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    (line,) = (line for line in symbols.splitlines() if line.endswith(" __stack_chk_guard"))
    at = int(line.split()[0], 16) - KERNEL_AT[host.architecture]
    return at, struct.unpack_from("<Q", host.pages()[at // PAGE], at % PAGE)[0]


def test_the_kernels_canary(guest: Callable[[str], Guest]) -> None:
    """Every VM has its own and keeps it over a move; who changes it is found out."""
    image, seen = guest("wanderer").image, []
    for _ in range(2):
        world = World()
        with Host(image, world) as host:
            host.until(lambda world=world: bool(world.subscribed))  # type: ignore[misc]
            at, canary = guard_page(host)
            seen.append(canary)
            snapshot = host.park()
    assert seen[0] != seen[1]
    with Host(image, world, snapshot=snapshot, epoch=2) as host:
        host.until_ready()
        assert guard_page(host) == (at, seen[1])
        # The program waits in the kernel: every frame on its stack was made with the old one.
        with host.ram_path.open("r+b") as ram:
            ram.seek(at)
            ram.write(struct.pack("<Q", seen[1] ^ 0xFF00))
        world.publish(1, b"7")
        while host.turn():
            pass
        host.wait()
        assert b"stack is damaged" in host.serial()
