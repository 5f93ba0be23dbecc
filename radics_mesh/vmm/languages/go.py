"""Go: a file or the folder of a main package to one static ELF file, by Go's own tools.

A workspace file of ours makes `guest_lib/go/radics` importable as "radics" beside the program's own
module, so that neither the program's go.mod nor the network has to know of it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from radics_mesh.errors import UsageError
from radics_mesh.vmm.languages.job import Job, Made
from radics_mesh.vmm.tools import GUEST_LIB, run_tool

_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
# What a program may import and even use in part, but not for what it is there for.
_WITHOUT = {
    "net": "there are no sockets in a guest",
    "os/exec": "there is no other program in a guest to start",
    "plugin": "a guest loads no shared objects",
}


def compile_go(job: Job) -> Made:
    """Raises UsageError for a program that needs cgo or is no main package."""
    if shutil.which("go") is None:
        raise UsageError("Go programs need Go: install golang-go")
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch) / "go.work"
        where, what = _package(job.source)
        workspace.write_text(_workspace(where))
        environment = _environment(job.arch, workspace)
        _check(job, where, what, environment)
        strip = () if job.debug else ("-ldflags", "-s -w")
        run_tool(
            ("go", "build", "-trimpath", *strip, "-o", job.output, *job.flags, *what),
            f"compiling {job.source.name}",
            environment=environment,
            folder=where,
        )
    return Made()


def _package(source: Path) -> tuple[Path, list[str]]:
    """The folder to compile in, and what is compiled there."""
    if source.is_file():
        return source.parent, [source.name]
    if _modules(source):
        return source, ["."]
    files = sorted(path.name for path in source.glob("*.go"))
    return source, [name for name in files if not name.endswith("_test.go")]


def _modules(folder: Path) -> list[Path]:
    """The module that the folder is in, if any."""
    folder = folder.resolve()
    return [at for at in (folder, *folder.parents) if (at / "go.mod").is_file()][:1]


def _workspace(folder: Path) -> str:
    modules = [GUEST_LIB / "go" / "radics", *_modules(folder)]
    return "go 1.19\n" + "".join(f"use {json.dumps(str(module))}\n" for module in modules)


def _environment(arch: str, workspace: Path) -> Mapping[str, str]:
    return {
        "CGO_ENABLED": "0",
        "GOOS": "linux",
        "GOARCH": _ARCH[arch],
        "GOFLAGS": "",
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOWORK": str(workspace),
        "GO111MODULE": "on",
    }


def _check(job: Job, where: Path, what: list[str], environment: Mapping[str, str]) -> None:
    listed = run_tool(
        ("go", "list", "-e", "-json=Name,CgoFiles,Imports", *what),
        f"reading {job.source.name}",
        environment={**environment, "CGO_ENABLED": "1"},
        folder=where,
    )
    package = json.loads(listed)
    if package.get("CgoFiles"):
        raise UsageError(
            f"{job.source.name}: {package['CgoFiles'][0]} imports C; a guest's Go is without cgo"
        )
    if package.get("Name", "main") != "main":
        raise UsageError(f"{job.source.name}: package {package['Name']} is no main package")
    for imported in package.get("Imports", ()):
        for name, reason in _WITHOUT.items():
            if imported == name or imported.startswith(f"{name}/"):
                job.tell(f"warning: {job.source.name} imports {imported}: {reason}")
