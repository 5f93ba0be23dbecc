"""What a node says of a guest's program: how it ended, and where it was."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from radics_mesh.debug.core import write_core
from radics_mesh.debug.saved import load_saved
from radics_mesh.errors import UsageError
from radics_mesh.vmm.build import build_image
from tests.hosting.world import MEMORY_BYTES, Site, World, until

PROGRAMS = Path(__file__).parents[1] / "guest" / "programs"


def built(factory: pytest.TempPathFactory, source: str) -> Path:
    image = (factory.mktemp("debug") / source).with_suffix(".img")
    build_image([PROGRAMS / source], image, debug=True)
    return image


@pytest.fixture(scope="session")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory, "ending.cpp")


@pytest.fixture(scope="session")
def waiters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory, "waiters.c")


async def logged(site: Site, name: str) -> list[str]:
    text = b"".join([part async for part in site.hosting.logs(name, follow=True)])
    return text.decode().splitlines()


async def test_a_killed_program_leaves_reason_and_backtrace(world: World, ending: Path) -> None:
    site = await world.start(0)
    await site.hosting.run_vm(ending, "e", arguments=("throw",), memory_bytes=MEMORY_BYTES)
    await until(lambda: site.has("e", state="exited"))
    vm = site.vm("e")
    assert (vm.status, vm.note) == (128 + 6, "killed by SIGABRT")
    assert site.hosting.journal()[-1].text == "e killed by SIGABRT"
    thrown, what, why, thread, *frames = await logged(site, "e")
    assert thrown == "terminate called after throwing an instance of 'std::runtime_error'"
    assert what == "  what():  thrown"
    assert why == "[radics] killed by SIGABRT"
    assert thread == "[radics]   in thread 1 (e)"
    assert frames[0].startswith("[radics]   #0 0x")
    (choose,) = [line for line in frames if " in choose(std::string const&)" in line]
    lines = (PROGRAMS / "ending.cpp").read_text().splitlines()
    number = 1 + next(n for n, line in enumerate(lines) if "throw std::" in line)
    assert choose.endswith(f" at ending.cpp:{number}")
    assert " in main+0x" in frames[frames.index(choose) + 1]


async def test_stack_and_core_of_a_vm(world: World, waiters: Path, tmp_path: Path) -> None:
    site = await world.start(0)
    await site.hosting.run_vm(waiters, "w", memory_bytes=MEMORY_BYTES)
    await until(lambda: site.has("w"))
    with pytest.raises(UsageError, match="w is running, not saved"):
        await site.hosting.saved("w")
    place = "receive from stream 1 ('numbers')"
    told: list[list[str]] = []
    while not any(place in title for title, *_ in told) or len(told) < 6:
        told = await site.hosting.stack("w")
    (main,) = [frames for title, *frames in told if place in title]
    assert any(" in main+0x" in line and " at waiters.c:" in line for line in main)

    await site.hosting.save("w")
    saved = await site.hosting.stack("w")
    assert [lines[1:] for lines in saved if "computer" not in lines[0]] == [
        lines[1:] for lines in told if "computer" not in lines[0]
    ]
    image, guest = load_saved(*(await site.hosting.saved("w")))
    assert write_core(guest, image.program.architecture, tmp_path / "core") == 6
    assert (tmp_path / "core").read_bytes()[:4] == b"\x7fELF"
    one, other = await site.hosting.saved("w")
    by_hand = await core(other, image=one, output=tmp_path / "again")
    assert by_hand == (0, f"{tmp_path / 'again'}: 6 threads\n", "")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "core").read_bytes()
    status, _, said = await core(one, image=one, output=tmp_path / "none")
    assert (status, said) == (1, "error: not a snapshot\n")
    assert not (tmp_path / "none").exists()


async def core(snapshot: Path, *, image: Path, output: Path) -> tuple[int, str, str]:
    """The command, for a snapshot's file."""
    words = ["core", str(snapshot), "--image", str(image), "-o", str(output)]
    done = await trio.run_process(
        [sys.executable, "-m", "radics_mesh", *words],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()
