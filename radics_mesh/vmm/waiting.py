"""A QEMU that is up before anybody knows for which VM, so that starting one does not wait for it.

There are two kinds. One has loaded a stub and executed nothing: it may become any VM of its
architecture and size, cold or from a snapshot. The other has booted an image up to the moment in
which the library OS waits to be told who it is, and is stopped there: it may become a new VM of
that image, and the library OS's start, most of it translation, lies behind it.

At any moment exactly one directory has the lock that such a QEMU holds: first its own, then, by a
rename, the VM's. It executes nothing for the VM before that. So whenever the node ends, the QEMU is
found by its lock, as nobody's or as this VM's that does not run, and is ended.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
import trio

from radics_mesh.clock import Clock, SystemClock
from radics_mesh.errors import GuestError
from radics_mesh.ids import Digest
from radics_mesh.vmm import adoption, entry, images, lock, qemu, ram
from radics_mesh.vmm.architecture import named
from radics_mesh.vmm.image import loaded_runs
from radics_mesh.vmm.launch import Launch
from radics_mesh.vmm.machine import Machine, check_fits
from radics_mesh.vmm.process import Process
from radics_mesh.vmm.qmp import Qmp

log = structlog.get_logger(__name__)

# For the library OS to start, an emulated one on a busy host, too. One that got less far is only
# slower later.
_BOOT_S = 0.3
_MOVED = ("qmp", "channel", "stderr")


@dataclass(frozen=True)
class Kind:
    """What a waiting QEMU can become. `image`: the one that it has booted; None: any."""

    architecture: str
    memory_bytes: int
    image: Digest | None = None


@dataclass(frozen=True)
class Place:
    """Where it is while it waits: `directory` is its own."""

    directory: Path
    ram_directory: Path
    accelerator: str


class Waiting:
    def __init__(self, kind: Kind, files: qemu.Files, process: Process, control: Qmp) -> None:
        self.kind = kind
        self.files = files
        self.process = process
        self._control = control

    @classmethod
    async def start(cls, kind: Kind, place: Place, image: Path | None = None) -> Waiting:
        """`image`: of `kind.image`. On an error nothing is left running."""
        place.directory.mkdir(mode=0o700, parents=True)
        if image is None:
            image = place.directory / "stub"
            image.write_bytes(entry.STUBS[kind.architecture])
            image.chmod(0o444)  # QEMU opens it again as another user
        files = qemu.Files.name(place.directory, place.ram_directory, image, kind.memory_bytes)
        process = control = None
        try:
            process = await qemu.start(files, place.accelerator, paused=True)
            control = await qemu.control(files.directory)
            waiting = cls(kind, files, process, control)
            if kind.image is not None:
                await waiting._boot()
        except BaseException:
            with trio.CancelScope(shield=True):
                await _end(process, files, control)
            raise
        return waiting

    async def _boot(self) -> None:
        await self._control.execute("cont")
        await trio.sleep(_BOOT_S)
        await self._control.execute("stop")

    @property
    def is_alive(self) -> bool:
        return not lock.is_free(self.files.lock)

    async def become(self, order: Launch, *, clock: Clock | None = None) -> Machine:
        """The VM that is ordered, started. MeshError, OSError: it did not, and nothing runs."""
        machine = None
        try:
            if self.kind.image is None:
                await trio.to_thread.run_sync(self._prepare, order)
            files = self._hand_over(order)
            machine = Machine(
                files,
                self.process,
                order.hello,
                clock or SystemClock(),
                paused=True,
                control=self._control,
            )
            log.info("guest started", vm=order.directory.name, pid=machine.pid, waited=True)
            await machine.go()
        except BaseException:
            with trio.CancelScope(shield=True):
                if machine is None:
                    await self.end()
                else:
                    await machine.kill()
            raise
        return machine

    def _prepare(self, order: Launch) -> None:
        """Make its memory what is to start. Blocks."""
        content, memory_bytes = images.read(order.image), order.memory_bytes
        if (state := order.snapshot) is not None:
            check_fits(state, order.image, memory_bytes)
        entry.redirect(self.files.ram, content, named(self.kind.architecture))
        if state is None:
            entry.lay_image(self.files.ram, memory_bytes, content)
            return
        ram.lay_template(self.files.ram, memory_bytes, loaded_runs(content, memory_bytes))
        ram.lay_pages(state.runs(), self.files.ram)

    def _hand_over(self, order: Launch) -> qemu.Files:
        """Make it the VM's, step by step so that a node that ends in between leaves no doubt: its
        RAM file is always named by whoever has the lock, or by both. Some renames, so not worth a
        thread."""
        held = lock.take(order.directory / "lock")
        if held is None:
            raise GuestError(f"a QEMU of {order.directory.name} is still alive")
        try:
            if (earlier := qemu.Files.read(order.directory)) is not None:
                earlier.discard()
            files = replace(self.files, directory=order.directory, image=order.image)
            files.write()
            (self.files.directory / "vm.json").unlink()
            for name in _MOVED:
                (self.files.directory / name).rename(order.directory / name)
            self.files.lock.rename(files.lock)
        finally:
            os.close(held)
        shutil.rmtree(self.files.directory, ignore_errors=True)
        return files

    async def end(self) -> None:
        """On return it is gone. GuestError: it would not go."""
        await _end(self.process, self.files, self._control)


async def _end(process: Process | None, files: qemu.Files, control: Qmp | None) -> None:
    if control is not None:
        await trio.aclose_forcefully(control)
    if process is not None:
        await adoption.end(process, files.lock)
    files.discard()
    shutil.rmtree(files.directory, ignore_errors=True)
