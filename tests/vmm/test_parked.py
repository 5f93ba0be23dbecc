"""The park header in a RAM file, found and told from what only looks like one."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from radics_mesh.vmm.parked import is_parked

MAGIC = 0x444B524150645252


def header(*, magic: int = MAGIC, version: int = 1, wrong: int = 0) -> bytes:
    body = struct.pack("<QII4QQQQQ", magic, version, 88, 1, 2, 3, 4, 32 << 20, 5, 6, 7)
    check = 0xCBF29CE484222325
    for byte in body:
        check = (check ^ byte) * 0x100000001B3 % 2**64
    return body + struct.pack("<Q", check ^ wrong)


@pytest.mark.parametrize(
    ("memory", "parked"),
    [
        (header(), True),
        (struct.pack("<Q", MAGIC) + header(), True),
        (header(magic=0), False),
        (header(version=2), False),
        (header(wrong=1), False),
        (header()[:40], False),
        (b"1234" + header(), False),
        (bytes(100), False),
    ],
)
def test_only_a_complete_header_counts(tmp_path: Path, memory: bytes, parked: bool) -> None:
    ram = tmp_path / "ram"
    ram.write_bytes(bytes(8192) + memory + bytes(100 if parked or len(memory) > 40 else 0))
    assert is_parked(ram) is parked
