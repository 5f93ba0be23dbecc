"""One VM on this node: one task that does one thing after the other.

Everything that changes the VM comes in as a job: what the user wants, what another node says, a
clock, the end of the guest. A job calls the hand-off's state machine and carries its effects out in
order. When one fails, the machine is made again from what is durable, as after a crash.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import structlog
import trio

from radics_mesh.errors import (
    CapacityError,
    GuestError,
    LinkError,
    MeshError,
    PeerError,
    UsageError,
    WireError,
)
from radics_mesh.hosting.fitness import why_not
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.move import Move
from radics_mesh.hosting.policy import Survival
from radics_mesh.hosting.status import MoveStats
from radics_mesh.hosting.table import ENDED, VmRow, Wanted
from radics_mesh.hosting.vm_branches import Branching
from radics_mesh.hosting.vm_mail import FULL_WAIT_S
from radics_mesh.hosting.vm_view import MOVING, Job
from radics_mesh.ids import NodeId
from radics_mesh.records import Kind
from radics_mesh.vmm.handoff_messages import Message, Terms
from radics_mesh.vmm.handoff_state import Phase

log = structlog.get_logger(__name__)


# A killed guest's last words may have to wait for a full disk; then they are lost.
LEAVE_S = 2.0


class Vm(Branching):
    """See the module."""

    # --- jobs -----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve jobs until cancelled, or until there is nothing to remember."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.releases.run)
            await self._guarded(self._recover)
            await self._guarded(self._push_if_cut_short)
            task_status.started()
            await self._serve_jobs()
            self._jobs.close()  # whoever comes too late is told, and begins anew
            self.ended.set()
            nursery.cancel_scope.cancel()

    async def _serve_jobs(self) -> None:
        while True:
            job: Job = self._tick
            with trio.move_on_at(self._deadline()):
                job = await self._jobs.receive()
            await self._guarded(job)
            self.releases.kick()
            await self._guarded(self._tidy_transfers)
            if self.phase is Phase.NONE and self.handoff.tenure.certificate is None:
                await self._guarded(self.life.stand_down)
            if self._discarded:
                return
            if self.is_done and self._jobs.statistics().current_buffer_used == 0:
                return

    async def post(self, job: Job) -> bool:
        try:
            await self._send_job.send(job)
        except trio.BrokenResourceError:
            return False
        return True

    async def call(self, action: Callable[[], Awaitable[None]]) -> None:
        """Do something as a job and wait for its end; its MeshError is the caller's."""
        done = trio.Event()
        finished, failure = False, None

        async def job() -> None:
            nonlocal finished, failure
            try:
                await action()
                finished = True
            except MeshError as error:
                failure = error
                raise
            except OSError as error:
                failure = CapacityError(f"{self.name}: {reason_of(error)}")
                raise
            finally:
                done.set()

        if not await self.post(job):
            raise UsageError(f"{self.name} is not here any more")
        await done.wait()
        if failure is not None:
            raise failure
        if not finished:
            raise LinkError(f"{self.name}: the node is being stopped")

    async def receive(self, message: Message, sender: NodeId) -> bool:
        """What another node says about this VM; False: as `post`."""

        async def job() -> None:
            try:
                if await self._is_transfer(message, sender):
                    return
                effects = self.handoff.receive(message, sender, trio.current_time())
            except (PeerError, WireError) as error:
                self._host.counters["refused"] += 1
                log.warning("hand-off message refused", sender=sender.short, reason=str(error))
            else:
                await self._carry_out(effects)

        return await self.post(job)

    async def _guarded(self, job: Job) -> None:
        """A job that fails ends nothing but itself; whoever called it is told."""
        try:
            await job()
        except (MeshError, OSError) as error:
            log.warning("vm", name=self.name, reason=reason_of(error))

    def _deadline(self) -> float:
        due = self.handoff.next_deadline()
        return min(self._retry_at, self._checkpoint_at(), math.inf if due is None else due)

    async def _tick(self) -> None:
        now = trio.current_time()
        if now >= self._retry_at:
            self._retry_at = math.inf
            await self._carry_out(self.handoff.restore(now))
            await self._start_if_due()
        await self._carry_out(self.handoff.tick(now))
        await self._checkpoint_if_due()

    # --- what the user wants --------------------------------------------------------------------

    async def first_start(self) -> None:
        """Cold start of a VM that was made here; an error is the maker's."""
        await self.life.start(None)
        self._tell_running()

    async def discard(self) -> None:
        """Forget all about it: it has ended, or never began."""
        await self.life.kill_stray()
        self._host.table.remove(self.vm_id)
        self.life.remove()
        self._discarded = True

    async def stop(self) -> None:
        self._check_held()
        self.handoff.cancel("it was stopped")
        await self._carry_out(self.handoff.take())
        self._check_held()
        self.life.keep(wanted=Wanted.STOPPED, note="")
        await self._end()
        self._host.table.let_go(self.vm_id)
        self._host.journal("info", f"{self.name} stopped")

    async def kill(self) -> None:
        """As `stop`, but nothing that it is doing delays it, nor a guest that does not answer."""
        self._check_held()
        if self.life.guest is not None:
            self.life.guest.machine.end_now()
        await self.call(self._kill)

    async def _kill(self) -> None:
        self._check_held()
        self.handoff.cancel("it was killed")
        await self._carry_out(self.handoff.take())
        self._check_held()
        self.life.keep(wanted=Wanted.STOPPED, note="killed")
        self._host.table.let_go(self.vm_id)
        with trio.move_on_after(LEAVE_S):
            await self.life.kill(leave=True)
        await self.life.kill_stray()
        self._notices.ended(self)
        self._host.journal("warning", f"{self.name} killed")

    async def save(self) -> None:
        """Write the VM's whole state to disk durably and end its guest."""
        self._check_held()
        if self.phase is not Phase.HOLDING or self.life.guest is None:
            raise UsageError(f"{self.name} cannot be saved now: it is {self.state}")
        try:
            snapshot = await self.life.park(saved=True)
        except CapacityError:
            raise
        except (MeshError, OSError) as error:
            await self._go_on()
            raise GuestError(f"{self.name} was not saved: {reason_of(error)}") from error
        before = self.row
        place, output = self._stands_at(snapshot)
        self.life.row = replace(self.row, clean=True, parking=False, wanted=Wanted.SAVED)
        self.handoff.checkpoint(snapshot.digest)
        try:
            await self._carry_out(self.handoff.take())
        except (MeshError, OSError) as error:
            self.life.row = before
            await self._go_on()
            raise GuestError(f"{self.name} was not saved: {reason_of(error)}") from error
        self._covered(place, output)
        await self.life.kill()
        self._notices.ended(self)
        size = self.life.snapshots.last_bytes
        self._host.journal("info", f"{self.name} saved, {size} bytes")

    async def feed(self, data: bytes, *, end: bool) -> None:
        """More for the program's standard input, or its end; waits while it reads nothing.

        UsageError: it has none, it has ended, or the VM is not here.
        """
        if not self.row.settings.has_stdin:
            raise UsageError(f"{self.name} was started without --stdin or --open-stdin")
        while True:
            self._check_held()
            if self._host.table.has_stdin_ended(self.vm_id):
                raise UsageError(f"the standard input of {self.name} has ended")
            guest = self.life.guest
            with suppress(GuestError):  # between two guests: a checkpoint, a move that failed
                if guest is not None:
                    await guest.feed(data, end=end)
                    return
            await trio.sleep(FULL_WAIT_S)

    async def resume(self) -> None:
        if self.row.wanted is not Wanted.SAVED or self.phase is not Phase.HOLDING:
            raise UsageError(f"{self.name} is not saved: it is {self.state}")
        self._host.check_room(self.row.settings.memory_bytes, self.owner, but=self.vm_id)
        self._stand_by()
        try:
            await self._check_snapshot()
            saved = self.row
            self.life.row = replace(saved, wanted=Wanted.RUNNING)  # durable when it starts
            await self._start_again("resumed")
        finally:
            await self.life.stand_down()
        if self.life.guest is None:
            self._keep_wanted(saved)

    def _stand_by(self) -> None:
        """Have a QEMU started while the snapshot is checked, unless one waits in the pool."""
        image, memory_bytes = self.life.chain.birth.image, self.row.settings.memory_bytes
        with suppress(MeshError, OSError):  # starting it will say so
            if not self._host.pool.has(image, memory_bytes):
                self.life.stand_by(image, memory_bytes)

    def _keep_wanted(self, before: VmRow) -> None:
        """Of a VM that could not be started yet. OSError: it is as before."""
        try:
            self.life.keep()
        except OSError:
            self.life.row = before
            raise

    async def _check_snapshot(self) -> None:
        """GuestError with what is wrong with it: a VM that cannot be resumed stays saved."""
        digest = self.handoff.tenure.snapshot
        if digest is None:
            return
        try:
            await self.life.snapshots.check(digest)
        except (MeshError, OSError) as error:
            raise GuestError(
                f"the snapshot of {self.name} is no good: {reason_of(error)}"
            ) from error

    async def begin_move(self, move: Move, key: bytes) -> None:
        self._check_held()
        if self.row.settings.policy.survival is Survival.REPLICATED:
            raise UsageError(f"{self.name} is a replica: another is started there instead")
        if self.life.guest is None and self.row.wanted is not Wanted.SAVED:
            raise UsageError(f"{self.name} cannot move now: it is {self.state}")
        image = self.life.chain.birth.image
        architecture = self._host.images.architecture(image)
        size_bytes = self._host.images.path(image).stat().st_size
        terms = Terms(
            architecture.name,
            architecture.baseline,
            self.row.settings.memory_bytes,
            size_bytes,
        )
        self._check_target(move, terms)
        now = trio.current_time()
        self.handoff.offer(
            move.target,
            terms,
            now,
            key=key,
            one_way=move.one_way,
            patience_s=move.patience_s,
        )
        self._end_move(UsageError("another move was begun"))
        self._move = move
        self.last_move = MoveStats(
            move.target, True, self.life.chain.epoch + 1, one_way=move.one_way
        )
        self.blobs.sent_bytes = 0
        self.blobs.pace.limit = move.limit or self._host.config.move_limit
        await self._carry_out(self.handoff.take())

    def _check_target(self, move: Move, terms: Terms) -> None:
        """UsageError with the reason why it cannot go there, before anything is sent."""
        for entry in self._host.directory.known(Kind.NODE, move.target.text):
            if entry.record.publisher == move.target:
                reason = why_not(entry.record.body, terms, unasked=move.one_way)
                if reason is not None:
                    name = self._host.name_of(move.target)
                    raise UsageError(f"{self.name} cannot move there: {name} {reason}")

    async def cancel_move(self) -> None:
        """The VM goes on here. UsageError: it does not move, or is another node's already."""
        if self.phase is Phase.RELEASED:
            raise UsageError(f"{self.name} has been released: that cannot be taken back")
        if self.phase not in MOVING:
            raise UsageError(f"{self.name} is not being moved: it is {self.state}")
        self.handoff.cancel("it was cancelled")
        await self._carry_out(self.handoff.take())

    def _check_held(self) -> None:
        if self.row.wanted is Wanted.MOVED or self.phase in (Phase.NONE, Phase.RELEASED):
            raise UsageError(f"{self.name} is not here any more")
        if self.row.wanted in ENDED:
            raise UsageError(f"{self.name} has ended: {self.row.wanted}")
