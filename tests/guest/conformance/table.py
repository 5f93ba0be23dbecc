"""Small programs, each about one thing, that must say in a guest what they say on Linux.

The same static ELF file runs on this machine and in a guest; its words and its exit status are
compared. For another architecture than this machine's the program is compiled for that one, and
must say there what it says here.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.errors import UsageError
from radics_mesh.vmm.build import build_image, build_kernel, compile_program
from tests.guest.plain import plain_status, run_plain, without_end

FOLDER = Path(__file__).parent
LIBRARIES = FOLDER.parent / "libraries"
HERE = "x86_64"
WORKERS = 2
# Quick to compile is what counts here; -w because some programs do what a compiler warns of.
FLAGS = ("-O1", "-w", "-lm")
DEADLINE_S = 300.0

Outcome = tuple[bytes, int]


@dataclass(frozen=True)
class Verdict:
    """What became of one program: by column, None for "as here" or else what was wrong."""

    name: str
    here: str
    wrong: dict[str, str | None]

    @property
    def agrees(self) -> bool:
        return not any(self.wrong.values())


# What real libraries need beyond FLAGS. Debian's tiny-dnn asks for headers of other packages by
# paths of its own, which `_third_party` provides. Both C libraries are for this machine only.
_LIBRARY_FLAGS = {
    "eigen.cpp": ("-O0", "-isystem", "/usr/include/eigen3"),
    "sqlite.c": ("-lsqlite3", "-lm"),
    "tiny_dnn.cpp": ("-O0", "-std=c++17"),
    "zlib.c": ("-lz",),
}


def libraries() -> list[Path]:
    return sorted(LIBRARIES / name for name in _LIBRARY_FLAGS)


def _third_party(folder: Path) -> tuple[str, ...]:
    (folder / "include").mkdir(exist_ok=True)
    link = folder / "include" / "third_party"
    if not link.is_symlink():
        link.symlink_to("/usr/include")
    return ("-I", str(link.parent))


def _flags(source: Path, folder: Path) -> tuple[str, ...]:
    more = _LIBRARY_FLAGS.get(source.name, ()) if source.parent == LIBRARIES else ()
    return (*FLAGS, *more, *(_third_party(folder) if source.name == "tiny_dnn.cpp" else ()))


def programs() -> list[Path]:
    return sorted(path for path in FOLDER.iterdir() if path.suffix in (".c", ".cpp"))


def natively(binary: Path) -> Outcome:
    """Errors go where the output goes, as in a guest without a channel. What a process has from
    its parents is as in a guest too, whoever's these are: a session of its own, the umask, no
    descriptors but the first three."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [binary],
            cwd=folder,
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DEADLINE_S,
            start_new_session=True,
            umask=0o022,
        )
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return done.stdout, status


def in_a_guest(binary: Path, arch: str, expected: Outcome) -> str | None:
    """None if it does as `expected`, else what it does."""
    image = binary.parent / arch / f"{binary.name}.img"
    image.parent.mkdir(exist_ok=True)
    build_image([binary], image, arch=arch)
    try:
        done = run_plain(image)
    except subprocess.TimeoutExpired:
        return "does not end"
    finally:
        image.unlink()
    said = without_end(done.stdout)
    if said != expected[0]:
        return _difference(expected[0], said)
    status = plain_status(expected[1])
    return None if done.returncode == status else f"status {done.returncode}, not {status}"


def _difference(expected: bytes, said: bytes) -> str:
    ours, theirs = said.splitlines(), expected.splitlines()
    for number, line in enumerate(theirs):
        mine = ours[number] if number < len(ours) else b"(nothing)"
        if mine != line:
            return f"line {number + 1}: {mine!r}, not {line!r}"
    return f"more lines: {ours[len(theirs) :]!r}"


def judge(source: Path, folder: Path, archs: Sequence[str]) -> Verdict:
    """Compiles and runs one program everywhere."""
    binary = folder / source.stem
    try:
        compile_program([source], binary, flags=_flags(source, folder))
    except UsageError as error:
        return Verdict(source.name, "\n".join((str(error), *error.__notes__)), {HERE: "not built"})
    expected = natively(binary)
    wrong: dict[str, str | None] = {}
    for arch in archs:
        if arch != HERE and source.parent == LIBRARIES and source.suffix == ".c":
            continue
        there = binary
        if arch != HERE:
            there = folder / f"for-{arch}" / source.stem
            there.parent.mkdir(exist_ok=True)
            build_kernel(arch)  # the client library, for the linker
            compile_program([source], there, arch=arch, flags=_flags(source, folder))
        wrong[arch] = in_a_guest(there, arch, expected)
    binary.unlink()
    return Verdict(source.name, f"{len(expected[0])} bytes, status {expected[1]}", wrong)


def judge_all(
    sources: Sequence[Path], archs: Sequence[str], told: Callable[[Verdict], None] = lambda v: None
) -> Iterator[Verdict]:
    """In the order of the sources; `told` hears each as it is known."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(WORKERS) as pool:

        def one(source: Path) -> Verdict:
            verdict = judge(source, Path(folder), archs)
            told(verdict)
            return verdict

        yield from pool.map(one, sources)
