"""Which language a program is written in: its name says it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from radics_mesh.errors import UsageError
from radics_mesh.vmm.languages.go import compile_go
from radics_mesh.vmm.languages.java import compile_java
from radics_mesh.vmm.languages.job import Compiler
from radics_mesh.vmm.languages.python import compile_python
from radics_mesh.vmm.languages.rust import compile_rust

_BY_SUFFIX: dict[str, Compiler] = {
    ".go": compile_go,
    ".java": compile_java,
    ".py": compile_python,
    ".rs": compile_rust,
}


def compiler_of(sources: Sequence[Path]) -> Compiler | None:
    """None: C or C++, or no program at all."""
    chosen = {_language(source) for source in sources} - {None}
    if not chosen:
        return None
    if len(sources) > 1:
        raise UsageError("one file or folder is one program, except in C and C++")
    return chosen.pop()


def _language(source: Path) -> Compiler | None:
    if source.is_dir():
        if any(source.glob("*.go")):
            return compile_go
        raise UsageError(f"{source}: a folder is built only if it holds a Go package")
    return _BY_SUFFIX.get(source.suffix)
