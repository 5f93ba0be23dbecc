"""The smallest guests that QEMU boots: raw machine code in a PVH kernel or an arm64 Image.

For x86_64 a Xen note names the 32-bit entry; QEMU's loader and firmware do the rest. For aarch64
the code lies behind the Image's header. The node uses one of each to find out whether an
accelerator works, without needing a compiler.
"""

from __future__ import annotations

import struct

LOAD = 0x100000
_NOTE_AT, _CODE_AT = 0x200, 0x1000


def kernel(code: bytes) -> bytes:
    """The ELF file of one such kernel; `code` is 32-bit, entered at its first byte."""
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", LOAD)
    ident = b"\x7fELF\2\1\1"
    header = struct.pack("<16sHHIQQQIHHHHHH", ident, 2, 62, 1, LOAD, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 5, _CODE_AT, LOAD, LOAD, len(code), len(code), 0x1000)
    notes = struct.pack("<IIQQQQQQ", 4, 4, _NOTE_AT, 0, 0, len(note), len(note), 4)
    head = (header + load + notes).ljust(_NOTE_AT, b"\0") + note
    return head.ljust(_CODE_AT, b"\0") + code


# What an accelerator is for, and what a bad one is slow at: memory touched for the first time,
# exits to QEMU, plain instructions. Then an end through isa-debug-exit, code (42 << 1) | 1.
WORK = bytes.fromhex(
    "bf00002000 b900080000 890f 81c700100000 49 75f5"  # touch 2048 pages from 2 MiB on
    "b9d0070000 e680 49 75fb"  # write to port 0x80 2000 times
    "b9002d3101 49 75fd"  # count down from 20 million
    "b02a e6f4 fa f4 ebfd"
)
EXIT_CODE = 85


def arm64_image(code: bytes) -> bytes:
    """An arm64 Image; `code` is entered at its first byte, one MiB above RAM's start."""
    branch, length = 0x14000010, 64 + len(code)
    return struct.pack("<IIQQQ24s4sI", branch, 0, LOAD, length, 2, b"", b"ARM\x64", 0) + code


# The same work, and an end by PSCI SYSTEM_OFF.
ARM64 = arm64_image(
    bytes.fromhex(
        "0004a8d2 01008152 000000f9 00044091 21040071 a1ffff54"  # touch 2048 pages from 2 MiB on
        "0020a1d2 01fa8052 021840b9 21040071 c1ffff54"  # read the serial port's flags 2000 times
        "01a08552 2126a072 21040071 e1ffff54"  # count down from 20 million
        "00018052 0080b072 020000d4 00000014"
    )
)
