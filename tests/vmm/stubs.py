"""Bootable images of a few instructions, for tests that need QEMU but no program.

A PVH kernel (a Xen note names its 32-bit entry) with raw machine code, loaded at 1 MiB.
"""

from __future__ import annotations

import struct
from pathlib import Path

LOAD = 0x100000

# mov al, 42; out 0xf4, al: QEMU ends with (42 << 1) | 1
EXIT = bytes.fromhex("b02ae6f4faf4ebfd")
EXIT_CODE = 85
# cli; hlt; jmp back
IDLE = bytes.fromhex("faf4ebfd")
# inc dword [0x200000]; jmp back: memory keeps changing
COUNT = bytes.fromhex("ff0500002000ebf8")
# ud2 without an IDT: triple fault, QEMU ends (-no-reboot) with 0
CRASH = bytes.fromhex("0f0b")


def image(code: bytes) -> bytes:
    """The ELF file of one such kernel."""
    note_at, code_at = 0x200, 0x1000
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", LOAD)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\2\1\1", 2, 62, 1, LOAD, 64, 0, 0, 64, 56, 2, 0, 0, 0),
    )
    segments = struct.pack(
        "<IIQQQQQQ", 1, 5, code_at, LOAD, LOAD, len(code), len(code), 0x1000
    ) + struct.pack("<IIQQQQQQ", 4, 4, note_at, 0, 0, len(note), len(note), 4)
    head = (header + segments).ljust(note_at, b"\0") + note
    return head.ljust(code_at, b"\0") + code


def write(directory: Path, code: bytes) -> Path:
    path = directory / "stub.img"
    path.write_bytes(image(code))
    path.chmod(0o444)
    return path
