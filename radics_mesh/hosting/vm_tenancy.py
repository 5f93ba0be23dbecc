"""One VM's time on this node: how its guest starts and ends, and is found after a restart."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace

import structlog
import trio

from radics_mesh.errors import GuestError, MeshError
from radics_mesh.hosting.host import AWAITED
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.papers import Mailbox, Papers
from radics_mesh.hosting.table import Wanted
from radics_mesh.hosting.vm_task import Guest
from radics_mesh.hosting.vm_view import Job, View
from radics_mesh.vmm import ends
from radics_mesh.vmm.handoff_state import Effect, Phase

log = structlog.get_logger(__name__)

# A guest that could not be started, or died, is started again after these; then it has failed.
RETRY_S = (0.5, 2.0, 8.0, 30.0, 60.0)
# A life of this length clears the count of failures.
HEALTHY_S = 60.0
# Its guest may run here.
_RUNNING = (Phase.HOLDING, Phase.OFFERED, Phase.STAGING)


class Tenancy(View):
    """Its one task (radics_mesh.hosting.vm) calls everything here."""

    @abstractmethod
    async def post(self, job: Job) -> bool:
        """Have something done in the VM's task. False: that has ended, since there was nothing to
        remember, and it is not done."""

    @abstractmethod
    async def call(self, action: Job) -> None:
        """The same, and wait until it is; its MeshError is the caller's."""

    @abstractmethod
    def _guest_starts(self) -> None:
        """From a state that is durable."""

    @abstractmethod
    async def _carry_out(self, effects: Iterable[Effect]) -> None:
        """Do what the hand-off's state machine demands."""

    # --- starting and ending --------------------------------------------------------------------

    async def _recover(self) -> None:
        """After a restart of the node: what this VM's durable state demands."""
        certificate = self.handoff.tenure.certificate
        if certificate is None or self._host.images.holds(certificate.birth.image):
            for digest in self.life.snapshots.stored():
                self.handoff.stored(digest)
        self._begin_again_if_due()
        held = self.phase is Phase.HOLDING and self.row.wanted is Wanted.RUNNING
        if not held:
            await self.life.kill_stray()
        elif await self.life.adopt():
            await self._adopted()
        effects = [*self.handoff.take(), *self.handoff.restore(trio.current_time())]
        if self.phase is Phase.FROZEN:  # what was parked goes on from its snapshot, if at all
            self.life.keep(clean=True, parking=False)
        await self._carry_out(effects)
        await self._start_if_due()

    async def _adopted(self) -> None:
        """The guest outlived the node. If it was parked just then, it goes on from its memory."""
        try:
            snapshot = await self.life.parked_before() if self.row.parking else None
        except OSError:  # no room to write it down: it goes on from our memory
            await self._go_on()
            return
        if snapshot is None:
            self._host.journal("info", f"{self.name} goes on: its guest outlived the node")
            self._tell_running()
            return
        self.life.row = replace(self.row, clean=True, parking=False)
        self.handoff.checkpoint(snapshot.digest)
        await self._carry_out(self.handoff.take())
        await self.life.kill()

    async def _start_if_due(self) -> None:
        """Start the guest unless it runs or must not."""
        holding = self.phase in _RUNNING
        if not holding or self.row.wanted is not Wanted.RUNNING:
            return
        if self.life.guest is None:
            await self._start_again("started again")
        elif self.life.guest.machine.is_parked:  # for a move that could not be made durable
            await self._go_on()

    async def _start_again(self, how: str) -> None:
        """From the latest state that is here; on failure again later. `how`: for the journal."""
        if not self._host.confirmed.is_set():
            self.life.note(AWAITED)
            return
        try:
            image = self.life.chain.birth.image
            memory_bytes = self.row.settings.memory_bytes
            self._host.check_room(memory_bytes, self.owner, self.vm_id, image)
            where = await self._start_from_latest()
        except (MeshError, OSError) as error:
            self._failed_to_start(reason_of(error))
            return
        self._guest_starts()
        if how:
            level = "warning" if "earlier" in where else "info"
            self._host.journal(level, f"{self.name} {how} {where}")
        if self.row.note:
            self.life.note("")
        self._tell_running()

    async def _go_on(self) -> None:
        """A park failed. The guest is parked, runs as before, or is gone, which is another job."""
        guest = self.life.guest
        try:
            started = await self.life.go_on()
        except (MeshError, OSError) as error:
            self._failed_to_start(reason_of(error))
            return
        if started:
            self._host.journal("info", f"{self.name} goes on here from its state")
            self._tell_running()
        elif guest is not None and self.row.parking:
            self._nursery.start_soon(self._await_late_park, guest)

    async def _await_late_park(self, guest: Guest) -> None:
        """A guest that was asked to park may do so at any later time; then it goes on."""
        try:
            await guest.machine.wait_parked()
        except GuestError:  # it has ended, by whatever way
            return

        async def job() -> None:
            holding = self.phase in _RUNNING
            if self.life.guest is guest and holding:
                await self._go_on()

        await self.post(job)

    def _tell_running(self) -> None:
        """Tell that it starts, and again once the guest is there."""
        self._notices.running(self)
        if self.life.guest is not None:
            self._nursery.start_soon(self._tell_when_ready, self.life.guest)

    async def _tell_when_ready(self, guest: Guest) -> None:
        with trio.move_on_after(HEALTHY_S):
            await guest.ready.wait()
            self._notices.running(self)

    async def _start_from_latest(self) -> str:
        if self.life.held is not None:
            await self.life.start(self.life.held)
            return "from its state"
        digest, clean = self.handoff.tenure.snapshot, self.row.clean
        if digest is None or digest == self.row.settings.conduct.ended:
            if not clean:
                self.life.set_back(Mailbox())
            await self.life.start(None)
            return "from its image" if clean else "from its image, an earlier state: QEMU was gone"
        snapshots = self.life.snapshots
        if self.life.stands_by and not snapshots.is_sure_of(digest):
            # Of one that is laid already each page was checked on the way.
            snapshot = await snapshots.load(digest)
        else:
            snapshot = await snapshots.to_start(digest)
        if not clean:
            self.life.set_back(Papers.parse(snapshot.manifest.mailbox).mailbox)
        await self.life.start(snapshot)
        return "from its state" if clean else "from its last snapshot, an earlier state"

    def _failed_to_start(self, reason: str) -> None:
        wait_s = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1
        self._retry_at = trio.current_time() + wait_s
        self.life.note(reason)
        self._host.journal("error", f"{self.name} cannot start: {reason}")

    def _guest_ended(self, guest: Guest, end: ends.End) -> None:
        async def job() -> None:
            if self.life.guest is guest:
                await self._on_end(end)

        self._nursery.start_soon(self.post, job)

    @abstractmethod
    async def _on_end(self, end: ends.End) -> None:
        """The guest has ended."""

    @abstractmethod
    def _begin_again_if_due(self) -> None:
        """What the policy of an ended program demands, after a restart of the node."""

    async def _end(self) -> None:
        await self.life.kill(leave=True)
        await self.life.kill_stray()
        self._notices.ended(self)
