"""Images that cannot run: refused at build, by the node, and by the library OS itself."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import UsageError, WireError
from radics_mesh.vmm import images
from radics_mesh.vmm.bake import bake
from radics_mesh.vmm.build import build_kernel, compile_program
from radics_mesh.vmm.program import IMAGE_HEADER, check_program, program_of
from tests.guest.channel_host import Host
from tests.guest.plain import plain_status, run_plain
from tests.guest.seen import World

PF_X, PF_W = 1, 2
PT_LOAD, PT_INTERP, PT_NOTE = 1, 3, 4
TABLE_AT, SEGMENT = 64, 56
# Offsets in a segment's entry.
FLAGS, OFFSET, ADDRESS, MEMORY = 4, 8, 16, 40
REFUSED = 125


@pytest.fixture(scope="session", params=["x86_64", "aarch64"])
def arch(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def program(arch: str, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A small one that is well."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "well.c").write_text("#include <unistd.h>\nint main(void) { _exit(3); }\n")
    build_kernel(arch)
    compile_program([folder / "well.c"], folder / "well", arch=arch)
    return (folder / "well").read_bytes()


def segment(program: bytearray, kind: int, number: int = 0) -> int:
    """Where the entry of the number-th segment of a kind is."""
    (count,) = struct.unpack_from("<H", program, 56)
    entries = [TABLE_AT + i * SEGMENT for i in range(count)]
    return [at for at in entries if struct.unpack_from("<I", program, at)[0] == kind][number]


def put(program: bytearray, at: int, form: str, value: int) -> None:
    struct.pack_into(f"<{form}", program, at, value)


def get(program: bytearray, at: int) -> int:
    (value,) = struct.unpack_from("<Q", program, at)
    assert isinstance(value, int)
    return value


def overlapping(p: bytearray) -> None:
    first, second = segment(p, PT_LOAD, 0), segment(p, PT_LOAD, 1)
    put(p, first + MEMORY, "Q", get(p, second + ADDRESS) - get(p, first + ADDRESS) + 1)


def outside(p: bytearray) -> None:
    put(p, segment(p, PT_LOAD, -1) + ADDRESS, "Q", (1 << 63) + get(p, segment(p, PT_LOAD, -1) + 8))


def huge(p: bytearray) -> None:
    put(p, segment(p, PT_LOAD, -1) + MEMORY, "Q", 1 << 40)


CHANGES: dict[str, tuple[Callable[[bytearray], None], str]] = {
    "overlap": (overlapping, "overlap"),
    "outside": (outside, "lies outside of a program's memory"),
    "both": (lambda p: put(p, segment(p, PT_LOAD) + FLAGS, "I", 7), "writable and executable"),
    "dynamic": (lambda p: put(p, segment(p, PT_NOTE), "I", PT_INTERP), "linked dynamically"),
    "cut": (lambda p: put(p, segment(p, PT_LOAD, -1) + OFFSET, "Q", 1 << 32), "is cut off"),
    "entry": (lambda p: put(p, 24, "Q", 0x10), "entry is not in its code"),
}
AT_BOOT = CHANGES | {"huge": (huge, "needs more memory than there is")}


def kernel_for(program: bytes) -> bytes:
    (machine,) = struct.unpack_from("<H", program, 18)
    return build_kernel({62: "x86_64", 183: "aarch64"}[machine]).read_bytes()


def crafted(program: bytes, change: Callable[[bytearray], None]) -> bytes:
    """An image of a program that was changed after it had been looked at."""
    image = bake(kernel_for(program), program, "bad")
    changed = bytearray(program)
    change(changed)
    return image.replace(program, bytes(changed))


@pytest.mark.parametrize("name", CHANGES)
def test_build_and_node_refuse_what_cannot_run(program: bytes, name: str) -> None:
    change, words = CHANGES[name]
    changed = bytearray(program)
    change(changed)
    with pytest.raises(UsageError, match=words):
        bake(kernel_for(program), bytes(changed), "bad")
    with pytest.raises(UsageError, match=f"^not a RaDiCS image: .*{words}"):
        images.inspect(crafted(program, change))


@pytest.mark.parametrize("name", AT_BOOT)
def test_at_boot_console_and_host_are_told(program: bytes, name: str, tmp_path: Path) -> None:
    change, words = AT_BOOT[name]
    image = tmp_path / "bad.img"
    image.write_bytes(crafted(program, change))
    done = run_plain(image)
    assert done.stdout.startswith(b"radics: the program")
    assert words in done.stdout.decode()
    assert done.stdout.count(b"\n") == 1
    assert done.returncode == plain_status(REFUSED)
    with Host(image, World()) as host:
        host.until(lambda: host.panic is not None)
        assert host.wait() == plain_status(REFUSED)
        assert host.panic is not None
        assert words in host.panic


def test_for_another_processor(program: bytes, arch: str, tmp_path: Path) -> None:
    other = bytearray(program)
    put(other, 18, "H", 243)
    with pytest.raises(UsageError, match=rf"another machine \(243\) than {arch}"):
        bake(kernel_for(program), bytes(other), "bad")
    (tmp_path / "bad.img").write_bytes(crafted(program, lambda p: put(p, 18, "H", 243)))
    done = run_plain(tmp_path / "bad.img")
    assert b"no static ELF program for this machine" in done.stdout


def headed(image: bytes, **fields: int) -> bytes:
    """The image with other numbers in its header."""
    at = image.index(b"RdCSIMGE\1\0\0\0")
    names = ("magic", "version", "header", "program", "name", "files", "tail", "major", "minor")
    values = dict(zip(names, IMAGE_HEADER.unpack_from(image, at), strict=True)) | fields
    changed = bytearray(image)
    IMAGE_HEADER.pack_into(changed, at, *values.values())
    return bytes(changed)


def test_of_a_newer_version(program: bytes, arch: str, tmp_path: Path) -> None:
    image = crafted(program, lambda p: None)
    assert images.inspect(image).architecture == arch
    with pytest.raises(UsageError, match="of format 2, which this node does not know"):
        images.inspect(headed(image, version=2))
    with pytest.raises(UsageError, match="its library OS speaks version 2, not 1"):
        images.inspect(headed(image, major=2))
    (tmp_path / "bad.img").write_bytes(headed(image, version=2))
    assert b"of a format that its kernel does not know" in run_plain(tmp_path / "bad.img").stdout


def test_a_cut_image(program: bytes) -> None:
    image = crafted(program, lambda p: None)
    for length in (0, 10, 63, 200, 5000, len(image) // 2, len(image) - 4096):
        with pytest.raises(UsageError, match=r"^not a RaDiCS image: "):
            images.inspect(image[:length])


def test_too_large_for_its_machine(program: bytes) -> None:
    images.inspect(crafted(program, lambda p: None)).check_fits(8 << 20)
    with pytest.raises(UsageError, match=r"the image needs 104857[78] MiB of memory"):
        images.inspect(crafted(program, huge)).check_fits(64 << 20)


@given(st.binary(max_size=400), st.binary(min_size=64, max_size=64))
def test_any_bytes_are_a_program_or_none(data: bytes, head: bytes) -> None:
    good = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\0>\0" + head[20:54] + b"\x38\0\1\0" + head[58:]
    )
    for candidate in (data, b"\x7fELF\x02\x01" + data, good + data):
        try:
            check_program(candidate)
        except WireError:
            continue


@given(st.binary(max_size=400))
def test_any_bytes_are_an_image_or_none(data: bytes) -> None:
    for candidate in (data, b"RdCSIMGE" + data, (b"RdCSIMGE\1\0\0\0\0\x10\0\0" + data).ljust(5000)):
        try:
            program_of(candidate)
        except WireError:
            continue
