"""QEMU without a host: what a user who has the image alone sees of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.patience import PATIENCE_S

DEADLINE_S = PATIENCE_S

_BARE = ("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot")
PLAIN = (
    *("qemu-system-x86_64", "-M", "microvm,acpi=off", "-accel", "tcg", *_BARE),
    *("-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
)
# Semihosting tells the status, as isa-debug-exit does.
VIRT = ("qemu-system-aarch64", "-M", "virt", "-accel", "tcg", *_BARE, "-semihosting")
CPUS = {"x86_64": "qemu64", "aarch64": "cortex-a72"}


def architecture(image: Path) -> str:
    """An arm64 Image has its magic in bytes 56 to 59; the other kind is an ELF file."""
    with image.open("rb") as file:
        return "aarch64" if file.read(60).endswith(b"ARM\x64") else "x86_64"


def run_plain(image: Path, memory_mb: int = 64) -> subprocess.CompletedProcess[bytes]:
    """The command of the manual: output on stdout, nothing else. Its status is `plain_status`'s."""
    is_arm = architecture(image) == "aarch64"
    command = (*VIRT, "-cpu", CPUS["aarch64"]) if is_arm else PLAIN
    done = subprocess.run(
        (*command, "-serial", "stdio", "-m", str(memory_mb), "-kernel", str(image)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    if is_arm:
        done.returncode = plain_status(done.returncode)
    return done


def without_end(stdout: bytes) -> bytes:
    """What the program wrote, without the library OS's word on the signal that ended it."""
    return b"".join(x for x in stdout.splitlines(True) if not x.startswith(b"radics: "))


def plain_status(status: int) -> int:
    """What isa-debug-exit makes of a program's exit status."""
    return ((status << 1) | 1) & 255
