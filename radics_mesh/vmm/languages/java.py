"""Java: a program, OpenJDK 17 with the modules that it needs, and what loads it.

OpenJDK exists as shared objects only, and its usual virtual machine makes code, which a guest does
not let it run. So an image has the C library's dynamic linker, a small static program that starts
it (guest_lib/java/start.c), and Zero, OpenJDK's virtual machine that interprets. All of it comes
from Debian's packages, unpacked into the cache.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from radics_mesh.errors import UsageError
from radics_mesh.vmm import sysroot
from radics_mesh.vmm.baked import BakedFile, collect
from radics_mesh.vmm.languages.job import Job, Made
from radics_mesh.vmm.tools import GUEST_LIB, cross_prefix, one_at_a_time, run_tool

_SOURCES = GUEST_LIB / "java"
_PACKAGES = (
    *("openjdk-17-jdk-headless", "openjdk-17-jre-headless", "openjdk-17-jre-zero"),
    *("libc6", "libgcc-s1", "libstdc++6", "zlib1g"),
)
_LIBRARIES = ("libc.so.6", "libm.so.6", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1")
_LINKER = {"x86_64": "ld-linux-x86-64.so.2", "aarch64": "ld-linux-aarch64.so.1"}
_OPTIONS = (
    *("-Xshare:off", "-XX:-UsePerfData", "-XX:MaxRAMPercentage=40"),
    *("-Djava.library.path=/lib", "-cp", "/app"),
)
_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)\s*;", re.MULTILINE)
_START_BYTES = 24 << 20  # measured: a program that prints a line takes 21 beside its image


def compile_java(job: Job) -> Made:
    """`job.flags` go to javac. Raises UsageError."""
    root, tools = _root(job.arch, job), _jdk(_root(platform.machine(), job)) / "bin"
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        classes = scratch / "app"
        # Imports of its own folder are compiled along.
        path = f"{job.source.parent}:{_SOURCES}"
        run_tool(
            (tools / "javac", "-d", classes, "-sourcepath", path, *job.flags, job.source),
            f"compiling {job.source.name}",
        )
        runtime = _runtime(job, root, tools, _modules(tools, classes))
        libraries = scratch / "lib"
        libraries.mkdir()
        _share(job, root, libraries)
        (scratch / "arguments.c").write_text(_arguments(job))
        _start(job, scratch / "arguments.c")
        trees = (f"{classes}:/app", f"{libraries}:/lib", f"{runtime}:/jre")
        files = [*collect(trees), *_linked(job.arch, root)]
    return Made(files, _START_BYTES)


def _root(arch: str, job: Job) -> Path:
    return sysroot.unpacked(f"java-{arch}", arch, "usr/lib/jvm/*/lib/zero", _PACKAGES, job.tell)


def _jdk(root: Path) -> Path:
    return next(root.glob("usr/lib/jvm/java-17-openjdk-*"))


def _modules(tools: Path, classes: Path) -> str:
    """With commas between."""
    command = (tools / "jdeps", "--print-module-deps", "--ignore-missing-deps", classes)
    return run_tool(command, "finding modules").strip() or "java.base"


def _runtime(job: Job, root: Path, tools: Path, modules: str) -> Path:
    """Made once for each choice of modules, which takes half a minute."""
    stamp = hashlib.sha256(f"{job.arch} {modules} {root}".encode()).hexdigest()[:16]
    folder = root.parent.parent / "java" / stamp
    with one_at_a_time(folder.parent):
        if not folder.is_dir():
            job.tell(f"run-time image with {modules}")
            _link(folder, root, tools, modules)
    return folder


def _link(folder: Path, root: Path, tools: Path, modules: str) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        made = Path(name) / "jre"
        run_tool(
            (
                *(tools / "jlink", "--module-path", _jdk(root) / "jmods"),
                *("--add-modules", modules, "--output", made, "--compress=2"),
                *("--strip-java-debug-attributes", "--no-man-pages", "--no-header-files"),
            ),
            "linking Java's modules",
        )
        shutil.rmtree(made / "legal", ignore_errors=True)
        server = made / "lib" / "server"
        shutil.rmtree(server)
        server.mkdir()
        shutil.copy(_jdk(root) / "lib" / "zero" / "libjvm.so", server)
        made.rename(folder)


def _share(job: Job, root: Path, folder: Path) -> None:
    """The shared objects of ours."""
    include = _jdk(root) / "include"
    command: list[str | Path] = [f"{cross_prefix(job.arch)}gcc", "-O2", "-s", "-shared", "-fPIC"]
    command += ["-I", GUEST_LIB / "include", "-I", include, "-I", include / "linux"]
    client = sorted((GUEST_LIB / "client").glob("*.c"))
    run_tool(
        [*command, "-o", folder / "libradics_java.so", _SOURCES / "radics_java.c", *client],
        "compiling Java's binding",
    )
    run_tool([*command, "-o", folder / "narrow.so", _SOURCES / "narrow.c"], "compiling narrow.c")


def _linked(arch: str, root: Path) -> Iterator[BakedFile]:
    """The C library's shared objects, from the same root."""
    triplet = f"{arch}-linux-gnu"
    for name in (*_LIBRARIES, _LINKER[arch]):
        found = [root / folder / triplet / name for folder in ("lib", "usr/lib")]
        path = next((path for path in found if path.exists()), None)
        if path is None:
            raise UsageError(f"Debian's packages for {arch} have no {name}")
        yield BakedFile(f"/lib/{name}", path.read_bytes(), executable=True)


def _arguments(job: Job) -> str:
    package = _PACKAGE.search(job.source.read_text())
    main = f"{package[1]}.{job.source.stem}" if package else job.source.stem
    words: Sequence[str] = (
        *(_LINKER[job.arch], "--preload", "/lib/narrow.so"),
        *("--library-path", "/lib:/jre/lib:/jre/lib/server", "/jre/bin/java"),
        *(*_OPTIONS, main),
    )
    listed = "".join(f'"{word}", ' for word in words)
    return (
        f'const char radics_linker[] = "/lib/{_LINKER[job.arch]}";\n'
        f"const char *const radics_arguments[] = {{{listed}0}};\n"
    )


def _start(job: Job, arguments: Path) -> None:
    strip = "-g" if job.debug else "-s"
    compiler = f"{cross_prefix(job.arch)}gcc"
    run_tool(
        (compiler, "-O2", "-static", strip, "-o", job.output, _SOURCES / "start.c", arguments),
        "compiling start.c",
    )
