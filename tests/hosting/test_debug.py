"""What a node says of a guest's program: how it ended, and where it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from radics_mesh.vmm.build import build_image
from tests.hosting.conftest import missing
from tests.hosting.world import MEMORY_BYTES, Site, World, until

PROGRAMS = Path(__file__).parents[1] / "guest" / "programs"


@pytest.fixture(scope="session")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if missing:
        pytest.skip(f"no {', '.join(missing)} on this machine")
    image = tmp_path_factory.mktemp("ending") / "ending.img"
    build_image([PROGRAMS / "ending.cpp"], image, debug=True)
    return image


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
    assert thread.startswith("[radics]   thread 1 (e): ")
    assert frames[0].startswith("[radics]   #0 0x")
    (choose,) = [line for line in frames if " in choose(std::string const&)" in line]
    assert choose.endswith(" at ending.cpp:43")
    assert " in main+0x" in frames[frames.index(choose) + 1]
