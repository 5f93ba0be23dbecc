"""QEMUs that wait for VMs: started ahead, so that `run` and `resume` are quick.

There are never more than the configuration says. Which: for what was started here last, and one
more each time it is taken. They are made one after the other, and only when nobody has taken one
for a while, so that many starts in a row are not slowed down by what they would not use.

They end with the node; those of a node that was killed are ended when it comes back.
"""

from __future__ import annotations

import secrets
from pathlib import Path

import structlog
import trio

from radics_mesh.clock import Clock
from radics_mesh.errors import MeshError
from radics_mesh.hosting.strays import end_strays
from radics_mesh.ids import Digest
from radics_mesh.vmm import architecture
from radics_mesh.vmm.accelerator import TCG
from radics_mesh.vmm.image_store import ImageStore
from radics_mesh.vmm.launch import Launch
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.qemu import usable
from radics_mesh.vmm.waiting import Kind, Place, Waiting

log = structlog.get_logger(__name__)

QUIET_S = 1.0
# One that has booted an image has it in memory: large ones are not kept there for nobody.
IMAGE_MAX_BYTES = 16 << 20


class Pool:
    """`path` is a directory of its own, on the same file system as those of VMs; `memory_bytes` is
    what VMs have when nobody says."""

    def __init__(
        self,
        path: Path,
        *,
        ram_directory: Path,
        accelerator: str,
        images: ImageStore,
        clock: Clock,
        size: int,
        memory_bytes: int,
    ) -> None:
        self._path = path
        self._ram_directory = ram_directory
        self._accelerator = accelerator
        self._images = images
        self._clock = clock
        self.size = size
        # The last one asked for first.
        self._wanted = [Kind(architecture.of_host().name, memory_bytes)]
        self._waiting: list[Waiting] = []
        self._taken = trio.Event()

    @property
    def waiting(self) -> list[Waiting]:
        return list(self._waiting)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep it filled until cancelled; then none is left."""
        await end_strays(self._path, ())
        task_status.started()
        try:
            while True:
                self._taken = trio.Event()
                if not await self._make_one():
                    await self._taken.wait()
        finally:
            with trio.CancelScope(shield=True):
                while self._waiting:
                    await self._end(self._waiting.pop())

    async def take(self, order: Launch, image: Digest) -> Machine | None:
        """The VM that is ordered, of `image`, started in one that waits; None: start it yourself,
        nothing runs. Cancelled: nothing runs either."""
        if self.size == 0:
            return None
        name = self._images.architecture(image).name
        whole = Kind(name, order.memory_bytes)
        booted = Kind(name, order.memory_bytes, image)
        cold = order.snapshot is None and self._may_boot(booted)
        found = (cold and self._pop(booted)) or self._pop(whole)
        self.want(booted if cold else whole)
        if not found:
            return None
        try:
            return await found.become(order, clock=self._clock)
        except (MeshError, OSError) as error:
            log.warning("a waiting qemu was of no use", reason=str(error))
            return None

    def has(self, image: Digest, memory_bytes: int) -> bool:
        """Whether one waits for a snapshot of such a VM. If not, it is wanted from now on.

        UsageError, GuestError: the image is not here.
        """
        whole = Kind(self._images.architecture(image).name, memory_bytes)
        if any(waiting.kind == whole for waiting in self._waiting):
            return True
        if self.size:
            self.want(whole)
        return False

    def _may_boot(self, kind: Kind) -> bool:
        """Under KVM the library OS starts as quickly, and its clock goes on while it is stopped."""
        accelerator = usable(self._accelerator, architecture.named(kind.architecture))
        assert kind.image is not None
        small = self._images.path(kind.image).stat().st_size <= IMAGE_MAX_BYTES
        return accelerator == TCG and small

    def _pop(self, kind: Kind) -> Waiting | None:
        for waiting in [w for w in self._waiting if w.kind == kind]:
            self._waiting.remove(waiting)
            return waiting
        return None

    def forget(self) -> None:
        """Nothing will be asked for, as far as anybody knows."""
        self._wanted = []

    def want(self, kind: Kind) -> None:
        """Such a one will be asked for."""
        self._wanted = [kind, *(k for k in self._wanted if k != kind)][: self.size]
        self._taken.set()

    async def _make_one(self) -> bool:
        """Whether there is more to do."""
        kind = self._missing()
        if kind is None:
            return False
        with trio.move_on_after(QUIET_S):
            await self._taken.wait()
            return True
        for waiting in [w for w in self._waiting if w.kind not in self._wanted]:
            self._waiting.remove(waiting)
            await self._end(waiting)
        try:
            self._waiting.append(await self._start(kind))
        except (MeshError, OSError) as error:
            log.info("no qemu waits", reason=str(error))
            self._wanted = [k for k in self._wanted if k != kind]
            return bool(self._wanted)
        return True

    def _missing(self) -> Kind | None:
        """What is to be made next: each kind in turn, the one asked for last first."""
        have = [w.kind for w in self._waiting if w.kind in self._wanted]
        if len(have) >= self.size or not self._wanted:
            return None
        return min(self._wanted, key=have.count)

    async def _start(self, kind: Kind) -> Waiting:
        place = Place(self._path / secrets.token_hex(4), self._ram_directory, self._accelerator)
        image = None if kind.image is None else self._images.checked_path(kind.image)
        return await Waiting.start(kind, place, image)

    async def _end(self, waiting: Waiting) -> None:
        try:
            await waiting.end()
        except (MeshError, OSError) as error:
            log.warning("a waiting qemu stays", pid=waiting.process.pid, reason=str(error))
