"""Files of `build --file`, seen by the program; and tables of them that lie."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from radics_mesh.vmm.bake import bake
from radics_mesh.vmm.baked import BakedFile, pack
from radics_mesh.vmm.build import build_image, build_kernel
from tests.guest.conftest import Guest
from tests.guest.plain import plain_status, run_plain

BIG = bytes(33 + i * i % 89 for i in range(2_000_000))
SMALL = b"a few words\n"
FILES = [
    BakedFile("/data/big", BIG),
    BakedFile("/data/small", SMALL),
    BakedFile("/data/none", b""),
    BakedFile("/data/deep/er/tool", b"#!", executable=True),
    BakedFile("/data/empty", None),
]


def line(path: str, content: bytes, mode: str = "100644") -> str:
    total = 0
    for byte in content:
        total = (total * 31 + byte) % 2**32
    return f"{path} {mode} {len(content)} {len(content)} {total}"


def test_the_program_finds_them(guest: Callable[[str], Guest], tmp_path: Path) -> None:
    program = guest("baked")
    build_image([program.binary], tmp_path / "baked.img", arch=program.arch, files=FILES)
    changed = BIG[:4093] + b"changed" + BIG[4100:]
    cut = changed[:5000]
    done = run_plain(tmp_path / "baked.img", 16)
    assert done.stdout.decode().splitlines() == [
        "big deep empty none small",
        line("/data/big", BIG),
        line("/data/small", SMALL),
        line("/data/none", b""),
        line("/data/deep/er/tool", b"#!", "100755"),
        line("/data/big", changed + b"more"),
        line("/data/big", cut + bytes(4000)),
        f"{changed[4092:4101].decode('latin1')} {cut[4999]} 0",
        "0",
        line("/tmp/moved", SMALL),
    ]
    assert done.returncode == plain_status(0)


def lie(at: int, form: str, value: int) -> bytes:
    """Two files' table with one number in it changed; records of 32 bytes stand at 8 and 40."""
    table = bytearray(pack([BakedFile("/a", b"A"), BakedFile("/b", b"B")]))
    struct.pack_into(form, table, at, value)
    return bytes(table)


@pytest.mark.parametrize(
    ("at", "form", "value"),
    [
        (0, "<Q", 3),
        (0, "<Q", 2**63),
        (8, "<Q", 2**64 - 1),
        (16, "<Q", 2**64 - 1),
        (24, "<I", 0o020644),
        (24, "<I", 0o104755),
        (28, "<I", 2**32 - 1),
        (28, "<I", 0),
        (33, "<B", 0),
        (33, "<B", ord(".")),
        (65, "<B", ord("a")),
    ],
)
def test_a_broken_table_is_refused(
    guest_x86_64: Callable[[str], Guest], tmp_path: Path, at: int, form: str, value: int
) -> None:
    kernel, program = build_kernel().read_bytes(), guest_x86_64("baked").binary.read_bytes()
    image = bake(kernel, program, "baked", lie(at, form, value))
    (tmp_path / "broken.img").write_bytes(image)
    done = run_plain(tmp_path / "broken.img", 16)
    assert done.stdout.startswith(b"radics: file ")
    assert done.stdout.endswith(b"of the image is broken\n")
    assert done.returncode == plain_status(125)
