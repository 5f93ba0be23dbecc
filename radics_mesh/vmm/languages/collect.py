"""Which modules a Python program needs, compiled. A program of its own: python3.11 runs it, because
byte code is of one Python version, and ours may be another. Needs the standard library only.

    python3.11 -I collect.py PROGRAM OUTPUT PATH BUILTIN,BUILTIN... [MODULE...]

From PROGRAM on it follows every import statement, at any depth, without running anything; modules
are looked for in the program's folder, in PATH (folders with colons between) and in the standard
library. MODULEs are those that the program imports by other means. It writes into OUTPUT

    app/              the program and modules of its folder and of PATH: sources, which tracebacks
                      show, and byte code
    lib/python3.11/   of the standard library, byte code only

and prints a JSON object: "builtin", the modules of the interpreter itself that are needed;
"missing", [module, file, line, whether it exists as a shared object] of each import that can only
fail; "modules", how many there are; "imports", what the program's own modules ask for.

An import inside `try ... except ImportError`, under a condition or in a function may fail, so what
it lacks is no error: the standard library does so for what only makes it faster.
"""

from __future__ import annotations

import _imp
import ast
import importlib.machinery
import importlib.util
import json
import os
import py_compile
import sys
import traceback
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path

STANDARD = os.path.dirname(os.__file__) + "/"

# What the interpreter itself imports, codecs that programs name at run time, and what modules of
# the interpreter import that no import statement tells of.
ALWAYS = (
    "io abc codecs os stat posixpath encodings.aliases encodings.utf_8 encodings.latin_1 "
    "encodings.ascii encodings.utf_8_sig encodings.utf_16 encodings.utf_16_le encodings.utf_16_be "
    "encodings.unicode_escape encodings.hex_codec"
)
BEHIND = {
    "asyncio": "radics_asyncio",
    "_pickle": "_compat_pickle copyreg",
    "concurrent.futures": "concurrent.futures.thread",
    "datetime": "_strptime",
    "tempfile": "random shutil",
    "time": "_strptime",
}

# Of these the standard library makes occasional use, mostly for what a guest cannot do, and each
# would bring half of the rest along. A program that imports them itself has them.
SELDOM = (
    "argparse ast asyncio bdb bz2 cmd code concurrent csv ctypes dataclasses decimal dis distutils "
    "doctest email fractions ftplib getopt gettext gzip http importlib.metadata importlib.readers "
    "importlib.resources inspect lib2to3 logging lzma multiprocessing pdb pprint py_compile pydoc "
    "pydoc_data runpy selectors shutil socket ssl statistics subprocess tarfile tempfile test "
    "tkinter tracemalloc tty unittest urllib webbrowser xml xmlrpc zipfile"
)


@dataclass(frozen=True)
class Import:
    """One wish of an import statement."""

    name: str
    line: int
    maybe: bool  # it may fail, or is not reached
    attribute: bool = False  # `from a import b`: b may as well be no module


@dataclass
class Module:
    source: Path
    imports: list[Import] = field(default_factory=list)

    @property
    def own(self) -> bool:
        return not str(self.source).startswith(STANDARD)


# --- reading one module ---


class _Reader(ast.NodeVisitor):
    """The import statements of one module, and which of them may fail."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.found: list[Import] = []
        self._maybe = 0

    def _add(self, name: str, line: int, attribute: bool = False) -> None:
        self.found.append(Import(name, line, self._maybe > 0, attribute))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name, node.lineno)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        parts = [node.module] if node.module else []
        if node.level:
            above = self.package.split(".")
            parts = above[: len(above) - node.level + 1] + parts
        base = ".".join(parts)
        if not base:
            return
        self._add(base, node.lineno)
        for alias in node.names:
            if alias.name != "*":
                self._add(f"{base}.{alias.name}", node.lineno, attribute=True)

    def _visit_all(self, nodes: Iterable[ast.AST], maybe: bool = False) -> None:
        self._maybe += maybe
        for node in nodes:
            self.visit(node)
        self._maybe -= maybe

    def visit_Try(self, node: ast.Try) -> None:
        self._visit_all(node.body, maybe=any(map(_catches_import_error, node.handlers)))
        self._visit_all(node.handlers, maybe=True)
        self._visit_all([*node.orelse, *node.finalbody])

    def visit_If(self, node: ast.If) -> None:
        holds = _holds(node.test)
        if holds is not False:
            self._visit_all(node.body, maybe=holds is None)
        if holds is not True:
            self._visit_all(node.orelse, maybe=holds is None)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_all(node.body, maybe=True)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_all(node.body, maybe=True)


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    return bool(names & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


def _holds(test: ast.expr) -> bool | None:
    """Of a condition on the platform or the type checker; None: not known here."""
    text = ast.unparse(test)
    if text in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        return False
    if isinstance(test, ast.Compare) and ast.unparse(test.left) in ("sys.platform", "os.name"):
        try:
            return bool(eval(text, {"sys": sys, "os": os}))
        except (NameError, SyntaxError, TypeError):
            return None
    return None


# --- following them ---


class Collector:
    """Follows imports over a search path."""

    def __init__(self, path: list[str], builtin: set[str]) -> None:
        self.path, self.builtin = path, builtin
        self.modules: dict[str, Module] = {}
        self.needed_builtin: set[str] = set()
        self.missing: list[tuple[str, str, int, bool]] = []
        self._specs: dict[str, ModuleSpec | None] = {}

    def collect(self, program: Path, names: Iterable[str]) -> None:
        """What can only fail is found among what is needed for certain; then all the rest."""
        self.modules["__main__"] = _read("__main__", program, "")
        start = [Import(name, 0, False) for name in names]
        self._follow(start, certain=True)
        self._follow(start, certain=False)

    def _follow(self, start: list[Import], certain: bool) -> None:
        queue = deque([("the command line", True, wish) for wish in start])
        followed: set[str] = set()
        self._expand("__main__", queue, followed)
        while queue:
            file, own, wish = queue.popleft()
            if certain and wish.maybe:
                continue
            if wish.maybe and not own and _seldom(wish.name):
                continue
            parts = wish.name.split(".")
            for i in range(1, len(parts) + 1):
                name = ".".join(parts[:i])
                if not self._take(name, file, wish, certain):
                    break
                self._expand(name, queue, followed)

    def _expand(
        self, name: str, queue: deque[tuple[str, bool, Import]], followed: set[str]
    ) -> None:
        if name in followed:
            return
        followed.add(name)
        for behind in BEHIND.get(name, "").split():
            queue.append(("the interpreter", False, Import(behind, 0, False)))
        if module := self.modules.get(name):
            queue.extend((str(module.source), module.own, wish) for wish in module.imports)

    def _take(self, name: str, file: str, wish: Import, certain: bool) -> bool:
        """Whether there is a module of that name, in which another may lie."""
        if name in self.builtin:
            self.needed_builtin.add(name)
            return True
        if name in self.modules:
            return True
        spec = self._spec(name)
        if spec is not None and isinstance(spec.loader, SourceFileLoader) and spec.origin:
            inside = name if spec.submodule_search_locations is not None else _parent(name)
            self.modules[name] = _read(name, Path(spec.origin), inside)
            return True
        if spec is not None and spec.loader is None:
            return True  # a folder without __init__.py
        shared = spec is not None and isinstance(spec.loader, ExtensionFileLoader)
        # A module that is there may make others when it is imported, as os makes os.path.
        may_be_made = _parent(name) in self.modules or _parent(name) in self.builtin
        frozen = name.startswith("_frozen_importlib")
        if certain and (shared or not may_be_made) and not frozen:
            self.missing.append((name, file, wish.line, shared))
        return False

    def _spec(self, name: str) -> ModuleSpec | None:
        if name not in self._specs:
            where: list[str] | None = self.path
            if parent := _parent(name):
                above = self._spec(parent)
                locations = above.submodule_search_locations if above else None
                where = list(locations) if locations else None
            self._specs[name] = PathFinder.find_spec(name, where) if where else None
        return self._specs[name]


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _seldom(name: str) -> bool:
    parts = name.split(".")
    seldom = SELDOM.split()
    return any(".".join(parts[:i]) in seldom for i in range(1, len(parts) + 1))


def _read(name: str, source: Path, package: str) -> Module:
    reader = _Reader(package)
    reader.visit(ast.parse(source.read_bytes(), str(source)))
    return Module(source, reader.found)


# --- writing ---


def write(modules: dict[str, Module], output: Path) -> None:
    for name, module in modules.items():
        if not module.own and _imp.is_frozen(name):
            continue  # the interpreter has it
        parts = [module.source.stem] if name == "__main__" else name.split(".")
        if module.source.stem == "__init__":
            parts.append("__init__")
        place = "/".join(["app" if module.own else "lib/python3.11", *parts]) + ".py"
        target = output / f"{place}c"
        if module.own:
            (output / place).parent.mkdir(parents=True, exist_ok=True)
            (output / place).write_bytes(module.source.read_bytes())
            if name != "__main__":
                target = Path(importlib.util.cache_from_source(str(output / place)))
        py_compile.compile(
            str(module.source),
            str(target),
            f"/{place}",
            doraise=True,
            # Texts that explain the standard library are a fifth of it.
            optimize=0 if module.own else 2,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


def _own_imports(modules: dict[str, Module]) -> Iterable[Import]:
    return (wish for module in modules.values() if module.own for wish in module.imports)


def main(program: str, output: str, path: str, builtin: str, *modules: str) -> None:
    source = Path(program)
    standard = [entry for entry in sys.path if f"{entry}/".startswith(STANDARD)]
    folders = [str(source.parent), *filter(None, path.split(":")), *standard]
    collector = Collector(folders, set(builtin.split(",")))
    try:
        collector.collect(source, [*modules, *ALWAYS.split()])
    except SyntaxError as error:
        sys.exit("".join(traceback.format_exception_only(error)))
    write(collector.modules, Path(output))
    found = {
        "builtin": sorted(collector.needed_builtin),
        "missing": collector.missing,
        "modules": len(collector.modules),
        "imports": sorted({wish.name for wish in _own_imports(collector.modules)}),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
