"""One VM's row on this node, and how its guest starts: cold, from a snapshot, or found again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import trio

from radics_mesh.clock import Wall, to_dtn
from radics_mesh.errors import MeshError
from radics_mesh.hosting.conduct import Conduct
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.logs import LOG_MAX_BYTES, VmLog
from radics_mesh.hosting.papers import Mailbox
from radics_mesh.hosting.snapshots import Snapshots
from radics_mesh.hosting.standby import Standby
from radics_mesh.hosting.surveyor import Surveyor
from radics_mesh.hosting.table import VmRow
from radics_mesh.hosting.vm_mail import Outside, Wishes
from radics_mesh.hosting.vm_task import Guest
from radics_mesh.ids import Digest
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.bare import pages_of
from radics_mesh.vmm.ends import End
from radics_mesh.vmm.frames import Hello
from radics_mesh.vmm.launch import Launch, adopt, launch
from radics_mesh.vmm.laying import Laying
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.manifest import Signed
from radics_mesh.vmm.pagemap import PageMap
from radics_mesh.vmm.stored import Read, Stored
from radics_mesh.vmm.survey import Survey
from radics_mesh.vmm.throttle import throttle


def log_max_bytes(conduct: Conduct) -> int:
    """Of one of its two files."""
    return min(LOG_MAX_BYTES, conduct.storage_bytes // 8 or LOG_MAX_BYTES)


def first_created(wall: Wall, random: int) -> int:
    """Creation time of a new VM's bundles: any number will do that its id never has again."""
    return to_dtn(wall) or 1 + random


class Starts:
    """Every method is called by the VM's one task. What ends its guest is `life`'s."""

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

    async def start(self, snapshot: Signed | None) -> None:
        """Cold, or from a snapshot. MeshError or OSError: nothing runs then."""
        asked_at = trio.current_time()
        await self._begin(snapshot)
        self._asked_at = asked_at

    async def _begin(self, snapshot: Signed | None) -> None:
        was_clean = self.row.clean
        # Durable first: from here on the snapshot may be older than the guest.
        self.keep(clean=False, parking=False)
        try:
            await self._launch(snapshot)
        except (MeshError, OSError):
            # Nobody has heard a guest that failed to start: its snapshot is the latest as before.
            with suppress(OSError):
                self.keep(clean=was_clean)
            raise
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
            copy_of=self._copy_of,
            copied=lambda: host.copied(),
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

    def _copy_of(self) -> int:
        return self.chain.epoch if self.row.settings.policy.is_kept else 0

    def _keep_hint(self, hint: str) -> None:
        self.keep(settings=replace(self.row.settings, hint=hint))

    async def _serve_guest(self, guest: Guest) -> None:
        end = await guest.run()
        if end is not None:
            self._ended(guest, end)

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
