"""One VM's guest on this node: parked, going on, killed, found again after a restart.

Whether it may run at all is the hand-off's affair (radics_mesh.hosting.vm), which calls this.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import trio

from radics_mesh.errors import CapacityError, GuestError, MeshError
from radics_mesh.hosting.papers import Papers, Settings
from radics_mesh.hosting.starts import Starts
from radics_mesh.hosting.surveyor import Surveyor
from radics_mesh.hosting.vm_task import Guest
from radics_mesh.ids import NodeId
from radics_mesh.vmm import qemu
from radics_mesh.vmm.image import loaded_pages
from radics_mesh.vmm.launch import adopt
from radics_mesh.vmm.manifest import Signed, Subject
from radics_mesh.vmm.pagemap import PageMap
from radics_mesh.vmm.parked import is_parked
from radics_mesh.vmm.snapshot import take
from radics_mesh.vmm.stored import Stored

# A guest parks at its next interrupt; an emulated one on a busy host takes its time.
PARK_S = 30.0
# An adopted guest that says nothing for so long, although a park was begun, is parked.
_SILENT_S = 3.0


class Life(Starts):
    """Row and guest of one VM. Every method is called by the VM's one task."""

    async def parked_before(self) -> Signed | None:
        """The adopted guest's state, durable, if it was parked when the node ended; else None.

        Such a guest says nothing on the channel any more, and its memory says that it is parked.
        Its QEMU stays until this snapshot is known to be the VM's: the node may end again.
        """
        guest = self.guest
        assert guest is not None
        with trio.move_on_after(_SILENT_S):
            await guest.ready.wait()
        files = guest.machine.files
        if guest.ready.is_set() or not await trio.to_thread.run_sync(is_parked, files.ram):
            self.keep(parking=False)
            return None
        await guest.detach()
        guest.machine.hold()
        image = await trio.to_thread.run_sync(self._host.images.load, self.chain.birth.image)
        subject, signer = self._subject(self.row.settings), self._host.signer
        template = loaded_pages(image, files.memory_bytes)
        snapshot = await trio.to_thread.run_sync(
            take, files.ram, files.memory_bytes, template, subject, signer
        )
        self.held = snapshot
        await self._written(self.snapshots.store(snapshot))
        return snapshot

    async def kill_stray(self) -> None:
        """On return no QEMU of this VM is alive, whoever started it."""
        await self.stand_down()
        self.held = None
        if self.guest is not None:
            await self.kill()
            return
        machine = await adopt(self.directory, self._hello(), clock=self._host.me.clock)
        if machine is not None:
            await machine.kill()

    async def park(
        self,
        *,
        moving: bool = False,
        saved: bool = False,
        briefly: bool = False,
        early: Callable[[PageMap, Path], None] = lambda _pages, _ram: None,
    ) -> Signed:
        """Stop the guest and make its state durable; its QEMU stays, parked.

        `saved`: it is not to be started before its user resumes it. `briefly`: it is served all the
        same, for it is to go on (`goes_on_here`). `early` is told what pages it has, in which file,
        as soon as that is known.

        CapacityError: it was not touched. GuestError, OSError: it would not, or its state could
        not be written; then `go_on`.
        """
        guest, surveyor = self.guest, self.surveyor
        if guest is None or surveyor is None:
            raise GuestError("the guest does not run")
        self._check_disk(guest.machine.files)
        await self._go_ahead(guest, surveyor)
        self.keep(parking=True)
        if not briefly:
            guest.close_mailbox()
        begun = self.parked_at = trio.current_time()
        await guest.machine.park(known=surveyor.stage, deadline_s=PARK_S)
        self.park_s = trio.current_time() - begun
        if not briefly:
            await guest.detach()
        settings = self.row.settings
        if moving or saved:
            self._host.table.settle(self.row.vm_id)
        if moving:
            settings = replace(settings, moves=settings.moves + 1)
        subject = self._subject(settings, saved=saved)
        seen, files = await surveyor.last(), guest.machine.files
        early(seen.pages, files.ram)
        signer = self._host.signer
        snapshot = await self._written(self.snapshots.keep(seen, files, subject, signer))
        if not moving:
            self._check_storage(snapshot)
        self.held = snapshot
        self.snapshot_s = trio.current_time() - begun - self.park_s
        return snapshot

    def end_parked(self) -> None:
        """A state that is durable needs its process no more, which takes its time to go: `kill`
        will not have to wait for so long."""
        if self.guest is not None and self.held is not None:
            self.guest.machine.end_now()

    async def _go_ahead(self, guest: Guest, surveyor: Surveyor) -> None:
        """What can be written of its state while it still runs."""
        if not guest.ready.is_set():
            return
        try:
            await surveyor.ahead()
        except OSError as error:
            raise CapacityError(f"no room for its state: {error}") from error

    async def _written(self, writing: Awaitable[Stored]) -> Stored:
        """A full store of pages is to whoever parked a guest what a full disk is."""
        try:
            return await writing
        except CapacityError as error:
            raise OSError(errno.ENOSPC, str(error)) from error

    def stored_bytes(self) -> int:
        """Of its files here, and of the pages of its last snapshot."""
        files = sum(path.stat().st_size for path in self.directory.glob("log*"))
        return files + self.snapshots.last_bytes

    def _check_storage(self, snapshot: Stored) -> None:
        """OSError when there is no right to keep it; then it is not kept."""
        limit_bytes, has = self.row.settings.conduct.storage_bytes, self.stored_bytes()
        reason = ""
        if limit_bytes and has > limit_bytes:
            reason = f"its storage would be {has} of {limit_bytes} bytes"
        try:
            self._host.check_storage(0, NodeId.of_key(self.chain.birth.holder))
        except CapacityError as error:
            reason = str(error)
        if reason:
            self.snapshots.forget(snapshot.digest)
            raise OSError(errno.EDQUOT, reason)

    def _check_disk(self, files: qemu.Files) -> None:
        """CapacityError when the guest's state might not fit the disk: better known before."""
        touched_bytes = files.ram.stat().st_blocks * 512
        room = os.statvfs(self.directory)
        if room.f_bavail * room.f_frsize < touched_bytes:
            raise CapacityError(
                f"{touched_bytes >> 20} MiB may be needed for its snapshot,"
                f" but {room.f_bavail * room.f_frsize >> 20} MiB of disk are free"
            )

    def tell_checkpoint(self, number: int, error: int) -> None:
        """How one ended, to the guest that runs, and to the next one."""
        self.checkpointed = (number, error)
        if self.guest is not None:
            self.guest.machine.say_hello(self._hello())

    @property
    def can_go_on_here(self) -> bool:
        """Whether the guest, once parked, can go on in its QEMU."""
        guest = self.guest
        return guest is not None and guest.machine.can_go_on and not guest.finished.is_set()

    def goes_on_here(self) -> None:
        """A guest that was parked `briefly` goes on as if nothing had been. GuestError: it is not
        parked. OSError: it stays so."""
        guest = self.guest
        if guest is None:
            raise GuestError("the guest has ended")
        guest.machine.go_on()
        self.held = None

    async def go_on(self) -> bool:
        """After a park that failed: the guest goes on from its memory. Whether it is parked after
        all, and was started again; else it runs as before, and may park at any later time."""
        guest = self.guest
        if guest is None:
            return False
        if self.held is None and not guest.machine.is_parked:
            guest.open_mailbox()
            return False
        await guest.detach()
        if self.held is None:
            self.held = await guest.machine.take(
                self._subject(self.row.settings), self._host.signer
            )
        await guest.machine.kill()
        self.gone(goes_on=True)
        await self._launch(self.held)  # nothing need be written: the disk may be full
        self.held = None
        with suppress(OSError):
            self.keep(parking=False)
        return True

    async def kill(self, *, leave: bool = False, goes_on: bool = False) -> None:
        """End the guest; `leave`: its sources need not wait for it; `goes_on`: as another one."""
        guest, self.held = self.guest, None
        if guest is None:
            return
        if leave:
            await guest.machine.kill()
            await guest.finished.wait()
        else:
            await guest.detach()
            await guest.machine.kill()
        self.gone(goes_on=goes_on)

    def gone(self, *, goes_on: bool = False) -> None:
        """The guest is no more; `goes_on`: so whoever follows its log goes on too."""
        self.guest = self.surveyor = None
        self.started_at = None
        if not goes_on:
            self.log.finish()

    def remove(self) -> None:
        """Nothing of it stays on disk."""
        self.log.finish()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _subject(self, settings: Settings, *, saved: bool = False) -> Subject:
        papers = Papers(settings, self._host.table.mailbox(self.row.vm_id), saved)
        architecture = self._host.images.architecture(self.chain.birth.image)
        return Subject(
            vm=self.row.vm_id,
            epoch=self.chain.epoch,
            image=self.chain.birth.image,
            architecture=architecture.name,
            cpu=architecture.baseline,
            mailbox=papers.pack(),
            created=int(self._host.me.clock.wall()),
        )


def reason_of(error: MeshError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is None:
        return error.strerror
    return str(error) or type(error).__name__
