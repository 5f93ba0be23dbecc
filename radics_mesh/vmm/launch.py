"""How a guest comes to run here: a VM is launched, prepared for a snapshot, or adopted.

machine = await launch(Launch(...))      cold, or warm from a snapshot
machine = await adopt(directory, hello)  after a node's restart; None: nothing runs
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from radics_mesh.clock import Clock, SystemClock
from radics_mesh.vmm import adoption, qemu
from radics_mesh.vmm.frames import Hello
from radics_mesh.vmm.machine import Machine, check_fits
from radics_mesh.vmm.manifest import Signed

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Launch:
    """What a VM starts from. `directory` is the VM's own; `ram_directory` is on a tmpfs."""

    directory: Path
    ram_directory: Path
    image: Path
    memory_bytes: int
    accelerator: str
    hello: Hello
    snapshot: Signed | None = None


async def launch(launch: Launch, *, clock: Clock | None = None) -> Machine:
    """Start the VM, cold or from its snapshot. Nothing is left running when this raises.

    UsageError: no QEMU, no image. CapacityError: no room. PeerError: the snapshot does not fit,
    which is found out before anything is started.
    """
    if launch.snapshot is None:
        return await _start(launch, clock, paused=False)
    machine = await prepare(launch, clock=clock)
    try:
        await machine.warm_start(launch.snapshot)
    except BaseException:
        with trio.CancelScope(shield=True):
            await machine.kill()
        raise
    return machine


async def prepare(launch: Launch, *, clock: Clock | None = None) -> Machine:
    """A QEMU that waits for `warm_start`; its own start-up is then no part of the pause."""
    if launch.snapshot is not None:
        check_fits(launch.snapshot, launch.image, launch.memory_bytes)
    machine = await _start(launch, clock, paused=True)
    try:
        await machine.ready_to_start()
    except BaseException:
        with trio.CancelScope(shield=True):
            await machine.kill()
        raise
    return machine


async def _start(launch: Launch, clock: Clock | None, *, paused: bool) -> Machine:
    files = qemu.Files.name(
        launch.directory, launch.ram_directory, launch.image, launch.memory_bytes
    )
    process = await qemu.start(files, launch.accelerator, paused=paused)
    log.info("guest started", vm=launch.directory.name, pid=process.pid, paused=paused)
    return Machine(files, process, launch.hello, clock or SystemClock(), paused=paused)


async def adopt(directory: Path, hello: Hello, *, clock: Clock | None = None) -> Machine | None:
    """The VM's QEMU that has outlived an earlier node process; None when none runs (any more).

    One that does not answer, or had not been started yet, is killed. GuestError: it is alive and
    cannot be found or killed; then nothing may be started for this VM.
    """
    files = qemu.Files.read(directory)
    process = await adoption.find(directory / "lock")
    if process is not None:
        process.signal(signal.SIGCONT)  # a parked one is stopped
    if process is not None and files is not None and await adoption.is_running(directory):
        log.info("guest adopted", vm=directory.name, pid=process.pid)
        return Machine(files, process, hello, clock or SystemClock(), paused=False)
    if process is not None:
        log.warning("orphan killed", vm=directory.name, pid=process.pid)
        await adoption.end(process, directory / "lock")
    if files is not None:
        files.discard()
    return None
