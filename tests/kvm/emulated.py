"""One emulated machine that has KVM: a QEMU with no disk and no network, its serial line our ear.

TCG emulates the processor's virtualisation: SVM with nested paging on x86_64, EL2 on arm64. The
machine's own guests run under it as they would on hardware, only slower.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import trio

from radics_mesh.errors import UsageError
from tests.kvm import findings, wheels
from tests.kvm import root as roots
from tests.kvm.findings import Finding
from tests.kvm.packages import Packages, unpacked

MEMORY_MIB = 1536
# What vmm imports, and what that imports.
_WHEELS = (
    *("trio", "attrs", "outcome", "sniffio", "sortedcontainers", "idna"),
    *("structlog", "zstandard", "msgpack", "pynacl", "cffi"),
)
_PACKAGES = ("libc6", "python3-minimal", "libpython3-stdlib", "util-linux")


@dataclass(frozen=True)
class Architecture:
    name: str
    debian: str  # Debian's name of it
    qemu_package: str
    machine: tuple[str, ...]  # the outer QEMU's
    console: str
    modules: tuple[str, ...] = ()  # for KVM, where it is not in Debian's kernel

    @property
    def binary(self) -> str:
        return f"qemu-system-{self.name}"


_X86_64 = Architecture(
    name="x86_64",
    debian="amd64",
    qemu_package="qemu-system-x86",
    # RDRAND: else this machine would wait for chance at its start.
    machine=("-M", "q35", "-cpu", "qemu64,+svm,+npt,+rdrand"),
    console="ttyS0",
    modules=("kvm_amd",),
)
_AARCH64 = Architecture(
    name="aarch64",
    debian="arm64",
    qemu_package="qemu-system-arm",
    machine=("-M", "virt,virtualization=on,gic-version=2", "-cpu", "cortex-a72"),
    console="ttyAMA0",
)
ARCHITECTURES = {arch.name: arch for arch in (_X86_64, _AARCH64)}


@dataclass(frozen=True)
class Prepared:
    arch: Architecture
    kernel: Path
    root: Path
    log: Path


def prepare(arch: Architecture, directory: Path, guests: Mapping[str, bytes]) -> Prepared:
    """Fetch and build what the machine starts from; blocks. Quick but for the first time.

    `guests`: see root.
    """
    if shutil.which(arch.binary) is None:
        raise UsageError(f"{arch.binary} is missing: apt install {arch.qemu_package}")
    directory.mkdir(parents=True, exist_ok=True)
    packages = unpacked(
        directory / "debian", arch.debian, (*_PACKAGES, arch.qemu_package),
        f"linux-image-cloud-{arch.debian}",
    )  # fmt: skip
    site = wheels.installed(
        directory / "wheels", roots.CHECKOUT / "requirements.lock", _WHEELS, arch.name,
        _python(packages),
    )  # fmt: skip
    archive = directory / "root.cpio"
    roots.write(archive, packages, site, guests, arch.modules)
    return Prepared(arch, packages.kernel, archive, directory / "console.log")


def _python(packages: Packages) -> tuple[int, int]:
    (library,) = (packages.root / "usr" / "lib").glob("python3.*")
    major, minor = library.name.removeprefix("python").split(".")
    return int(major), int(minor)


async def run(machine: Prepared, tell: Callable[[Finding], None]) -> None:
    """Until it has ended; each finding is told at once. Cancelling ends it.

    Whatever else it says is in its log.
    """
    process = await trio.lowlevel.open_process(
        _command(machine),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        with machine.log.open("wb") as log:
            async for line in _lines(process, log):
                finding = findings.parse(line.decode("utf-8", "replace"))
                if finding is not None:
                    tell(finding)
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()


async def _lines(process: trio.Process, log: BinaryIO) -> AsyncIterator[bytes]:
    """What it says, line by line, logged."""
    assert process.stdout is not None
    rest = b""
    async for data in process.stdout:
        log.write(data)
        log.flush()
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line


def _command(machine: Prepared) -> list[str]:
    arch = machine.arch
    options = (
        f"console={arch.console} loglevel=4 panic=-1 rdinit=/usr/bin/python3"
        f" PYTHONPATH={roots.PYTHONPATH} PYTHONDONTWRITEBYTECODE=1 -- -m tests.kvm.init"
    )
    return [
        arch.binary,
        *(*arch.machine, "-accel", "tcg", "-m", str(MEMORY_MIB)),
        *("-kernel", str(machine.kernel), "-initrd", str(machine.root), "-append", options),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"),
    ]
