"""Rust: one file, the root of a crate, to one static ELF file, by rustc.

Rust's standard library for the architecture has to be installed beside the compiler, which only
its own installer does for another than the host's.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from radics_mesh.errors import UsageError
from radics_mesh.vmm.languages.job import Job, Made
from radics_mesh.vmm.tools import GUEST_LIB, cross_prefix, run_tool

_BINDING = GUEST_LIB / "rust" / "radics.rs"
# musl's is made for static programs; with glibc's the compiler has to be told.
_LIBRARIES = ("gnu", "musl")


def compile_rust(job: Job) -> Made:
    """Raises UsageError where there is no rustc, or no standard library for `job.arch`."""
    if shutil.which("rustc") is None:
        raise UsageError("Rust programs need rustc: install rustc")
    triple = target(job.arch)
    if triple is None:
        raise UsageError(
            f"rustc has no standard library for {job.arch}: "
            f"rustup target add {job.arch}-unknown-linux-gnu"
        )
    common: list[str | Path] = ["rustc", "--target", triple, "--edition", "2021", "-O"]
    common += ["-C", "target-feature=+crt-static", "-C", "relocation-model=static"]
    common += ["-C", f"linker={cross_prefix(job.arch)}gcc", "-L", job.library]
    with tempfile.TemporaryDirectory() as scratch:
        binding = Path(scratch) / "libradics.rlib"
        crate: list[str | Path] = ["--crate-type", "rlib", "-l", "static:-bundle=radics"]
        run_tool([*common, *crate, "-o", binding, _BINDING], "compiling the crate radics")
        symbols = ["-g"] if job.debug else ["-C", "strip=symbols"]
        program: list[str | Path] = ["--extern", f"radics={binding}", "-o", job.output, job.source]
        run_tool([*common, *symbols, *program, *job.flags], f"compiling {job.source.name}")
    return Made()


def target(arch: str) -> str | None:
    """The first target for `arch` whose standard library is there."""
    for library in _LIBRARIES:
        name = f"{arch}-unknown-linux-{library}"
        folder = run_tool(("rustc", "--print", "target-libdir", "--target", name), "rustc")
        if any(Path(folder.strip()).glob("libstd-*.rlib")):
            return name
    return None
