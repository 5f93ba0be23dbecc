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
        workspace.write_text(_workspace(job.source))
        environment = _environment(job.arch, workspace)
        where, what = _package(job.source)
        _check(job, where, what, environment)
        strip = () if job.debug else ("-ldflags", "-s -w")
        run_tool(
            ("go", "build", "-trimpath", *strip, "-o", job.output, *job.flags, what),
            f"compiling {job.source.name}",
            environment=environment,
            folder=where,
        )
    return Made()


def _package(source: Path) -> tuple[Path, str]:
    """The folder to compile in, and what is compiled there."""
    return (source, ".") if source.is_dir() else (source.parent, source.name)


def _workspace(source: Path) -> str:
    folder = source.resolve() if source.is_dir() else source.resolve().parent
    modules = [GUEST_LIB / "go" / "radics"]
    modules += [at for at in (folder, *folder.parents) if (at / "go.mod").is_file()][:1]
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


def _check(job: Job, where: Path, what: str, environment: Mapping[str, str]) -> None:
    listed = run_tool(
        ("go", "list", "-e", "-json=Name,CgoFiles,Imports", what),
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
