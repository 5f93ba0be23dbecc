"""Program sources to one bootable image: compile, link statically, strip, bake.

An image is the library OS's own ELF file with one more segment behind it: a page of header
(`struct image_header` in guest_lib/kernel/layout.h), then the program's ELF file as it is, page for
page, so that the library OS can map text and constants where QEMU's loader put them; then the files
of `--file` (see `radics_mesh.vmm.baked`).
"""

from __future__ import annotations

import fcntl
import os
import platform
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.errors import UsageError
from radics_mesh.vmm.baked import BakedFile, pack
from radics_mesh.vmm.symbols import pack_symbols

PAGE_BYTES = 4096
GUEST_LIB = Path(__file__).resolve().parents[2] / "guest_lib"

ARCHITECTURES = ("x86_64", "aarch64")

_IMAGE_MAGIC = 0x45474D4953436452
_IMAGE_HEADER = struct.Struct("<QIIQ256sQQ")
_ELF = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_PT_LOAD = 1
_READ = 4
_EM_AARCH64 = 183
_KERNEL_BASE = 0xFFFFFFFF80000000

_CXX_FLAGS = ("-std=c++20", "-O2", "-static")
_C_FLAGS = ("-O2", "-static")
_CXX_SUFFIXES = {".cc", ".cpp", ".cxx", ".C"}


@dataclass(frozen=True)
class BuildReport:
    """What a build made; sizes in bytes, durations in seconds."""

    output: Path
    arch: str
    image_bytes: int
    kernel_bytes: int
    program_bytes: int
    compile_s: float
    bake_s: float


def _run(command: Sequence[str | Path], what: str) -> None:
    """Raises UsageError: one line that says what failed, the tool's own words as a note."""
    try:
        done = subprocess.run(
            [str(word) for word in command], capture_output=True, text=True, errors="replace"
        )
    except FileNotFoundError as error:
        raise UsageError(f"{what}: {command[0]} is not installed") from error
    if done.returncode:
        failure = UsageError(f"{what} failed")
        text = (done.stderr + done.stdout).strip()
        if text:
            failure.add_note(text)
        raise failure


def build_kernel(arch: str = "x86_64") -> Path:
    """The library OS for `arch`, made if need be."""
    if arch not in ARCHITECTURES:
        raise UsageError(f"no library OS for {arch}; there is one for {', '.join(ARCHITECTURES)}")
    with _one_at_a_time(GUEST_LIB / "build"):
        _run(("make", "-s", "-C", GUEST_LIB, f"ARCH={arch}"), "building the library OS")
    return GUEST_LIB / "build" / arch / "kernel.elf"


@contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Two makes in one directory would write over each other."""
    try:
        directory.mkdir(exist_ok=True)
        descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:  # a checkout of another user's: only make can say whether it is complete
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def cross_prefix(arch: str, host: str | None = None) -> str:
    """What the names of Debian's tools for `arch` begin with on this host; empty for its own."""
    same = arch == (host or platform.machine())
    return "" if same else f"{arch}-linux-gnu-"


def compile_program(
    sources: Sequence[Path],
    output: Path,
    *,
    arch: str = "x86_64",
    flags: Sequence[str] = (),
    debug: bool = False,
) -> None:
    """Sources to one static ELF file, stripped unless `debug`. `flags` come last, so they win."""
    if not sources:
        raise UsageError("no sources to build")
    for source in sources:
        if not source.is_file():
            raise UsageError(f"{source}: no such file")
    is_cxx = any(source.suffix in _CXX_SUFFIXES for source in sources)
    defaults = _CXX_FLAGS if is_cxx else _C_FLAGS
    library = GUEST_LIB / "build" / arch
    _run(
        (
            f"{cross_prefix(arch)}{'g++' if is_cxx else 'gcc'}",
            *(flag for flag in defaults if flag != "-static" or "-static-pie" not in flags),
            "-g" if debug else "-s",
            "-I",
            GUEST_LIB / "include",
            "-o",
            output,
            *_in_their_language(sources, is_cxx),
            *flags,
            "-L",
            library,
            "-lradics",
        ),
        f"compiling {', '.join(source.name for source in sources)}",
    )


def _in_their_language(sources: Sequence[Path], is_cxx: bool) -> list[str | Path]:
    """g++ compiles a .c file as C++ unless told otherwise, and -std=c++20 is none of C's."""
    words: list[str | Path] = []
    for source in sources:
        if is_cxx and source.suffix == ".c":
            words += ["-x", "c", "-std=gnu17", source, "-x", "none", *_CXX_FLAGS[:1]]
        else:
            words.append(source)
    return words


def bake(
    kernel: bytes, program: bytes, name: str, files: bytes = b"", symbols: bytes = b""
) -> bytes:
    """The image's bytes: `kernel` with `program` and packed `files` as one more segment,
    and packed `symbols` behind all. The loader of aarch64 takes the whole file into memory.

    Raises UsageError when the program is no static ELF file for the kernel's machine.
    """
    head = _ELF.unpack_from(kernel)
    machine, entry, table_at, count = head[2], head[4], head[5], head[10]
    segments = [_SEGMENT.unpack_from(kernel, table_at + i * _SEGMENT.size) for i in range(count)]
    _check_program(program, machine)
    loads = [segment for segment in segments if segment[0] == _PT_LOAD]
    image_at = _page_up(max(at + size for _, _, _, _, at, _, size, _ in loads))

    tail = len(symbols) if machine == _EM_AARCH64 else 0
    header = _IMAGE_HEADER.pack(
        _IMAGE_MAGIC, 1, PAGE_BYTES, len(program), name.encode()[:255], len(files), tail
    )
    payload = b"".join(part.ljust(_page_up(len(part)), b"\0") for part in (header, program, files))
    if machine == _EM_AARCH64:
        return _flat(kernel, loads) + payload + symbols
    # A new table of segments in front: the kernel file's own has no room for one more.
    shift = PAGE_BYTES
    body = kernel.ljust(_page_up(len(kernel)), b"\0")
    table = [
        (kind, flags, offset + shift, va, pa, file_bytes, memory_bytes, align)
        for kind, flags, offset, va, pa, file_bytes, memory_bytes, align in segments
    ]
    table.append(
        (
            _PT_LOAD,
            _READ,
            shift + len(body),
            _KERNEL_BASE + image_at,
            image_at,
            len(payload),
            len(payload),
            PAGE_BYTES,
        )
    )
    elf = _ELF.pack(
        head[0], head[1], machine, 1, entry, _ELF.size, 0, 0, _ELF.size, _SEGMENT.size,
        len(table), 0, 0, 0,
    )  # fmt: skip
    front = elf + b"".join(_SEGMENT.pack(*segment) for segment in table)
    return front.ljust(PAGE_BYTES, b"\0") + body + payload + symbols


def _flat(kernel: bytes, loads: Sequence[tuple[int, ...]]) -> bytes:
    """An arm64 Image: what the segments with bytes put into memory, up to a page's end."""
    start = min(address for _, _, _, _, address, file_bytes, _, _ in loads if file_bytes)
    flat = bytearray()
    for _, _, offset, _, address, file_bytes, _, _ in loads:
        if file_bytes:
            flat = flat.ljust(address - start, b"\0") + kernel[offset : offset + file_bytes]
    return bytes(flat).ljust(_page_up(len(flat)), b"\0")


def _check_program(program: bytes, machine: int) -> None:
    if len(program) < _ELF.size or program[:4] != b"\x7fELF":
        raise UsageError("the program is not an ELF file")
    if _ELF.unpack_from(program)[2] != machine:
        raise UsageError("the program was compiled for another machine")


def _page_up(n: int) -> int:
    return -(-n // PAGE_BYTES) * PAGE_BYTES


def build_image(
    sources: Sequence[Path],
    output: Path,
    *,
    arch: str = "x86_64",
    flags: Sequence[str] = (),
    files: Sequence[BakedFile] = (),
    debug: bool = False,
    on_progress: Callable[[str], None] | None = None,
) -> BuildReport:
    """Compiles `sources` and writes the bootable image to `output`, whole or not at all.

    A single source that is an ELF file already is baked as it is; with `debug`, without its
    symbols, which go where a node finds them (see radics_mesh.vmm.symbols), and the whole of it to
    OUTPUT.debug. The program finds `files` where
    they say. `on_progress` hears one short line a step. Raises UsageError; the compiler's text is
    in its notes.
    """
    tell = on_progress or (lambda line: None)
    tell("library OS")
    kernel = build_kernel(arch).read_bytes()
    packed = pack(files)
    started = time.monotonic()
    scratch = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        program = _program(sources, scratch, arch, flags, tell, debug=debug)
        compiled = time.monotonic()
        symbols = b""
        if debug:
            tell("symbols")
            scratch.write_bytes(program)
            program, symbols = _split(scratch, arch, output.with_suffix(".debug"))
        tell("image")
        image = bake(kernel, program, output.stem, packed, symbols)
        scratch.write_bytes(image)
        scratch.replace(output)
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}") from error
    finally:
        scratch.unlink(missing_ok=True)
    return BuildReport(
        output=output,
        arch=arch,
        image_bytes=len(image),
        kernel_bytes=len(kernel),
        program_bytes=len(program),
        compile_s=compiled - started,
        bake_s=time.monotonic() - compiled,
    )


def _program(
    sources: Sequence[Path],
    scratch: Path,
    arch: str,
    flags: Sequence[str],
    tell: Callable[[str], None],
    *,
    debug: bool,
) -> bytes:
    if len(sources) == 1 and sources[0].is_file():
        with sources[0].open("rb") as file:
            if file.read(4) == b"\x7fELF":
                return sources[0].read_bytes()
    tell("compile " + ", ".join(source.name for source in sources))
    compile_program(sources, scratch, arch=arch, flags=flags, debug=debug)
    return scratch.read_bytes()


def _split(scratch: Path, arch: str, kept: Path) -> tuple[bytes, bytes]:
    """An unstripped program: stripped, and its symbols for the image. `kept` has both, for gdb."""
    objcopy = f"{cross_prefix(arch)}objcopy"
    whole = scratch.read_bytes()
    part = scratch.with_name(f"{scratch.name}.part")
    try:
        _run((objcopy, "--only-keep-debug", scratch, part), "taking out the symbols")
        symbols = pack_symbols(part.read_bytes())
        _run((objcopy, "--strip-all", scratch, part), "stripping the program")
        program = part.read_bytes()
        part.write_bytes(whole)
        part.replace(kept)
    finally:
        part.unlink(missing_ok=True)
    return program, symbols
