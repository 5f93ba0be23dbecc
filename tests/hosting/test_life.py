"""What becomes of VMs: killed, begun anew by their policy, held to their limits and quotas."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import trio

from radics_mesh.config import Quota
from radics_mesh.errors import CapacityError, GuestError, LinkError, UsageError
from radics_mesh.hosting import vm_restarts
from radics_mesh.hosting.conduct import Conduct, Restart
from radics_mesh.vmm import usage
from radics_mesh.vmm.build import build_image
from tests.hosting.conftest import PROGRAMS
from tests.hosting.world import Site, World, until

MEMORY_BYTES = 16 << 20


@pytest.fixture(scope="session")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    image = tmp_path_factory.mktemp("lives") / "lives.img"
    build_image([PROGRAMS / "lives.c"], image)
    return image


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_restarts, "RETRY_S", (0.05,))


async def run(site: Site, image: Path, *words: str, conduct: Conduct | None = None) -> None:
    await site.hosting.run_vm(
        image, "one", arguments=words, memory_bytes=MEMORY_BYTES, conduct=conduct or Conduct()
    )


async def printed(site: Site, name: str = "one") -> list[str]:
    return b"".join([text async for text in site.hosting.logs(name)]).decode().splitlines()


async def until_printed(site: Site, lines: list[str]) -> None:
    path = site.hosting.named("one").life.directory / "log"
    await until(lambda: path.read_text().splitlines() == lines)


async def test_a_program_that_fails_begins_anew_so_often(world: World, lives: Path) -> None:
    a = await world.start(0)
    conduct = Conduct(Restart.parse("on-failure:2"))
    await run(a, lives, "exit", "3", conduct=conduct)
    await until(lambda: a.has("one", "exited"))
    assert await printed(a) == ["begun"] * 3
    vm = a.vm("one")
    assert (vm.status, vm.branch, a.hosting.named("one").row.settings.conduct.times) == (3, 2, 2)
    texts = [row.text for row in a.hosting.journal()]
    assert any("exited with status 3; begins anew, 1 of 2" in text for text in texts)


async def test_one_that_ends_well_is_left_alone_unless_always(world: World, lives: Path) -> None:
    a = await world.start(0)
    await run(a, lives, "exit", "0", conduct=Conduct(Restart.parse("on-failure")))
    await until(lambda: a.has("one", "exited"))
    assert await printed(a) == ["begun"]
    await run(a, lives, "exit", "0", conduct=Conduct(Restart.parse("always")))
    await until(lambda: a.vm("one").branch > 2)
    await a.hosting.kill("one")
    assert a.vm("one").state == "stopped"


async def test_a_restarted_node_does_what_the_policy_says(world: World, lives: Path) -> None:
    """One that waits to begin anew begins; one that was stopped or has ended stays so; and one
    whose QEMU was killed meanwhile goes on, whatever its policy."""
    a = await world.start(0)
    await run(a, lives, "crash", conduct=Conduct(Restart.parse("always")))
    await until(lambda: a.vm("one").branch > 0)
    for name in ("kept", "stopped", "dead"):
        await a.hosting.run_vm(lives, name, memory_bytes=MEMORY_BYTES)
    await a.hosting.kill("stopped")
    pid = a.vm("dead").pid
    kept = a.vm("kept").pid
    assert pid is not None
    branch = a.vm("one").branch
    await world.stop(0)
    os.kill(pid, signal.SIGKILL)
    a = await world.start(0)
    await until(lambda: a.vm("one").branch > branch)
    await until(lambda: a.has("dead", "running"))
    assert a.vm("kept").pid == kept
    assert a.vm("stopped").state == "stopped"
    await a.hosting.kill("one")


async def test_an_ended_state_is_not_gone_on_from(world: World, lives: Path) -> None:
    """The life that was saved and resumed has ended; the next one is of the image."""
    a = await world.start(0)
    await run(a, lives, "wait", conduct=Conduct(Restart.parse("always")))
    await until_printed(a, ["begun"])
    await a.hosting.save("one")
    await a.hosting.resume("one")
    await until(lambda: a.has("one", "running"))
    vm = a.hosting.named("one")
    assert vm.life.guest is not None
    await vm.call(lambda: vm.begin_anew("has ended"))
    await until(lambda: a.has("one", "running"))
    await until_printed(a, ["begun", "begun"])
    await a.hosting.kill("one")


async def test_kill_does_not_wait_for_what_is_going_on(world: World, lives: Path) -> None:
    a = await world.start(0)
    await run(a, lives, "spin")
    await until(lambda: a.has("one", "running"))
    pid = a.vm("one").pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # its guest answers nobody: parking takes its time
    async with trio.open_nursery() as nursery:
        failures: list[Exception] = []

        async def save() -> None:
            try:
                await a.hosting.save("one")
            except (GuestError, LinkError, UsageError) as error:
                failures.append(error)

        nursery.start_soon(save)
        await until(lambda: a.hosting.named("one").row.parking)
        await a.hosting.kill("one")
    assert failures
    assert a.vm("one").state == "stopped"
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(UsageError, match="has ended"):
        await a.hosting.kill("one")


async def test_a_share_of_a_processor(world: World, lives: Path) -> None:
    a = await world.start(0)
    await run(a, lives, "spin", conduct=Conduct(cpu_percent=20))
    await until(lambda: a.has("one", "running"))
    pid = a.vm("one").pid
    assert pid is not None
    before, began = usage.of(pid).cpu_s, time.monotonic()
    await trio.sleep(1.0)
    # In the long run: what it got too much of, while we were late, it gets less of later.
    await until(lambda: usage.of(pid).cpu_s - before < 0.3 * (time.monotonic() - began))
    await a.hosting.save("one")  # a guest that is stopped time and again parks all the same
    assert a.vm("one").state == "saved"


async def test_a_rate_of_messages(world: World, lives: Path) -> None:
    a = await world.start(0)
    await run(a, lives, "say", "60")
    await until_printed(a, ["begun", "said"])
    assert not a.vm("one").note
    await a.hosting.kill("one")
    await run(a, lives, "say", "60", conduct=Conduct(messages_s=20))
    await until(lambda: "says too much" in a.vm("one").note)
    await until_printed(a, ["begun", "said"])  # nothing is lost by it


async def test_storage_bounds_what_is_kept_of_it(world: World, lives: Path) -> None:
    a = await world.start(0)
    await run(a, lives, "fill", "4", conduct=Conduct(storage_bytes=2 << 20))
    await until_printed(a, ["begun", "filled"])
    with pytest.raises(GuestError, match="storage would be"):
        await a.hosting.save("one")
    await until(lambda: a.has("one", "running"))
    assert not a.hosting.named("one").life.snapshots.stored()


async def test_members_have_quotas_for_what_comes_too(world: World, lives: Path) -> None:
    a = await world.start(0)
    world.quotas[1] = (Quota(a.id.text, vms=1), Quota("*", memory_bytes=40 << 20))
    b = await world.start(1)
    world.connect(0, 1)
    await run(a, lives)
    await a.hosting.run_vm(lives, "two", memory_bytes=MEMORY_BYTES)
    await a.hosting.migrate("one", b.id)
    with pytest.raises(LinkError, match="is 1 VMs, and it has 1"):
        await a.hosting.migrate("two", b.id)
    await until(lambda: a.has("two", "running"))
    for name in ("own", "own2"):  # another member's
        await b.hosting.run_vm(lives, name, memory_bytes=MEMORY_BYTES)
    with pytest.raises(CapacityError, match="with this VM it would have 48"):
        await b.hosting.run_vm(lives, "own3", memory_bytes=MEMORY_BYTES)
    await b.hosting.kill("one")
    await a.hosting.migrate("two", b.id)
    await b.hosting.kill("two")


@pytest.mark.parametrize("text", ["", "often", "always:3", "on-failure:0", "no:1", "on-failure:x"])
def test_what_is_no_restart_policy(text: str) -> None:
    with pytest.raises(UsageError, match="restart policy"):
        Restart.parse(text)


@pytest.mark.parametrize(
    "text", ["", "barn", "barn=", "=vms:1", "barn=vms:x", "barn=vms:1,", "barn=disk:3"]
)
def test_what_is_no_quota(text: str) -> None:
    with pytest.raises(UsageError, match="quota"):
        Quota.parse(text)


def test_a_quota() -> None:
    assert Quota.parse("a=b=vms:2,storage:3") == Quota("a=b", 2, None, 3 << 20)


async def test_conduct_moves_along(world: World, lives: Path) -> None:
    a, b = await world.start(0), await world.start(1)
    world.connect(0, 1)
    conduct = Conduct(Restart.parse("always"), cpu_percent=50, storage_bytes=8 << 20)
    await run(a, lives, conduct=conduct)
    await until_printed(a, ["begun"])
    await a.hosting.migrate("one", b.id)
    await until(lambda: b.has("one", "running"))
    vm = b.hosting.named("one")
    assert vm.row.settings.conduct == conduct
    assert vm.life.log.max_bytes == 1 << 20
    await vm.call(lambda: vm.begin_anew("has ended"))
    await until_printed(b, ["begun"])  # from its image: the state that came had said that on A
    await b.hosting.kill("one")
