"""Python: a program, the modules it imports and a static CPython 3.11.

Debian's libpython3.11-dev has the interpreter as a static library; of its C modules only those that
the program needs are linked. C modules that exist as shared objects only cannot be had in a guest:
a program that needs one for certain is refused.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from radics_mesh.errors import UsageError
from radics_mesh.vmm import sysroot
from radics_mesh.vmm.baked import BakedFile
from radics_mesh.vmm.languages import collect
from radics_mesh.vmm.languages.job import Job, Made
from radics_mesh.vmm.tools import GUEST_LIB, cross_prefix, run_tool

_VERSION = "python3.11"
_PYTHON = Path("/usr/bin") / _VERSION  # Debian's: another would have other C modules built in
_SOURCES = GUEST_LIB / "python"
_PACKAGES = ("libpython3.11-dev", "libexpat1-dev", "zlib1g-dev")

# Measured: an interpreter that prints a line; modules take two to three times their byte code.
_START_BYTES = 5 << 20
# Whatever the program is, the interpreter starts with these.
_START = (
    "_abc _codecs _collections _functools _imp _io _signal _stat _string _thread _warnings "
    "_weakref atexit builtins errno faulthandler gc itertools marshal posix sys time"
)
_NOT_BY_NAME = {"marshal": "PyMarshal_Init", "_warnings": "_PyWarnings_Init"}
_WITHOUT_INIT = ("builtins", "sys")
_OURS = ("_contextvars", "_radics")
# Ours that change one of the library's, which a program has to import before.
_FIRST = {"asyncio": "radics_asyncio"}
# What a program may import and even use in part, but not for what it is there for.
_WITHOUT = {
    "socket": "there are no sockets in a guest",
    "ssl": "there are no sockets in a guest",
    "subprocess": "there is no other program in a guest to start",
    "multiprocessing": "there is one process in a guest; use threading",
}


class Found(TypedDict):
    """What collect.py says."""

    builtin: list[str]
    missing: list[tuple[str, str, int, bool]]
    modules: int
    imports: list[str]


def compile_python(job: Job) -> Made:
    """`job.flags` are modules that the program imports by other means than a statement; "-I FOLDER"
    adds a folder to look in.

    Raises UsageError, for a program that imports what there is not, too.
    """
    if not _PYTHON.is_file():
        raise UsageError(f"Python programs need Debian's {_VERSION} and {_PACKAGES[0]}")
    root = sysroot.root(
        job.arch, f"usr/lib/{_VERSION}/config-*/lib{_VERSION}.a", _PACKAGES, job.tell
    )
    modules, folders = _flags(job.flags)
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        found = _collect(job.source, scratch / "tree", folders, modules)
        _check(job, found)
        job.tell(f"{found['modules']} modules")
        builtin = {*_START.split(), *found["builtin"]}
        first = [_FIRST[name] for name in found["imports"] if name in _FIRST]
        (scratch / "inittab.c").write_text(_inittab(builtin, job.source.stem, first))
        _link(job, root, scratch / "inittab.c")
        files = _tree(scratch / "tree")
    code_bytes = sum(len(file.content or b"") for file in files)
    return Made(files, _START_BYTES + code_bytes * 5 // 2)


def _flags(flags: Sequence[str]) -> tuple[list[str], list[str]]:
    modules, folders = [], [str(_SOURCES)]
    words = iter(flags)
    for word in words:
        if word == "-I":
            folders.append(str(Path(next(words, "."))))
        elif word.startswith("-"):
            raise UsageError(f"{word}: flags for Python are modules to add, and -I FOLDER")
        else:
            modules.append(word)
    return modules, folders


def _collect(source: Path, output: Path, folders: Sequence[str], modules: Sequence[str]) -> Found:
    names = run_tool((_PYTHON, "-Ic", "import sys; print(*sys.builtin_module_names)"), _VERSION)
    output.mkdir()
    command: Sequence[str | Path] = (
        *(_PYTHON, "-I", collect.__file__, source, output, ":".join(folders)),
        ",".join([*names.split(), *_OURS]),
        *modules,
    )
    found: Found = json.loads(run_tool(command, f"reading {source.name}"))
    return found


def _check(job: Job, found: Found) -> None:
    for name, file, line, shared in found["missing"]:
        where = f"{Path(file).name}:{line}" if line else file
        if shared:
            raise UsageError(f"{where} imports {name}, a shared object; a guest's Python is static")
        raise UsageError(f"{where} imports {name}, and there is no such module")
    for imported in found["imports"]:
        if imported in _WITHOUT:
            job.tell(f"warning: {job.source.name} imports {imported}: {_WITHOUT[imported]}")


def _inittab(builtin: set[str], program: str, first: Sequence[str]) -> str:
    """C: the table of C modules in place of the library's, and what main.c wants to know."""
    functions = {
        name: _NOT_BY_NAME.get(name, f"PyInit_{name}")
        for name in sorted(builtin)
        if name not in _WITHOUT_INIT
    }
    table = [f'{{"{name}", {function}}}, ' for name, function in functions.items()]
    table += [f'{{"{name}", NULL}}, ' for name in _WITHOUT_INIT]
    names = "".join(f'"{name}", ' for name in first)
    # A literal for each character: an escape has no end of its own.
    wide = " ".join(f'L"\\x{ord(c):x}"' for c in f"/app/{program}.pyc")
    return "\n".join(
        [
            "#include <Python.h>",
            *(f"extern PyObject *{function}(void);" for function in functions.values()),
            f"struct _inittab _PyImport_Inittab[] = {{{''.join(table)}{{0, 0}}}};",
            f"const wchar_t radics_program[] = {wide};",
            f"const char *const radics_first[] = {{{names}NULL}};",
        ]
    )


def _link(job: Job, root: Path, inittab: Path) -> None:
    [library] = (root / f"usr/lib/{_VERSION}").glob(f"config-*/lib{_VERSION}.a")
    triplet = f"{job.arch}-linux-gnu"
    # -idirafter: behind the compiler's own, so of a foreign root only what the compiler lacks.
    command: list[str | Path] = [f"{cross_prefix(job.arch)}gcc", "-O2", "-static", "-w"]
    command += ["-g"] if job.debug else ["-s"]
    command += ["-I", GUEST_LIB / "include", "-I", root / "usr/include" / _VERSION]
    command += ["-idirafter", root / "usr/include", "-o", job.output]
    command += [*sorted(_SOURCES.glob("*.c")), inittab]
    command += ["-L", job.library, "-L", root / "usr/lib" / triplet]
    run_tool([*command, library, "-lradics", "-lexpat", "-lz", "-lm"], "linking Python")


def _tree(folder: Path) -> list[BakedFile]:
    return [
        BakedFile(f"/{path.relative_to(folder)}", path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    ]
