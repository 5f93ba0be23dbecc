"""Machines on real QEMUs (TCG), whose guests are a few instructions: life, death, adoption."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from radics_mesh.errors import CapacityError, GuestError, UsageError
from radics_mesh.vmm import adoption, architecture, lock, probe, qemu, usage
from radics_mesh.vmm.ends import Died, Killed
from radics_mesh.vmm.frames import Hello
from radics_mesh.vmm.launch import Launch, adopt, launch, prepare
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.talk import Event
from tests.patience import PATIENCE_S
from tests.vmm import stubs

HELLO = Hello("test", "dtn://vm.test/", "here", "dtn://here/")
MEMORY_BYTES = 8 << 20


@pytest.fixture
def ram_directory() -> Iterator[Path]:
    path = Path("/dev/shm") / f"radics-test-{os.getpid()}"
    path.mkdir()
    yield path
    left = sorted(path.iterdir())
    for file in left:
        file.unlink()
    path.rmdir()
    assert not left, "RAM files were left behind"


@pytest.fixture
def vm(tmp_path: Path, ram_directory: Path) -> Iterator[Launch]:
    directory = tmp_path / ("a long name so that no Unix socket's path can hold it" * 2)
    directory.mkdir(mode=0o700)
    image = stubs.write(tmp_path, stubs.IDLE)
    yield Launch(directory, ram_directory, image, MEMORY_BYTES, "tcg", HELLO)
    found = lock.holder(directory / "lock")
    if found is not None:  # a failed test's: it would outlive us, as it should outlive a node
        signal.pidfd_send_signal(found[1], signal.SIGKILL)
        os.close(found[1])


def with_guest(vm: Launch, code: bytes) -> Launch:
    vm.image.chmod(0o644)
    vm.image.write_bytes(probe.kernel(code))
    return vm


async def last_event(machine: Machine) -> Event:
    """How the machine ended, after all its other events."""
    last: Event | None = None
    with trio.fail_after(PATIENCE_S):
        async for event in machine.events:
            last = event
    assert last is not None
    return last


async def test_a_guest_that_ends_without_a_word_has_died(vm: Launch, nursery: trio.Nursery) -> None:
    machine = await launch(with_guest(vm, stubs.EXIT))
    nursery.start_soon(machine.run)
    assert await last_event(machine) == Died(stubs.EXIT_CODE, "")
    assert lock.is_free(machine.files.lock)


async def test_kill_returns_when_qemu_is_gone(vm: Launch, nursery: trio.Nursery) -> None:
    machine = await launch(vm)
    nursery.start_soon(machine.run)
    assert not lock.is_free(machine.files.lock)
    with trio.fail_after(PATIENCE_S):
        await machine.kill()
    assert lock.is_free(machine.files.lock)
    assert not Path(f"/proc/{machine.pid}").exists()
    assert await last_event(machine) == Killed()


async def test_kill_works_without_run(vm: Launch) -> None:
    machine = await launch(vm)
    with trio.fail_after(PATIENCE_S):
        await machine.kill()
        await machine.kill()
    assert lock.is_free(machine.files.lock)


async def test_nobody_starts_a_second_qemu_of_a_vm(vm: Launch) -> None:
    machine = await launch(vm)
    with pytest.raises(GuestError, match="still alive"):
        await launch(vm)
    assert machine.files.ram.exists()
    await machine.kill()
    second = await launch(vm)
    await second.kill()


async def test_qemu_has_no_rights(vm: Launch) -> None:
    machine = await prepare(vm)
    session = os.getsid(machine.pid)
    status = Path(f"/proc/{machine.pid}/status").read_text()
    limits = Path(f"/proc/{machine.pid}/limits").read_text()
    await machine.kill()
    assert "NoNewPrivs:\t1" in status
    assert session == machine.pid  # a terminal's ^C is not for it
    assert "Max core file size        0 " in limits
    if os.geteuid() == 0:
        assert "Uid:\t65534\t65534\t65534\t65534" in status


async def test_qemu_may_do_nothing_but_run_its_guest(vm: Launch) -> None:
    """What VMM.md says of its fence, word by word, of the process as the kernel knows it."""
    machine = await prepare(vm)
    found = usage.of(machine.pid)
    await machine.kill()
    assert (found.seccomp, found.no_new_privileges) == (usage.SECCOMP_FILTER, True)
    assert found.capabilities == 0
    assert found.limits["core file"] == 0
    assert found.limits["open files"] == 128
    assert found.limits["address space"] == MEMORY_BYTES + (1 << 30)
    assert found.limits["file size"] == MEMORY_BYTES + (1 << 20)
    words = found.command[found.command.index("-M") :]
    denied = {"obsolete", "elevateprivileges", "spawn", "resourcecontrol"}
    fence = words[words.index("-sandbox") + 1].split(",")
    assert set(fence) == {"on", *(f"{what}=deny" for what in denied)}
    assert {"-nodefaults", "-no-user-config"} <= set(words)
    devices = [words[at + 1].split(",")[0] for at, word in enumerate(words) if word == "-device"]
    assert devices == ["virtio-serial-device", "virtconsole", "isa-debug-exit"]
    assert not any(word.startswith(("-net", "-nic", "-drive", "-blockdev")) for word in words)


async def test_qemu_has_nothing_open_but_what_is_its_vms(vm: Launch) -> None:
    machine = await prepare(vm)
    found = usage.of(machine.pid)
    await machine.kill()
    ours = {str(vm.directory / "lock"), str(vm.directory / "stderr"), str(machine.files.ram)}
    ours |= {str(vm.image), str(machine.files.channel), "/dev/null"}
    ours |= {str(machine.files.channel / f"guest.{way}") for way in ("in", "out")}
    others = {name for name in found.descriptors.values() if name.startswith("/")} - ours
    assert not others - {"/dev/kvm"}
    kinds = {name.partition(":")[0] for name in found.descriptors.values() if name[0] != "/"}
    assert kinds <= {"socket", "pipe", "anon_inode"}


async def test_a_waiting_qemu_has_not_run_its_guest(vm: Launch) -> None:
    machine = await prepare(with_guest(vm, stubs.COUNT))
    with machine.files.ram.open("rb") as ram:
        ram.seek(probe.LOAD)
        assert ram.read(len(stubs.COUNT)) == stubs.COUNT
        ram.seek(0x200000)
        assert ram.read(4) == bytes(4)
    await machine.kill()


async def test_too_little_room_is_a_capacity_error(vm: Launch) -> None:
    room = os.statvfs(vm.ram_directory)
    too_much = (room.f_blocks * room.f_frsize >> 20) + 1 << 20
    with pytest.raises(CapacityError):
        await launch(Launch(vm.directory, vm.ram_directory, vm.image, too_much, "tcg", HELLO))
    assert lock.is_free(vm.directory / "lock")


async def test_a_missing_image_is_a_usage_error(vm: Launch) -> None:
    vm.image.unlink()
    with pytest.raises(UsageError, match="cannot open the image"):
        await launch(vm)


async def test_a_missing_qemu_names_the_package(
    vm: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(vm.directory))
    with pytest.raises(UsageError, match="apt install qemu-system-x86"):
        await launch(vm)
    vm.image.write_bytes(probe.ARM64)
    with pytest.raises(UsageError, match=r"aarch64 guests need: .*apt install qemu-system-arm"):
        await launch(vm)


def test_only_a_hosts_own_guests_are_accelerated() -> None:
    own = architecture.of_host()
    for guests in architecture.ALL.values():
        assert qemu.usable("kvm", guests) == ("kvm" if guests is own else "tcg")


async def test_an_accelerator_that_is_none_is_told_by_qemu(
    vm: Launch, nursery: trio.Nursery
) -> None:
    machine = await launch(
        Launch(vm.directory, vm.ram_directory, vm.image, MEMORY_BYTES, "xyzzy", HELLO)
    )
    nursery.start_soon(machine.run)
    end = await last_event(machine)
    assert isinstance(end, Died)
    assert "xyzzy" in end.stderr
    with pytest.raises(GuestError, match="xyzzy"):
        await prepare(
            Launch(vm.directory, vm.ram_directory, vm.image, MEMORY_BYTES, "xyzzy", HELLO)
        )


ABANDON = """
import sys, trio, os, signal
from pathlib import Path
from radics_mesh.vmm.launch import Launch, launch, prepare
from tests.vmm.test_machine import HELLO, MEMORY_BYTES
async def main():
    directory, ram, image, how = sys.argv[1:]
    start = launch if how == "launch" else prepare
    vm = Launch(Path(directory), Path(ram), Path(image), MEMORY_BYTES, "tcg", HELLO)
    machine = await start(vm)
    print(machine.pid, file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
trio.run(main)
"""


def abandoned(vm: Launch, how: str) -> int:
    """The pid of a QEMU whose node was killed."""
    where = [str(vm.directory), str(vm.ram_directory), str(vm.image), how]
    done = subprocess.run(
        [sys.executable, "-c", ABANDON, *where], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return int(done.stderr)


async def test_a_node_finds_its_qemu_again(vm: Launch, nursery: trio.Nursery) -> None:
    pid = abandoned(vm, "launch")
    with pytest.raises(GuestError, match="still alive"):
        await launch(vm)
    machine = await adopt(vm.directory, HELLO)
    assert machine is not None
    assert machine.pid == pid
    assert machine.process.adopted
    nursery.start_soon(machine.run)
    await machine.kill()
    assert lock.is_free(vm.directory / "lock")
    assert await last_event(machine) == Killed()


async def test_an_adopted_qemu_may_die(vm: Launch, nursery: trio.Nursery) -> None:
    pid = abandoned(vm, "launch")
    machine = await adopt(vm.directory, HELLO)
    assert machine is not None
    nursery.start_soon(machine.run)
    os.kill(pid, signal.SIGKILL)
    assert await last_event(machine) == Died(None, "")


async def test_a_qemu_that_had_not_started_is_killed_not_adopted(vm: Launch) -> None:
    pid = abandoned(vm, "prepare")
    assert await adopt(vm.directory, HELLO) is None
    assert lock.is_free(vm.directory / "lock")
    assert not Path(f"/proc/{pid}/fd/0").exists()


async def test_a_qemu_that_does_not_answer_is_killed_not_adopted(
    vm: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "_MOMENT_S", 0.5)
    pid = abandoned(vm, "launch")
    other = await qemu.control(vm.directory)  # QEMU speaks with one at a time
    assert await adopt(vm.directory, HELLO) is None
    assert lock.is_free(vm.directory / "lock")
    assert not Path(f"/proc/{pid}/fd/0").exists()
    await other.aclose()


async def test_a_stopped_qemu_is_woken(vm: Launch) -> None:
    os.kill(abandoned(vm, "launch"), signal.SIGSTOP)
    machine = await adopt(vm.directory, HELLO)
    assert machine is not None
    await machine.kill()


async def test_nothing_runs_nothing_is_adopted(vm: Launch) -> None:
    assert await adopt(vm.directory, HELLO) is None
    pid = abandoned(vm, "launch")
    os.kill(pid, signal.SIGKILL)
    assert await adopt(vm.directory, HELLO) is None
    assert qemu.Files.read(vm.directory) is None


async def test_cancelling_run_leaves_the_guest_alone(vm: Launch) -> None:
    machine = await launch(vm)
    async with trio.open_nursery() as nursery:
        await nursery.start(machine.run)
        nursery.cancel_scope.cancel()
    assert not lock.is_free(machine.files.lock)
    await machine.kill()
