"""QEMUs that wait for VMs: they become them, cold and warm, and end with the node."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest
import trio

from radics_mesh.errors import GuestError, LinkError
from radics_mesh.hosting import pool
from radics_mesh.hosting.strays import end_strays
from radics_mesh.ids import VmId
from radics_mesh.vmm import lock
from radics_mesh.vmm.frames import Hello
from radics_mesh.vmm.image import architecture_of
from radics_mesh.vmm.launch import Launch, adopt
from radics_mesh.vmm.waiting import Kind, Place, Waiting
from tests.hosting.test_service import finish, publish_lines, run_counter
from tests.hosting.world import MEMORY_BYTES, World, fnv, until
from tests.vmm import stubs

HELLO = Hello("test", "dtn://vm.test/", "here", "dtn://here/")
FREE = Kind("x86_64", 8 << 20)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "QUIET_S", 0.05)


def waiting_pids(world: World, number: int = 0) -> list[int]:
    site = world.sites[number]
    return [waiting.process.pid for waiting in site.hosting.pool.waiting]


async def test_a_vm_runs_and_resumes_in_qemus_that_waited(
    world: World, either_counter: Path, tmp_path: Path
) -> None:
    """Cold in one that has loaded nothing, cold in one that has booted its image, and warm."""
    world.pool_size = 2
    a = await world.start(0)
    pool_ = a.hosting.pool
    lines = publish_lines(tmp_path / "text", 40)
    await a.sources.publish("text", tmp_path / "text", 100.0)

    def waits(booted: bool) -> list[int]:
        fit = [w for w in pool_.waiting if w.kind.memory_bytes == MEMORY_BYTES]
        return [w.process.pid for w in fit if (w.kind.image is not None) is booted]

    async def run_in(pids: list[int]) -> VmId:
        await run_counter(a, either_counter, a, ("text",))
        assert a.vm().pid in pids
        return a.vm().vm_id

    pool_.want(Kind(architecture_of(either_counter.read_bytes()).name, MEMORY_BYTES))
    await until(lambda: bool(waits(False)))
    await run_in(waits(False))
    await a.hosting.stop("counter")
    await until(lambda: bool(waits(True) and waits(False)))
    vm = await run_in(waits(True))
    await a.hosting.save("counter")
    await until(lambda: bool(waits(False)))
    pids = waits(False)
    await a.hosting.resume("counter")
    assert a.vm().pid in pids
    await finish(a, vm, a, 0)
    assert a.reports[-2:] == [f"end 40 {fnv(lines)} 0", "mail 1 stop"]


async def test_they_end_with_the_node(world: World) -> None:
    world.pool_size = 2
    a = await world.start(0)
    await until(lambda: len(waiting_pids(world)) == 2)
    locks = [w.files.lock for w in a.hosting.pool.waiting]
    rams = [w.files.ram for w in a.hosting.pool.waiting]
    assert not any(lock.is_free(path) for path in locks)
    await world.stop(0)
    assert not any(path.exists() for path in [*locks, *rams])


STEPS = 9
ORDERS = """
import os, sys
from pathlib import Path
import trio
from tests.hosting.test_pool import FREE, HELLO, STEPS
from radics_mesh.vmm.launch import Launch
from radics_mesh.vmm.waiting import Place, Waiting

root, ram, image = map(Path, sys.argv[1:])

def crash(event, arguments):
    global left
    if left is not None and event in ("os.rename", "os.remove"):
        left -= 1
        if left < 0:
            os._exit(42)

async def order(steps):
    global left
    waiting = await Waiting.start(FREE, Place(root / f"pool{steps}" / "one", ram, "tcg"))
    left = steps
    vm = root / f"vm{steps}"
    vm.mkdir()
    await waiting.become(Launch(vm, ram, image, FREE.memory_bytes, "tcg", HELLO))
    os._exit(0)

left = None
sys.addaudithook(crash)
for steps in range(STEPS):
    if not (child := os.fork()):
        trio.run(order, steps)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), file=sys.stderr)
"""


async def test_a_node_that_ends_while_it_hands_one_over_leaves_no_doubt(
    tmp_path: Path, ram: Path
) -> None:
    """Before each file that it moves: one lock finds the QEMU, which is ended or adopted."""
    image = stubs.write(tmp_path, stubs.IDLE)
    done = await trio.run_process(
        [sys.executable, "-c", ORDERS, tmp_path, ram, image], capture_stderr=True
    )
    codes = [int(word) for word in done.stderr.split()]
    adopted = 0
    for steps in range(STEPS):
        pool_, vm = tmp_path / f"pool{steps}", tmp_path / f"vm{steps}"
        holders = [lock.holder(path) for path in (pool_ / "one" / "lock", vm / "lock")]
        assert len([holder for holder in holders if holder is not None]) == 1
        await end_strays(pool_, ())
        assert not list(pool_.iterdir())
        machine = await adopt(vm, HELLO)
        if machine is not None:
            adopted += 1
            assert machine.files.ram.exists()
            await machine.kill()
        assert lock.is_free(vm / "lock")
    assert not list(ram.iterdir())
    crashed = codes.count(42)
    assert codes == [42] * crashed + [0] * (STEPS - crashed)
    assert crashed > 5  # else it was not interrupted everywhere
    assert adopted == STEPS - crashed > 0


async def test_one_that_has_died_is_of_no_use(tmp_path: Path, ram: Path) -> None:
    vm = tmp_path / "vm"
    vm.mkdir()
    image = stubs.write(tmp_path, stubs.IDLE)
    waiting = await Waiting.start(FREE, Place(tmp_path / "pool" / "one", ram, "tcg"))
    waiting.process.signal(signal.SIGKILL)
    await waiting.process.wait()
    with pytest.raises((LinkError, GuestError)):
        await waiting.become(Launch(vm, ram, image, FREE.memory_bytes, "tcg", HELLO))
    assert lock.is_free(vm / "lock")
    assert not list(ram.iterdir())
