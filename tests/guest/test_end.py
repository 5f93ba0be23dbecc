"""How a program ended: said once, with a reason and a backtrace that has names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from radics_mesh.debug.backtrace import Backtracer
from radics_mesh.debug.explain import explain
from radics_mesh.debug.explainer import explained
from radics_mesh.debug.image import read_image
from radics_mesh.vmm import outputs
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.outputs import Exit
from radics_mesh.vmm.threads import ThreadReport
from tests.guest.channel_host import Host, journey
from tests.guest.conftest import PROGRAMS
from tests.guest.plain import plain_status, run_plain
from tests.guest.seen import World

SIGILL, SIGABRT, SIGKILL, SIGSEGV = 4, 6, 9, 11


@pytest.fixture(scope="session", params=["x86_64", "aarch64"])
def ending(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with symbols."""
    image = tmp_path_factory.mktemp(f"ending-{request.param}") / "ending.img"
    build_image([PROGRAMS / "ending.cpp"], image, arch=request.param, debug=True)
    return image


def ended(world: World) -> Exit:
    output = outputs.parse_output(world.exit_output)
    assert isinstance(output.body, Exit)
    return output.body


def thread(world: World) -> ThreadReport:
    found = ended(world).thread
    assert found is not None
    return found


def backtrace(image: Path, world: World) -> list[str]:
    """The functions, innermost first, and the lines as they are shown."""
    (lines,) = explained(Backtracer(read_image(image.read_bytes())), [thread(world)], {})
    return lines[1:]


def functions(lines: list[str]) -> list[str]:
    return [m[1] if (m := re.search(r" in (.*?)\+0x", line)) else "?" for line in lines]


WAYS = {
    "fault": ((1, SIGSEGV), "touching 0x0", ["deep::Well::poke(int volatile*)", "choose("]),
    "abort": ((1, SIGABRT), "killed by SIGABRT", ["raise", "abort", "choose("]),
    "throw": ((1, SIGABRT), "killed by SIGABRT", ["std::terminate()", "__cxa_throw", "choose("]),
    "overflow": ((1, SIGSEGV), "its stack is full", ["deep::down(int)", "deep::down(int)"]),
    "null": ((1, SIGSEGV), "at 0x0 touching 0x0", ["?", "choose("]),
    "memory": ((2, SIGKILL), "out of memory", ["touch_all()", "choose("]),
    "thread": ((1, SIGSEGV), "touching 0x8", ["deep::Well::poke(int volatile*)", "start_thread"]),
    "handler": ((1, SIGSEGV), "touching 0x0", ["deep::Well::poke(int", "handler(int)", "raise"]),
    "illegal": ((1, SIGILL), "killed by SIGILL at 0x", ["choose("]),
}


@pytest.mark.parametrize("how", WAYS)
def test_the_host_is_told_how_and_where(ending: Path, how: str) -> None:
    (kind, status), why, expected = WAYS[how]
    world = World()
    with Host(ending, world, args=("ending", how)) as host:
        assert host.finish() == plain_status(128 + status)
    assert world.exit is not None
    assert world.exit[:2] == (kind, status)
    assert why in world.exit[2]
    names = functions(backtrace(ending, world))
    places = [next(i for i, n in enumerate(names) if n.startswith(part)) for part in expected]
    assert places == sorted(places)
    if how not in ("overflow", "thread"):
        assert "main" in names
        assert names[-1] == "_start"


def test_a_frame_has_its_line(ending: Path) -> None:
    world = World()
    with Host(ending, world, args=("ending", "fault")) as host:
        host.finish()
    lines = (PROGRAMS / "ending.cpp").read_text().splitlines()
    number = 1 + next(n for n, line in enumerate(lines) if "*p = 7;" in line)
    assert backtrace(ending, world)[0].endswith(f" at ending.cpp:{number}")


async def test_a_child_explains_and_a_broken_image_is_no_harm(ending: Path, tmp_path: Path) -> None:
    world = World()
    with Host(ending, world, args=("ending", "fault")) as host:
        host.finish()
    (lines,) = await explain(ending, [thread(world)])
    assert lines[0] == "thread 1 (ending): running, or ready to"
    assert lines[1:] == backtrace(ending, world)
    (tmp_path / "broken").write_bytes(b"\x7fELF")
    told = await explain(tmp_path / "broken", [thread(world)])
    assert told == [["thread 1 (ending)", "(no backtrace could be made)"]]


def test_without_symbols_there_are_the_same_addresses(ending: Path) -> None:
    world = World()
    with Host(ending, world, args=("ending", "throw")) as host:
        host.finish()
    image = ending.read_bytes()
    stripped = image[: image.rindex(b"\x28\xb5\x2f\xfd")]  # no symbols behind it
    (lines,) = explained(Backtracer(read_image(stripped)), [thread(world)], {})
    with_names = backtrace(ending, world)
    assert [line.split()[:2] for line in lines[1:]] == [line.split()[:2] for line in with_names]


def test_an_exit_brings_no_thread(ending: Path) -> None:
    world = World()
    with Host(ending, world, args=("ending", "none")) as host:
        assert host.finish() == plain_status(9)
    assert ended(world) == Exit(0, 9, "")


def test_by_hand_it_says_why_and_where(ending: Path) -> None:
    done = run_plain(ending)
    why, where = done.stdout.decode().splitlines()
    assert re.fullmatch(r"radics: killed by SIGSEGV at 0x[0-9a-f]+ touching 0x0", why)
    assert re.fullmatch(r"radics: called from( 0x[0-9a-f]+){2,}", where)
    assert done.returncode == plain_status(128 + SIGSEGV)


def test_an_end_that_no_host_has_kept_is_said_again_after_a_move(ending: Path) -> None:
    world = World()
    with journey(ending, world, args=("ending", "abort")) as move:
        host = move(acknowledge=False)
        host.until(lambda: world.exit is not None)
        first = world.exit_output
        world.exit_output, world.received = b"", 0  # that host lost all of it
        world.stdout.clear()
        world.stderr.clear()
        host = move()
        assert host.finish() == plain_status(128 + SIGABRT)
    assert world.exit_output == first
