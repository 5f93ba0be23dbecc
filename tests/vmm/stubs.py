"""Guests of a few instructions, for tests that need QEMU but no program."""

from __future__ import annotations

from pathlib import Path

from radics_mesh.vmm import probe

# mov al, 42; out 0xf4, al: QEMU ends with (42 << 1) | 1
EXIT = bytes.fromhex("b02ae6f4faf4ebfd")
EXIT_CODE = 85
# cli; hlt; jmp back
IDLE = bytes.fromhex("faf4ebfd")
# inc dword [0x200000]; jmp back: memory keeps changing
COUNT = bytes.fromhex("ff0500002000ebf8")


def write(directory: Path, code: bytes) -> Path:
    path = directory / "stub.img"
    path.write_bytes(probe.kernel(code))
    path.chmod(0o444)
    return path
