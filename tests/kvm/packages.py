"""Debian packages of any architecture, unpacked into a directory for a machine's root.

apt works in directories of its own here, with an empty list of installed packages, so that it finds
out all that a package needs; it reads the system's sources, but nothing of the system is changed,
and no right is needed. Packages are unpacked, never installed: no script of theirs runs.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.errors import UsageError

_DEADLINE_S = 600


@dataclass(frozen=True)
class Packages:
    """A kernel, and the root directory that holds it and the other packages."""

    root: Path
    kernel: Path
    modules: Path


def unpacked(directory: Path, arch: str, names: Sequence[str], kernel: str) -> Packages:
    """What `names` and the kernel's meta package hold, with all that `names` depend on.

    Downloaded once: it stays until the names change. UsageError: not a Debian, or no network.
    """
    for tool in ("apt-get", "apt-cache", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise UsageError(f"the emulated machines are made of Debian's packages; no {tool} here")
    root = directory / "root"
    wanted = hashlib.sha256("\n".join((arch, *names, kernel)).encode()).hexdigest()[:16]
    done = directory / f"unpacked-{wanted}"
    if not done.exists():
        shutil.rmtree(directory, ignore_errors=True)
        _unpack(_Apt(directory, arch), root, names, kernel)
        done.touch()
    return _found(root)


def _found(root: Path) -> Packages:
    (kernel,) = (root / "boot").glob("vmlinuz-*")
    return Packages(root, kernel, root / "lib" / "modules" / kernel.name.removeprefix("vmlinuz-"))


def _unpack(apt: _Apt, root: Path, names: Sequence[str], kernel: str) -> None:
    apt.run("apt-get", "update")
    apt.run("apt-get", "--yes", "--download-only", "install", *names)
    # The kernel alone: what it depends on is for installing it.
    depends = apt.run("apt-cache", "depends", "--important", kernel).splitlines()
    images = [line.split()[-1] for line in depends if "Depends: linux-image-" in line]
    if not images:
        raise UsageError(f"apt knows no kernel behind {kernel}")
    apt.run("apt-get", "download", images[0])
    root.mkdir()
    for package in sorted([*apt.archives.glob("*.deb"), *apt.directory.glob("*.deb")]):
        _run(("dpkg-deb", "--extract", str(package), str(root)), apt.directory)
        package.unlink()


class _Apt:
    """apt for `arch`, with all that it writes in `directory`."""

    def __init__(self, directory: Path, arch: str) -> None:
        self.directory = directory
        self.archives = directory / "apt" / "archives"
        for name in ("apt/lists/partial", "apt/archives/partial"):
            (directory / name).mkdir(parents=True)
        (directory / "apt" / "status").touch()
        self._options = (
            f"APT::Architecture={arch}",
            f"APT::Architectures={arch}",
            "APT::Install-Recommends=false",
            "APT::Sandbox::User=",  # root's other user may not enter a checkout in root's home
            f"Dir::State={directory / 'apt'}",
            f"Dir::State::status={directory / 'apt' / 'status'}",
            f"Dir::Cache={directory / 'apt'}",
            f"Dir::Log={directory / 'apt'}",
            "Acquire::Languages=none",
        )

    def run(self, command: str, *words: str) -> str:
        options = [word for option in self._options for word in ("-o", option)]
        return _run((command, "-q", *options, *words), self.directory)


def _run(command: Sequence[str], directory: Path) -> str:
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=_DEADLINE_S
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{command[0]} did not end in {_DEADLINE_S} s") from error
    if done.returncode:
        failure = UsageError(f"{command[0]} failed in {directory}")
        failure.add_note((done.stderr + done.stdout).strip())
        raise failure
    return done.stdout
