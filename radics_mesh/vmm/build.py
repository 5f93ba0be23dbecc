"""Program sources to one bootable image: compile, link statically, strip, bake."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.errors import UsageError
from radics_mesh.vmm import architecture
from radics_mesh.vmm.bake import bake
from radics_mesh.vmm.baked import BakedFile, pack
from radics_mesh.vmm.image import least_memory_bytes
from radics_mesh.vmm.languages.choice import compiler_of
from radics_mesh.vmm.languages.job import Job, Made
from radics_mesh.vmm.symbols import pack_symbols
from radics_mesh.vmm.tools import GUEST_LIB, cross_prefix, one_at_a_time, run_tool

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
    memory_bytes: int  # about what the VM needs until the program itself does something; whole MiB
    compile_s: float
    bake_s: float


def build_kernel(arch: str = "x86_64") -> Path:
    """The library OS for `arch` as an ELF file, made if need be."""
    architecture.named(arch)
    check_compiler(arch)
    with one_at_a_time(GUEST_LIB / "build"):
        run_tool(("make", "-s", "-C", GUEST_LIB, f"ARCH={arch}"), "building the library OS")
    return GUEST_LIB / "build" / arch / "kernel.elf"


def check_compiler(arch: str) -> None:
    """UsageError with what to install when there is no compiler for `arch` here."""
    compiler = f"{cross_prefix(arch)}g++"
    if shutil.which(compiler) is None:
        package = compiler.rpartition("-")[0].replace("_", "-")
        package = f"g++-{package}" if package else "g++"
        raise UsageError(f"{compiler} is missing: install it (Debian: apt install {package})")


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
    run_tool(
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


def build_image(
    sources: Sequence[Path],
    output: Path,
    *,
    arch: str = "x86_64",
    flags: Sequence[str] = (),
    files: Sequence[BakedFile] = (),
    debug: bool = False,
    name: str | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> BuildReport:
    """Compiles `sources` and writes the bootable image to `output`, whole or not at all.

    A single source that is an ELF file already is baked as it is; with `debug`, without its
    symbols, which go where a node finds them (see radics_mesh.vmm.symbols), and the whole of it to
    OUTPUT.debug. The program finds `files` where they say. `name`: its argv[0] without a node, else
    the output's. `on_progress` hears one short line a step. Raises UsageError; the compiler's text
    is in its notes.
    """
    tell = on_progress or (lambda line: None)
    tell("library OS")
    kernel = build_kernel(arch).read_bytes()
    pack(files)  # what is wrong with them is said before the compiler has worked
    started = time.monotonic()
    scratch = output.absolute().with_name(f".{output.name}.{os.getpid()}")  # tools run elsewhere
    try:
        program, made = _program(sources, scratch, arch, flags, tell, debug=debug)
        compiled = time.monotonic()
        symbols = b""
        if debug:
            tell("symbols")
            scratch.write_bytes(program)
            program, symbols = _split(scratch, arch, output.with_suffix(".debug"))
        tell("image")
        image = bake(kernel, program, name or output.stem, pack([*files, *made.files]), symbols)
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
        memory_bytes=max(
            -(-(len(image) + made.start_bytes) >> 20) << 20, least_memory_bytes(image)
        ),
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
) -> tuple[bytes, Made]:
    """The static ELF file, and what its language adds."""
    if len(sources) == 1 and sources[0].is_file():
        with sources[0].open("rb") as file:
            if file.read(4) == b"\x7fELF":
                return sources[0].read_bytes(), Made()
    tell("compile " + ", ".join(source.name for source in sources))
    compiler = compiler_of(sources)
    if compiler is None:
        compile_program(sources, scratch, arch=arch, flags=flags, debug=debug)
        return scratch.read_bytes(), Made()
    library = GUEST_LIB / "build" / arch
    made = compiler(Job(sources[0], scratch, arch, flags, debug, library, tell))
    return scratch.read_bytes(), made


def _split(scratch: Path, arch: str, kept: Path) -> tuple[bytes, bytes]:
    """An unstripped program: stripped, and its symbols for the image. `kept` has both, for gdb."""
    objcopy = f"{cross_prefix(arch)}objcopy"
    whole = scratch.read_bytes()
    part = scratch.with_name(f"{scratch.name}.part")
    try:
        run_tool((objcopy, "--only-keep-debug", scratch, part), "taking out the symbols")
        symbols = pack_symbols(part.read_bytes())
        run_tool((objcopy, "--strip-all", scratch, part), "stripping the program")
        program = part.read_bytes()
        part.write_bytes(whole)
        part.replace(kept)
    finally:
        part.unlink(missing_ok=True)
    return program, symbols


def architectures(option: str | None) -> list[str]:
    """What `--arch` says, in its order; without it this host's own, whose guests run fastest here.

    UsageError for one that there is no library OS for, or no compiler here, before anything is
    built.
    """
    names = [architecture.of_host().name] if option is None else option.split(",")
    for name in names:
        architecture.named(name)
        check_compiler(name)
    return list(dict.fromkeys(names))


def outputs(output: Path, archs: Sequence[str]) -> dict[str, Path]:
    """Where the images go, by architecture: one to `output` itself, several beside each other."""
    if len(archs) == 1:
        return {archs[0]: output}
    return {arch: output.with_name(f"{output.stem}.{arch}{output.suffix}") for arch in archs}
