"""Guests are built once a session, from tests/guest/programs, when a test first asks for them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from radics_mesh.vmm.build import build_image, build_kernel, compile_program

PROGRAMS = Path(__file__).parent / "programs"

needed = ("qemu-system-x86_64", "g++", "make")
missing = [tool for tool in needed if shutil.which(tool) is None]


@dataclass(frozen=True)
class Guest:
    """One program, compiled once: as an image, and as the very same ELF file on this machine."""

    image: Path
    binary: Path

    def natively(self) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.binary],
            cwd=self.binary.parent,
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
        )


@pytest.fixture(scope="session")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Guest]:
    if missing:
        pytest.skip(f"no {', '.join(missing)} on this machine")
    folder = tmp_path_factory.mktemp("guests")

    @cache
    def build(name: str) -> Guest:
        binary, image = folder / name, folder / f"{name}.img"
        build_kernel()
        (source,) = PROGRAMS.glob(f"{name}.c*")
        compile_program([source], binary)
        build_image([binary], image)
        return Guest(image, binary)

    return build
