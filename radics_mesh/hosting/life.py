"""One VM's guest on this node: started, served, parked, killed, found again after a restart.

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
from typing import Any

import structlog
import trio

from radics_mesh.clock import Wall, to_dtn
from radics_mesh.errors import CapacityError, GuestError, MeshError
from radics_mesh.hosting.conduct import Conduct
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.logs import LOG_MAX_BYTES, VmLog
from radics_mesh.hosting.papers import Mailbox, Papers, Settings
from radics_mesh.hosting.snapshots import Snapshots
from radics_mesh.hosting.standby import Standby
from radics_mesh.hosting.surveyor import Surveyor
from radics_mesh.hosting.table import VmRow
from radics_mesh.hosting.vm_mail import Outside, Wishes
from radics_mesh.hosting.vm_task import Guest
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm import qemu
from radics_mesh.vmm.bare import pages_of
from radics_mesh.vmm.ends import End
from radics_mesh.vmm.frames import Hello
from radics_mesh.vmm.image import loaded_pages
from radics_mesh.vmm.launch import Launch, adopt, launch
from radics_mesh.vmm.laying import Laying
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.manifest import Signed, Subject
from radics_mesh.vmm.pagemap import PageMap
from radics_mesh.vmm.parked import is_parked
from radics_mesh.vmm.snapshot import take
from radics_mesh.vmm.stored import Read, Stored
from radics_mesh.vmm.survey import Survey
from radics_mesh.vmm.throttle import throttle

log = structlog.get_logger(__name__)

# A guest parks at its next interrupt; an emulated one on a busy host takes its time.
PARK_S = 30.0
# An adopted guest that says nothing for so long, although a park was begun, is parked.
_SILENT_S = 3.0


def log_max_bytes(conduct: Conduct) -> int:
    """Of one of its two files."""
    return min(LOG_MAX_BYTES, conduct.storage_bytes // 8 or LOG_MAX_BYTES)


def first_created(wall: Wall, random: int) -> int:
    """Creation time of a new VM's bundles: any number will do that its id never has again."""
    return to_dtn(wall) or 1 + random


class Life:
    """Row and guest of one VM. Every method is called by the VM's one task."""

    def __init__(
        self,
        host: Host,
        row: VmRow,
        ended: Callable[[Guest, End], None],
        serve: Callable[..., object],
        wishes: Wishes,
    ) -> None:
        self.row = row
        self.guest: Guest | None = None
        self.started_at: float | None = None
        # When it was ordered to start; None when it was adopted.
        self._asked_at: float | None = None
        self.directory = host.vm_directory(row.vm_id)
        self.log = VmLog(self.directory)
        self.snapshots = Snapshots(self.directory, host.me, host.pages)
        self.park_s = self.snapshot_s = self.parked_at = 0.0
        self._host = host
        self._ended = ended
        self._serve_soon = serve
        self._wishes = wishes
        # The output that asked for the last checkpoint here, and how that ended: an errno.
        self.checkpointed = (0, 0)
        # The parked guest's state, while it may be in our memory only.
        self.held: Signed | None = None
        # Of the guest that runs.
        self.surveyor: Surveyor | None = None
        self._standby: Standby | None = None

    @property
    def chain(self) -> Ownership:
        chain = self.row.tenure.chain
        assert chain is not None
        return chain

    def keep(self, **changes: Any) -> None:
        """Change the row, durably; OSError: it is as before."""
        row = replace(self.row, **changes)
        self._host.table.keep(row)
        self.row = row

    def note(self, text: str) -> None:
        """Say something about the VM, to be read in `ps`; on a full disk until the next crash."""
        self.row = replace(self.row, note=text[:300])
        with suppress(OSError):
            self._host.table.keep(self.row)

    async def start(self, snapshot: Signed | None) -> None:
        """Cold, or from a snapshot. MeshError or OSError: nothing runs then."""
        asked_at = trio.current_time()
        await self._begin(snapshot)
        self._asked_at = asked_at

    async def _begin(self, snapshot: Signed | None) -> None:
        # Durable first: from here on the snapshot may be older than the guest.
        self.keep(clean=False, parking=False)
        await self._launch(snapshot)
        self.held = None

    async def _launch(self, snapshot: Signed | None) -> None:
        standby, self._standby = self._standby, None
        waiting = await standby.take() if standby is not None else None
        if waiting is not None and isinstance(snapshot, Stored | Read):
            await self._start_standby(*waiting, snapshot)
            return
        if waiting is not None:
            await waiting[0].kill()
        image, host = self.chain.birth.image, self._host
        order = replace(self._order(image, self.row.settings.memory_bytes), snapshot=snapshot)
        machine = await host.pool.take(order, image)
        machine = machine or await launch(order, clock=host.me.clock)
        self._serve(machine, Survey.at_start(snapshot.manifest if snapshot else None))

    async def _start_standby(
        self, machine: Machine, laying: Laying, snapshot: Stored | Read
    ) -> None:
        laid = isinstance(snapshot, Stored)  # else its pages are in memory
        try:
            if laid:
                await trio.to_thread.run_sync(laying.finish, pages_of(snapshot.manifest))
            await machine.warm_start(snapshot, self._hello(), laid=laid)
        except BaseException:
            with trio.CancelScope(shield=True):
                await machine.kill()
            raise
        self._serve(machine, Survey.at_start(snapshot.manifest))

    @property
    def boot_s(self) -> float | None:
        """From the order to start to the guest's first word; None while unknown, or if adopted."""
        if self.guest is None or self.guest.ready_at is None or self._asked_at is None:
            return None
        return self.guest.ready_at - self._asked_at

    def stand_by(self, image: Digest, memory_bytes: int) -> None:
        """Start a QEMU for a snapshot that is to come. A no-op when one waits already."""
        if self._standby is None and self.guest is None:
            order = self._order(image, memory_bytes)
            self._standby = Standby(order, self._host.me.clock, self._host.pages)
            self._serve_soon(self._standby.run)

    @property
    def stands_by(self) -> bool:
        """Whether a QEMU waits, into whose memory pages are laid, each checked."""
        return self._standby is not None

    def lay_ahead(self, pages: PageMap, *, at_once: bool) -> None:
        """A snapshot that is to come has these, perhaps; `at_once`: for sure, and is waited for."""
        if self._standby is not None:
            self._standby.lay(pages, at_once=at_once)

    async def stand_down(self) -> None:
        """No snapshot comes after all."""
        standby, self._standby = self._standby, None
        if standby is not None:
            await standby.drop()

    def _order(self, image: Digest, memory_bytes: int) -> Launch:
        return Launch(
            directory=self.directory,
            ram_directory=self._host.config.ram_directory,
            image=self._host.images.checked_path(image),
            memory_bytes=memory_bytes,
            accelerator=self._host.accelerator,
            hello=self._hello(),
        )

    async def adopt(self) -> Machine | None:
        """Take the QEMU over that has outlived an earlier node; None when there is none."""
        machine = await adopt(self.directory, self._hello(), clock=self._host.me.clock)
        if machine is not None:
            self._serve(machine, None)
        return machine

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

    def begin_anew(self) -> None:
        """The next guest will start from the image and shares nothing with the last one, which has
        ended, but the mail that that one left. Its bundles are another branch's."""
        row = self._host.table.row(self.row.vm_id) or self.row
        old = self.row.settings
        created = max(old.created + 1, to_dtn(self._host.me.clock.wall()))
        settings = replace(old, branch=old.branch + 1, created=created)
        self.row = replace(self.row, settings=settings, output=0)
        self._host.table.begin_anew(
            replace(self.row, log_bytes=row.log_bytes, next_mail=row.next_mail)
        )

    def set_back(self, then: Mailbox) -> None:
        """The guest will start from an earlier state, its mailbox as it was then.

        What it sends from then on may differ from what it sent before under the same numbers, so
        its bundles get another creation time: a new branch, in which all may come twice. But with
        `--commit output` nothing that it said since has left, so it is the same branch.
        """
        row = self._host.table.row(self.row.vm_id) or self.row
        settings = old = row.settings
        if not old.commit.output:
            settings = old.branched(self._host.me.clock.wall())
        self.row = replace(self.row, settings=settings, output=then.output)
        self._host.table.set_back(
            replace(self.row, log_bytes=row.log_bytes, next_mail=row.next_mail), then
        )

    def _serve(self, machine: Machine, start: Survey | None) -> Guest:
        host = self._host
        _, log_bytes = host.table.reached(self.row.vm_id)
        self.log.max_bytes = log_max_bytes(self.row.settings.conduct)
        self.log.begin(log_bytes)
        outside = Outside(
            node=host.me.node_id.eid,
            agent=host.agent,
            sources=host.sources,
            table=host.table,
            mesh=host.mesh,
            hint=self._keep_hint,
            warn=lambda text: host.journal("warning", f"{self.row.name} {text}"),
            wishes=self._wishes,
        )
        guest = Guest(machine, self.chain, self.row.settings, self.log, outside)
        self.guest, self.started_at = guest, self._host.me.clock.monotonic()
        self.surveyor = Surveyor(machine, host.pages, start)
        self._asked_at = None
        self._serve_soon(self._serve_guest, guest)
        self._bound(machine)
        return guest

    def _bound(self, machine: Machine) -> None:
        """Hold a QEMU to what its VM may use."""
        share = self.row.settings.conduct.cpu_percent / 100
        groups, memory_bytes = self._host.groups, machine.files.memory_bytes
        if groups is not None and groups.enclose(machine.pid, memory_bytes, share):
            return
        if share:
            self._serve_soon(throttle, machine.process, share, lambda: machine.is_parked)

    def _keep_hint(self, hint: str) -> None:
        self.keep(settings=replace(self.row.settings, hint=hint))

    async def _serve_guest(self, guest: Guest) -> None:
        end = await guest.run()
        if end is not None:
            self._ended(guest, end)

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

    def _hello(self) -> Hello:
        output, _ = self._host.table.reached(self.row.vm_id)
        chain, settings = self.row.tenure.chain, self.row.settings
        return Hello(
            vm_name=self.row.name,
            vm_eid=self.row.vm_id.eid,
            host_name=self._host.config.name,
            host_eid=self._host.me.identity.eid,
            epoch=chain.epoch if chain else 1,
            out_acked=output,
            argv=(self.row.name, *settings.arguments),
            environment=settings.environment,
            sources=settings.sources,
            branch=settings.branch,
            checkpoint=self.checkpointed[0],
            checkpoint_error=self.checkpointed[1],
            has_stdin=settings.has_stdin,
        )


def reason_of(error: MeshError | OSError) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename is None:
        return error.strerror
    return str(error) or type(error).__name__
