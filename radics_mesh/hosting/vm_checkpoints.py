"""A VM's checkpoints: its whole state written down durably while it goes on.

What a checkpoint covers need not be kept for a rollback any more, and may be told to others: mail
that was taken before it is forgotten, what `--commit output` held back is sent.
"""

from __future__ import annotations

import errno
import math
from contextlib import suppress
from dataclasses import replace

import structlog
import trio

from radics_mesh.errors import CapacityError, MeshError, UsageError
from radics_mesh.hosting.checkpoints import KEPT_MAX_BYTES, Schedule
from radics_mesh.hosting.commit import Commit
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.notices import Notices
from radics_mesh.hosting.papers import Papers
from radics_mesh.hosting.releases import Releases
from radics_mesh.hosting.status import CheckpointStats
from radics_mesh.hosting.table import VmRow, Wanted
from radics_mesh.hosting.vm_moving import Moving
from radics_mesh.ownership import Ownership
from radics_mesh.vmm.handoff_state import Phase
from radics_mesh.vmm.manifest import Signed

log = structlog.get_logger(__name__)


class Checkpointing(Moving):
    """Called by the VM's one task, but for `_wants_checkpoint` and `_waits`."""

    def __init__(self, host: Host, row: VmRow, nursery: trio.Nursery, notices: Notices) -> None:
        super().__init__(host, row, nursery, notices)
        self.schedule = Schedule(row.settings.commit, trio.current_time())
        self.releases = Releases(host, row.vm_id, self._held_chain, self._say_in_log)

    # --- who asks for one -----------------------------------------------------------------------

    def _wants_checkpoint(self, number: int) -> None:
        """The program's output of that number asked for one."""
        if number != self.schedule.asked:
            self.schedule.asked = number
            self._look_again()

    def _waits(self, *, pressed: bool) -> None:
        """The guest's outputs or mail wait for one; `pressed`: it cannot go on before."""
        if self.schedule.waits(trio.current_time(), pressed=pressed):
            self._look_again()

    def _look_again(self) -> None:
        """The VM's task shall reckon anew when it has to do something."""

        async def job() -> None:
            pass

        self._nursery.start_soon(self.post, job)

    def _checkpoint_at(self) -> float:
        """When the next one is due, as far as one is possible."""
        possible = self._checkpoint_possible() and math.isinf(self._retry_at)
        return self.schedule.due() if possible else math.inf

    def _checkpoint_possible(self) -> bool:
        """Not while it is being handed over. The steps before that may take days, and what waits
        for a checkpoint shall not; but they need the guest in its QEMU."""
        if self.life.guest is None or self.row.wanted is not Wanted.RUNNING:
            return False
        before = self.phase in (Phase.OFFERED, Phase.STAGING) and self.life.can_go_on_here
        return before or self.phase is Phase.HOLDING

    # --- what the user wants --------------------------------------------------------------------

    async def checkpoint_now(self) -> None:
        """UsageError: not now. CapacityError, GuestError: it could not be written."""
        if not self._checkpoint_possible():
            raise UsageError(f"{self.name} can have no checkpoint now: it is {self.state}")
        await self._checkpoint()

    async def choose(self, every_s: float) -> None:
        """A checkpoint every so often from now on, wherever it goes; 0: none by the clock."""
        commit = Commit.of(every_s, output=self.row.settings.commit.output)
        self.life.keep(settings=replace(self.row.settings, commit=commit))
        self.schedule.commit = commit

    # --- writing it -----------------------------------------------------------------------------

    async def _checkpoint_if_due(self) -> None:
        if trio.current_time() < self._checkpoint_at():
            return
        try:
            await self._checkpoint()
        except (MeshError, OSError) as error:
            log.warning("no checkpoint", name=self.name, reason=reason_of(error))

    async def _checkpoint(self) -> None:
        """Write the VM's state to disk durably, and let it go on from there.

        One that is being moved has to wait; if it leaves, it asks the next host.
        """
        number, here = self.schedule.begun(), self.life.can_go_on_here
        try:
            pause_s = await (self._checkpoint_here() if here else self._checkpoint_anew(number))
        except (MeshError, OSError) as error:
            self.schedule.failed(trio.current_time())
            guest = self.life.guest
            if guest is not None and await guest.machine.alive_for(0):  # else that is told
                self._host.journal("warning", f"{self.name} has no checkpoint: {reason_of(error)}")
            if number:
                self.life.tell_checkpoint(number, _errno_of(error))
            await self._goes_on_anyway()
            raise
        if number:
            self.life.tell_checkpoint(number, 0)
            self._host.journal("info", f"{self.name} wrote a checkpoint")
        self.schedule.written(trio.current_time(), pause_s)
        self._note_checkpoint(pause_s)

    async def _checkpoint_here(self) -> float:
        """The guest stands still while what is left of its state is written, and goes on in its
        QEMU. Returns for how many seconds."""
        # It stays marked as being parked until it has gone on: who finds it after a crash has to
        # look. It is not marked as clean, for it goes on.
        guest = self.life.guest
        covers = await self._write_checkpoint(briefly=True, clean=False, parking=True)
        reached = guest.reached() if guest is not None else {}
        self.life.goes_on_here()
        pause_s = trio.current_time() - self.life.parked_at
        with suppress(OSError):  # who finds it then looks in vain
            self.life.keep(parking=False)
        self._covered(*covers)
        if guest is not None and reached:
            await guest.release(reached)
        return pause_s

    async def _checkpoint_anew(self, number: int) -> float:
        """For a guest that cannot: as another QEMU."""
        self._covered(*await self._write_checkpoint(briefly=False, clean=True, parking=False))
        if number:
            self.life.checkpointed = (number, 0)
        await self.life.kill(goes_on=True)
        await self._start_again("")
        return trio.current_time() - self.life.parked_at

    async def _goes_on_anyway(self) -> None:
        """No checkpoint was written, wherever that ended."""
        guest = self.life.guest
        if guest is not None and guest.machine.is_parked and self.life.can_go_on_here:
            with suppress(MeshError, OSError):
                self.life.goes_on_here()
                self.life.keep(parking=False)
                return
        await self._go_on()

    def _note_checkpoint(self, pause_s: float) -> None:
        before = self.last_checkpoint
        self.last_checkpoint = CheckpointStats(
            at=self._host.me.clock.wall(),
            pause_s=pause_s,
            bytes=self.life.snapshots.last_bytes,
            count=before.count + 1 if before else 1,
        )

    async def _write_checkpoint(
        self, *, briefly: bool, clean: bool, parking: bool
    ) -> tuple[int, int]:
        """Park the guest and make its state the VM's. Returns what that covers."""
        snapshot = await self.life.park(briefly=briefly)
        place, output = self._stands_at(snapshot)
        before = self.row
        self.life.row = replace(self.row, clean=clean, parking=parking)
        self.handoff.checkpoint(snapshot.digest)
        try:
            await self._carry_out(self.handoff.take())
        except (MeshError, OSError):
            self.life.row = before
            raise
        return place, output

    def _stands_at(self, snapshot: Signed) -> tuple[int, int]:
        """For `_covered`, of a parked guest: what its state covers once that is durable."""
        output = Papers.parse(snapshot.manifest.mailbox).mailbox.output
        return self._host.table.last_kept(self.vm_id), output

    def _covered(self, place: int, output: int) -> None:
        """A durable checkpoint holds what came of the mail up to `place`, and was said up to
        `output`. On a full disk the next one covers it, too."""
        try:
            self._host.table.cover(self.vm_id, place, output)
        except OSError as error:
            log.warning("a checkpoint covers nothing yet", name=self.name, reason=str(error))
        if self.life.guest is not None:
            self.life.guest.covered()
        self.releases.kick()

    def _guest_starts(self) -> None:
        self.schedule.commit = self.row.settings.commit
        self.schedule.started(trio.current_time())

    # --- what is released -----------------------------------------------------------------------

    def _held_chain(self) -> Ownership | None:
        """The proof that this node may speak for the VM; None when it may not."""
        chain = self.handoff.tenure.chain
        return chain if chain is not None and chain.holder == self._host.me.node_id else None

    def _say_in_log(self, text: str) -> None:
        self.life.log.append(f"[radics] {text}\n".encode())

    def _mail_kept(self) -> None:
        """Mail was taken; it is kept until a checkpoint covers it, within bounds."""
        if self._host.table.kept_bytes(self.vm_id) > KEPT_MAX_BYTES:
            self._waits(pressed=True)


def _errno_of(error: MeshError | OSError) -> int:
    """What a program is told of a checkpoint that failed."""
    if isinstance(error, CapacityError):
        return errno.ENOSPC
    return (isinstance(error, OSError) and error.errno) or errno.EIO
