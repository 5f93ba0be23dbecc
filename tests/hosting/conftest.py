"""One guest program, built once, and worlds whose QEMUs end with the test."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from radics_mesh.vmm import lock
from radics_mesh.vmm.build import build_image, build_kernel, compile_program
from tests.hosting.world import World

CALLER = Path(__file__).parents[1] / "guest" / "programs" / "caller.c"
PROGRAMS = Path(__file__).parent / "programs"


def build_counter(factory: pytest.TempPathFactory, arch: str) -> Path:
    image = factory.mktemp("counter") / "counter.img"
    build_image([PROGRAMS / "counter.cpp"], image, arch=arch)
    return image


@pytest.fixture(scope="session")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_counter(tmp_path_factory, "x86_64")


@pytest.fixture(scope="session", params=["x86_64", "aarch64"])
def either_counter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Of the node's architecture, and of another one."""
    return build_counter(tmp_path_factory, request.param)


@pytest.fixture(scope="session")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of tests/guest that does what its arguments say."""
    folder = tmp_path_factory.mktemp("caller")
    build_kernel()
    compile_program([CALLER], folder / "caller")
    build_image([folder / "caller"], folder / "caller.img")
    return folder / "caller.img"


@pytest.fixture(scope="session")
def teller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teller")
    build_kernel()
    compile_program([PROGRAMS / "teller.c"], folder / "teller")
    build_image([folder / "teller"], folder / "teller.img")
    return folder / "teller.img"


@pytest.fixture
def ram() -> Iterator[Path]:
    path = Path("/dev/shm") / f"radics-hosting-{os.getpid()}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


@pytest.fixture
def world(nursery: trio.Nursery, tmp_path: Path, ram: Path) -> Iterator[World]:
    yield World(nursery, tmp_path, ram=ram)
    for path in tmp_path.glob("node*/hosting/*/*/lock"):
        found = lock.holder(path)
        if found is not None:  # it would outlive us, as it should outlive a node
            signal.pidfd_send_signal(found[1], signal.SIGKILL)
            os.close(found[1])
