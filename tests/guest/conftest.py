"""Guests are built once a session, from tests/guest/programs, when a test first asks for them.

A test that takes `guest` runs for each architecture; one that takes `guest_x86_64` for one only.
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from radics_mesh.vmm.build import build_image, build_kernel, compile_program
from tests.patience import PATIENCE_S

PROGRAMS = Path(__file__).parent / "programs"

ARCHITECTURES = ("x86_64", "aarch64")
HERE = platform.machine()


@dataclass(frozen=True)
class Guest:
    """One program, compiled once: as an image, and to run on this machine, as the very same ELF
    file where they are of one architecture."""

    arch: str
    image: Path
    source: Path
    binary: Path

    @property
    def is_native(self) -> bool:
        return self.arch == HERE

    def natively(self) -> subprocess.CompletedProcess[bytes]:
        binary = self.binary if self.is_native else _native_binary(self.source, self.binary.parent)
        return subprocess.run(
            [binary],
            cwd=self.binary.parent,
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
        )


@cache
def _native_binary(source: Path, folder: Path) -> Path:
    build_kernel(HERE)
    compile_program([source], folder / f"{source.stem}.here", arch=HERE)
    return folder / f"{source.stem}.here"


def _builder(arch: str, factory: pytest.TempPathFactory) -> Callable[[str], Guest]:
    folder = factory.mktemp(f"guests-{arch}")

    @cache
    def build(name: str) -> Guest:
        binary, image = folder / name, folder / f"{name}.img"
        build_kernel(arch)
        (source,) = PROGRAMS.glob(f"{name}.c*")
        compile_program([source], binary, arch=arch)
        build_image([binary], image, arch=arch)
        return Guest(arch, image, source, binary)

    return build


@pytest.fixture(scope="session", params=ARCHITECTURES)
def guest(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Guest]:
    return _builder(request.param, tmp_path_factory)


@pytest.fixture(scope="session")
def guest_x86_64(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Guest]:
    return _builder("x86_64", tmp_path_factory)


@pytest.fixture(scope="session")
def guest_aarch64(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Guest]:
    return _builder("aarch64", tmp_path_factory)
