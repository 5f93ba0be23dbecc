"""One VM on this node: one task that does one thing after the other.

Everything that changes the VM comes in as a job: what the user wants, what another node says, a
clock, the end of the guest. A job calls the hand-off's state machine and carries its effects out in
order. When one fails, the machine is made again from what is durable, as after a crash.
"""

from __future__ import annotations

import math
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog
import trio

from radics_mesh.errors import GuestError, LinkError, MeshError, PeerError, UsageError, WireError
from radics_mesh.hosting.blobs import Blobs
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.life import Life, reason_of
from radics_mesh.hosting.notices import Notices
from radics_mesh.hosting.papers import Papers
from radics_mesh.hosting.status import MoveStats, VmStatus
from radics_mesh.hosting.table import ENDED, VmRow, Wanted
from radics_mesh.hosting.vm_task import Guest
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.ownership import Ownership
from radics_mesh.records import Kind
from radics_mesh.vmm import ends, handoff_state, qemu
from radics_mesh.vmm.channel import Panicked
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_messages import Message, Terms
from radics_mesh.vmm.handoff_state import Effect, Phase, Tenure

log = structlog.get_logger(__name__)

Job = Callable[[], Awaitable[None]]
_JOBS = 256
# A guest that could not be started, or died, is started again after these; then it has failed.
RETRY_S = (0.5, 2.0, 8.0, 30.0, 60.0)
# A life of this length clears the count of failures.
_HEALTHY_S = 60.0
_MOVING = (Phase.OFFERED, Phase.FREEZING, Phase.FROZEN)


class Vm:
    """See the module. `is_done`: nothing here needs to be remembered."""

    def __init__(self, host: Host, row: VmRow, nursery: trio.Nursery, notices: Notices) -> None:
        self.life = Life(host, row, self._guest_ended, nursery.start_soon)
        self.blobs = Blobs(host, row.vm_id)
        self.handoff = Handoff(row.tenure, host.me.identity)
        self.last_move: MoveStats | None = None
        self.restarts = 0
        self.moved_at: float | None = None
        self._host = host
        self._nursery = nursery
        self._notices = notices
        self._send_job, self._jobs = trio.open_memory_channel[Job](_JOBS)
        self._offer: handoff_state.Consider | None = None
        self._retry_at = math.inf
        self._failures = 0
        self._move: Move | None = None
        self._parked_at = 0.0
        self._discarded = False

    # --- seen from outside ----------------------------------------------------------------------

    @property
    def row(self) -> VmRow:
        return self.life.row

    @property
    def vm_id(self) -> VmId:
        return self.row.vm_id

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def phase(self) -> Phase:
        return self.handoff.tenure.phase

    @property
    def is_current(self) -> bool:
        return self.row.wanted not in ENDED and self.row.wanted is not Wanted.MOVED

    @property
    def is_done(self) -> bool:
        """Neither held nor promised nor owed."""
        tenure = self.handoff.tenure
        return tenure.phase is Phase.NONE and tenure.certificate is None and tenure.chain is None

    @property
    def memory_held_bytes(self) -> int:
        if self.phase is Phase.RESERVED and self._offer is not None:
            return self._offer.terms.memory_bytes
        if self.is_current and self.row.wanted is Wanted.RUNNING:
            return self.row.settings.memory_bytes
        return 0

    @property
    def state(self) -> str:
        phase, wanted = self.phase, self.row.wanted
        if phase in (Phase.RELEASED, *_MOVING):
            return "released" if phase is Phase.RELEASED else "moving"
        if phase is Phase.NONE:
            return "arriving" if self.handoff.tenure.certificate else "moved"
        if wanted is not Wanted.RUNNING:
            return wanted.value
        if self.life.guest is None:
            return "waiting"
        return "running" if self.life.guest.ready.is_set() else "starting"

    def status(self) -> VmStatus:
        row, guest = self.row, self.life.guest
        chain = self.handoff.tenure.chain or self.handoff.tenure.certificate
        assert chain is not None
        image = chain.birth.image
        path = self._host.images.path(image)
        return VmStatus(
            name=row.name,
            vm_id=row.vm_id,
            state=self.state,
            epoch=chain.epoch,
            image=image,
            memory_bytes=row.settings.memory_bytes,
            image_bytes=path.stat().st_size if path.exists() else 0,
            last_snapshot_bytes=self.life.last_snapshot_bytes,
            sources=row.settings.sources,
            feeds=guest.feeds() if guest else (),
            pinned=row.settings.pinned,
            moving=self.phase in _MOVING,
            moves=row.settings.moves,
            restarts=self.restarts,
            branch=row.settings.branch,
            started_at=self.life.started_at,
            moved_at=self.moved_at,
            boot_s=self.life.boot_s,
            pid=guest.machine.pid if guest else None,
            status=row.ending.status if row.ending else None,
            note=row.note,
            last_move=self.last_move,
            sent_bytes=dict(guest.sent_bytes) if guest else {},
            received_bytes=dict(guest.received_bytes) if guest else {},
        )

    # --- jobs -----------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve jobs until cancelled, or until there is nothing to remember."""
        await self._guarded(self._recover)
        task_status.started()
        while True:
            job: Job = self._tick
            with trio.move_on_at(self._deadline()):
                job = await self._jobs.receive()
            await self._guarded(job)
            if self.phase is Phase.NONE and self.handoff.tenure.certificate is None:
                await self._guarded(self.life.stand_down)
            if self._discarded:
                return
            if self.is_done and self._jobs.statistics().current_buffer_used == 0:
                return

    async def post(self, job: Job) -> None:
        await self._send_job.send(job)

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
            finally:
                done.set()

        await self.post(job)
        await done.wait()
        if failure is not None:
            raise failure
        if not finished:
            raise LinkError(f"{self.name}: the node is being stopped")

    async def receive(self, message: Message, sender: NodeId) -> None:
        """What another node says about this VM."""

        async def job() -> None:
            try:
                effects = self.handoff.receive(message, sender, trio.current_time())
            except PeerError as error:
                self._host.counters["refused"] += 1
                log.warning("hand-off message refused", sender=sender.short, reason=str(error))
            else:
                await self._carry_out(effects)

        await self.post(job)

    async def _guarded(self, job: Job) -> None:
        """A job that fails ends nothing but itself; whoever called it is told."""
        try:
            await job()
        except (MeshError, OSError) as error:
            log.warning("vm", name=self.name, reason=reason_of(error))

    def _made_again(self, reason: str) -> None:
        """As after a crash: only what is durable counts."""
        stored = self.handoff.tenure.stored
        self.handoff = Handoff(replace(self.row.tenure, stored=stored), self._host.me.identity)
        self._end_move(LinkError(f"the move of {self.name} was given up: {reason}"))
        self._retry_at = min(self._retry_at, trio.current_time() + RETRY_S[0])

    def _deadline(self) -> float:
        due = self.handoff.next_deadline()
        return min(self._retry_at, math.inf if due is None else due)

    async def _tick(self) -> None:
        now = trio.current_time()
        if now >= self._retry_at:
            self._retry_at = math.inf
            await self._carry_out(self.handoff.restore(now))
            await self._start_if_due()
        await self._carry_out(self.handoff.tick(now))

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
        self._host.journal("info", f"{self.name} stopped")

    async def save(self) -> None:
        """Write the VM's whole state to disk durably and end its guest."""
        self._check_held()
        if self.phase is not Phase.HOLDING or self.life.guest is None:
            raise UsageError(f"{self.name} cannot be saved now: it is {self.state}")
        try:
            snapshot = await self.life.park(moving=False)
        except (GuestError, OSError):
            await self._unpark(handoff_state.Unpark(None))
            raise
        self.life.row = replace(self.row, clean=True, parking=False, wanted=Wanted.SAVED)
        self.handoff.checkpoint(snapshot.digest)
        await self._carry_out(self.handoff.take())
        await self.life.kill()
        self._notices.ended(self)
        size = self.life.last_snapshot_bytes
        self._host.journal("info", f"{self.name} saved, {size} bytes")

    async def resume(self) -> None:
        if self.row.wanted is not Wanted.SAVED:
            raise UsageError(f"{self.name} is not saved: it is {self.state}")
        self._host.check_room(self.row.settings.memory_bytes, but=self.vm_id)
        await self._check_snapshot()
        self.life.keep(wanted=Wanted.RUNNING)
        await self._start_again("resumed")

    async def _check_snapshot(self) -> None:
        """GuestError with what is wrong with it: a VM that cannot be resumed stays saved."""
        digest = self.handoff.tenure.snapshot
        if digest is None:
            return
        try:
            await self.life.load(digest)
        except (MeshError, OSError) as error:
            raise GuestError(
                f"the snapshot of {self.name} is no good: {reason_of(error)}"
            ) from error

    async def begin_move(self, move: Move, key: bytes) -> None:
        self._check_held()
        if self.life.guest is None:
            raise UsageError(f"{self.name} cannot move now: it is {self.state}")
        path = self._host.images.path(self.life.chain.birth.image)
        terms = Terms(
            qemu.ARCHITECTURE, qemu.CPU, self.row.settings.memory_bytes, path.stat().st_size
        )
        now = trio.current_time()
        self.handoff.offer(move.target, terms, now, key=key, one_way=move.one_way)
        self._end_move(UsageError("another move was begun"))
        self._move = move
        self.last_move = MoveStats(
            move.target, True, self.life.chain.epoch + 1, one_way=move.one_way
        )
        self.blobs.sent_bytes = 0
        await self._carry_out(self.handoff.take())

    def _check_held(self) -> None:
        if self.row.wanted is Wanted.MOVED or self.phase in (Phase.NONE, Phase.RELEASED):
            raise UsageError(f"{self.name} is not here any more")
        if self.row.wanted in ENDED:
            raise UsageError(f"{self.name} has ended: {self.row.wanted}")

    # --- starting and ending --------------------------------------------------------------------

    async def _recover(self) -> None:
        """After a restart of the node: what this VM's durable state demands."""
        certificate = self.handoff.tenure.certificate
        if certificate is None or self._host.images.holds(certificate.birth.image):
            for digest in self.life.stored():
                self.handoff.stored(digest)
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
        snapshot = await self.life.parked_before() if self.row.parking else None
        if snapshot is None:
            self._host.journal("info", f"{self.name} goes on: its guest outlived the node")
            self._tell_running()
            return
        self.life.row = replace(self.row, clean=True, parking=False)
        self.handoff.checkpoint(snapshot.digest)
        await self._carry_out(self.handoff.take())

    async def _start_if_due(self) -> None:
        """Start the guest unless it runs or must not."""
        holding = self.phase in (Phase.HOLDING, Phase.OFFERED)
        if holding and self.row.wanted is Wanted.RUNNING and self.life.guest is None:
            await self._start_again("started again")

    async def _start_again(self, how: str) -> None:
        """From the latest state that is here; on failure again later."""
        try:
            self._host.check_room(self.row.settings.memory_bytes, but=self.vm_id)
            where = await self._start_from_latest()
        except (MeshError, OSError) as error:
            self._failed_to_start(reason_of(error))
            return
        level = "warning" if "earlier" in where else "info"
        self._host.journal(level, f"{self.name} {how} {where}")
        self.life.keep(note="")
        self._tell_running()

    def _tell_running(self) -> None:
        """Tell that it starts, and again once the guest is there."""
        self._notices.running(self)
        if self.life.guest is not None:
            self._nursery.start_soon(self._tell_when_ready, self.life.guest)

    async def _tell_when_ready(self, guest: Guest) -> None:
        with trio.move_on_after(_HEALTHY_S):
            await guest.ready.wait()
            self._notices.running(self)

    async def _start_from_latest(self) -> str:
        digest, clean = self.handoff.tenure.snapshot, self.row.clean
        if digest is None:
            if not clean:
                self.life.set_back(0)
            await self.life.start(None)
            return "from its image" if clean else "from its image, an earlier state: QEMU was gone"
        snapshot = await self.life.load(digest)
        if not clean:
            self.life.set_back(Papers.parse(snapshot.manifest.mailbox).mailbox.output)
        await self.life.start(snapshot)
        return "from its state" if clean else "from its last snapshot, an earlier state"

    def _failed_to_start(self, reason: str) -> None:
        wait_s = RETRY_S[min(self._failures, len(RETRY_S) - 1)]
        self._failures += 1
        self._retry_at = trio.current_time() + wait_s
        self.life.keep(note=reason[:300])
        self._host.journal("error", f"{self.name} cannot start: {reason}")

    def _guest_ended(self, guest: Guest, end: ends.End) -> None:
        async def job() -> None:
            if self.life.guest is guest:
                await self._on_end(end)

        self._nursery.start_soon(self.post, job)

    async def _on_end(self, end: ends.End) -> None:
        lived_s = self._host.me.clock.monotonic() - (self.life.started_at or 0.0)
        await self.life.kill()
        self.handoff.cancel("the guest ended")
        # Its own snapshot of a frozen guest must not start: the guest is not frozen, it has ended.
        await self._carry_out(
            e for e in self.handoff.take() if not isinstance(e, handoff_state.Unpark)
        )
        durable = self._host.table.row(self.vm_id)
        if durable is not None and durable.wanted is Wanted.EXITED:
            self.life.row = replace(self.row, wanted=Wanted.EXITED, ending=durable.ending)
            self._exited()
        elif isinstance(end, ends.Died):
            self._failures = 0 if lived_s > _HEALTHY_S else self._failures
            self.restarts += 1
            if self._failures < len(RETRY_S):
                self._failed_to_start(f"QEMU died ({end.returncode}) {end.stderr[-200:]}".strip())
            else:
                self._fail("QEMU died again and again")
        elif not isinstance(end, ends.Killed):
            self._fail(f"{type(end).__name__.lower()}: {_words(end)}")

    def _exited(self) -> None:
        ending = self.row.ending
        assert ending is not None
        self._notices.ended(self)
        said = f"exited with status {ending.status}" if ending.how == 0 else ending.why
        self._host.journal("info" if ending.status == 0 else "warning", f"{self.name} {said}")

    def _fail(self, reason: str) -> None:
        self.life.keep(wanted=Wanted.FAILED, note=reason[:300])
        self._notices.ended(self)
        self._host.journal("error", f"{self.name} failed: {reason}")

    async def _end(self) -> None:
        await self.life.kill(leave=True)
        await self.life.kill_stray()
        self._notices.ended(self)

    # --- the hand-off's effects -----------------------------------------------------------------

    async def _carry_out(self, effects: Iterable[Effect]) -> None:
        """In order. What an effect tells the state machine adds effects at the end."""
        queue = deque(effects)
        while queue:
            effect = queue.popleft()
            try:
                await self._effects()[type(effect)](effect)
            except (MeshError, OSError) as error:
                self._made_again(reason_of(error))
                raise
            queue.extend(self.handoff.take())

    def _effects(self) -> dict[type[Any], Callable[[Any], Awaitable[None]]]:
        return {
            handoff_state.Persist: self._persist,
            handoff_state.Send: lambda e: self.blobs.say(e.to, e.message),
            handoff_state.SendBlob: self._send_blob,
            handoff_state.Fetch: self._fetch,
            handoff_state.Consider: self._consider,
            handoff_state.Park: self._park,
            handoff_state.KillAndReap: lambda _: self.life.kill_stray(),
            handoff_state.Start: self._activate,
            handoff_state.Unpark: self._unpark,
            handoff_state.Forget: self._forget,
            handoff_state.Failed: self._attempt_failed,
        }

    async def _persist(self, effect: handoff_state.Persist) -> None:
        before, tenure = self.row.tenure, effect.tenure
        try:
            if tenure.phase is Phase.HOLDING and tenure.chain != before.chain:
                await self._arrive(tenure)
            elif tenure.phase is Phase.RELEASED:
                self._depart(tenure)
            else:
                clean = self.row.clean or tenure.phase is Phase.FROZEN
                parking = self.row.parking and tenure.phase is not Phase.FROZEN
                self.life.keep(tenure=tenure, clean=clean, parking=parking)
        except sqlite3.Error as error:
            raise OSError(f"the table of VMs cannot be written: {error}") from error
        if before.phase is Phase.RELEASED and tenure.phase is not Phase.RELEASED:
            self._acknowledged()

    async def _arrive(self, tenure: Tenure) -> None:
        """Ours from now on, mailbox and all."""
        chain, digest = tenure.chain, tenure.snapshot
        assert chain is not None
        assert digest is not None
        papers = Papers.parse((await self.life.load(digest)).manifest.mailbox)
        row = VmRow(
            vm_id=chain.vm_id,
            name=self._host.free_name(chain.name, chain.vm_id),
            wanted=Wanted.RUNNING,
            tenure=tenure,
            settings=papers.settings,
            output=papers.mailbox.output,
            log_bytes=self.life.log.end,
            next_mail=papers.mailbox.next_mail,
            clean=True,
            arrived=self._host.me.clock.wall(),
        )
        self._host.table.receive(row, papers.mailbox)
        self.life.row = row
        self._failures, self._retry_at = 0, math.inf
        self._notices.changed_hands(chain)

    def _depart(self, tenure: Tenure) -> None:
        assert tenure.chain is not None
        row = replace(
            self.row,
            tenure=tenure,
            wanted=Wanted.MOVED,
            parking=False,
            log_bytes=self.life.log.end,
        )
        self._host.table.give_up(row)
        self.life.row = row
        if self.last_move is not None:
            self.last_move.pause_s = trio.current_time() - self._parked_at
        self._notices.changed_hands(tenure.chain)
        self._notices.ended(self)
        self._host.journal(
            "info", f"{self.name} released to {self._host.name_of(tenure.chain.holder)}"
        )
        if self._move is not None and self._move.one_way:
            self._end_move(None)

    def _acknowledged(self) -> None:
        if self.last_move is not None and self.last_move.outward:
            self.last_move.answered_s = trio.current_time() - self._parked_at
            self.last_move.sent_bytes = self.blobs.sent_bytes
            self.last_move.at = self._host.me.clock.wall()
            self._host.journal(
                "info",
                f"{self.name} moved to {self._host.name_of(self.last_move.peer)}:"
                f" {self.last_move.sent_bytes}"
                f" bytes, answered {self.last_move.answered_s * 1000:.0f} ms after its park began",
            )
        self._end_move(None)

    async def _send_blob(self, effect: handoff_state.SendBlob) -> None:
        digest = effect.digest
        images = self._host.images
        is_image = digest == self.life.chain.birth.image
        if is_image and not effect.pieces and self._has_image(effect.to, digest):
            return

        def content() -> bytes:
            return images.load(digest) if is_image else self.life.packed(digest)

        self._nursery.start_soon(self.blobs.send, effect.to, digest, effect.pieces, content)

    def _has_image(self, node: NodeId, image: Digest) -> bool:
        """Whether a node says that it holds an image; one that lacks it names the pieces."""
        known = self._host.directory.known(Kind.IMAGE, image.hex())
        return any(e.record.publisher == node and not e.stale for e in known)

    async def _fetch(self, effect: handoff_state.Fetch) -> None:
        chain = self._coming()
        if chain is not None:
            await self._need_image(effect.source, chain.birth.image)
        if not await self.take_snapshot(effect.digest):
            await self.blobs.ask(effect.source, effect.digest)

    def _coming(self) -> Ownership | None:
        """The chain of what another node gives or offers."""
        return self.handoff.tenure.certificate or (self._offer.chain if self._offer else None)

    async def _need_image(self, source: NodeId, image: Digest) -> bool:
        """Whether the image is here; else it is asked for."""
        if self._host.images.holds(image):
            return True
        if await self.blobs.take(image, self._use_image(image)):
            return True
        await self.blobs.ask(source, image)
        return False

    def _use_image(self, image: Digest) -> Callable[[bytes], Awaitable[None]]:
        async def use(content: bytes) -> None:
            await trio.to_thread.run_sync(self._host.images.put_named, content, image)

        return use

    async def take_snapshot(self, digest: Digest) -> bool:
        """Verify and keep a snapshot whose pieces are all here; whether it is here now.

        The hand-off is told when the image is here, too: neither is any use without the other.
        """
        chain = self._coming()
        if chain is None:
            return False
        image = chain.birth.image

        async def use(content: bytes) -> None:
            snapshot = await self.life.unpack(content)
            if snapshot.digest != digest or snapshot.manifest.vm != self.vm_id:
                raise WireError("another snapshot than was announced")
            snapshot.check_fits(image, qemu.ARCHITECTURE, qemu.CPU)
            Papers.parse(snapshot.manifest.mailbox)
            await self.life.store(snapshot, content)

        if digest not in self.life.stored() and not await self.blobs.take(digest, use):
            return False
        if self._host.images.holds(image):
            self.handoff.stored(digest)
        return True

    async def piece_came(self, digest: Digest, *, whole: bool) -> None:
        """A piece of an image or a snapshot is here."""
        self.blobs.heard(digest)
        chain = self._coming()
        if not whole or chain is None:
            return
        tenure = self.handoff.tenure
        snapshot = tenure.certificate.snapshot if tenure.certificate else tenure.announced
        if digest == chain.birth.image:
            if not await self.blobs.take(digest, self._use_image(digest)):
                return
            if tenure.certificate is None and self._offer is not None:
                await self._consider(self._offer)
        if snapshot is not None and digest in (snapshot, chain.birth.image):
            await self.take_snapshot(snapshot)
        await self._carry_out(self.handoff.take())

    async def _consider(self, offer: handoff_state.Consider) -> None:
        terms = offer.terms
        try:
            if (terms.arch, terms.baseline) != (qemu.ARCHITECTURE, qemu.CPU):
                raise UsageError(f"no {terms.arch} {terms.baseline} guests here")
            qemu.find()
            self._host.check_room(terms.memory_bytes, but=self.vm_id)
        except MeshError as error:
            self.handoff.decline(offer, reason_of(error))
            return
        self._offer = offer
        has_image = await self._need_image(offer.source, offer.chain.birth.image)
        self.handoff.reserve(offer, trio.current_time(), has_image=has_image)
        if has_image:
            self.life.stand_by(offer.chain.birth.image, terms.memory_bytes)

    async def _park(self, _: handoff_state.Park) -> None:
        self._parked_at = trio.current_time()
        try:
            snapshot = await self.life.park(moving=True)
        except (GuestError, OSError) as error:
            self.handoff.park_failed(reason_of(error))
            return
        size = self.life.last_snapshot_bytes
        if self.last_move is not None:
            self.last_move.snapshot_bytes = size
            self.last_move.park_s, self.last_move.snapshot_s = (
                self.life.park_s,
                self.life.snapshot_s,
            )
        terms = self.handoff.tenure.terms
        assert terms is not None
        terms = replace(terms, snapshot_bytes=size)
        self.handoff.parked(snapshot.digest, terms, trio.current_time())

    async def _activate(self, effect: handoff_state.Start) -> None:
        """The VM has come: start it. If that fails it is ours all the same, and tried again."""
        begun = trio.current_time()
        chain = self.life.chain
        self.moved_at = self._host.me.clock.monotonic()
        peer = self._offer.source if self._offer else chain.holder
        self._offer = None
        self.last_move = MoveStats(
            peer, False, chain.epoch, snapshot_bytes=self.life.last_snapshot_bytes
        )
        whence = self._host.name_of(peer)
        await self._start_again(f"came from {whence}, at epoch {chain.epoch}, and starts")
        if self.life.guest is not None:
            self._nursery.start_soon(self._time_resume, self.life.guest, self.last_move, begun)

    async def _time_resume(self, guest: Guest, stats: MoveStats, begun: float) -> None:
        with trio.move_on_after(_HEALTHY_S):
            await guest.ready.wait()
            stats.resume_s = trio.current_time() - begun
            stats.at = self._host.me.clock.wall()
            self._host.journal(
                "info", f"{self.name} runs here {stats.resume_s * 1000:.0f} ms after its release"
            )

    async def _unpark(self, effect: handoff_state.Unpark) -> None:
        """Go on here: what is parked has ended as a process, and is started from its state."""
        if effect.snapshot is None and self.life.guest is None:
            return
        await self.life.kill()
        await self._start_again("goes on here")

    async def _forget(self, effect: handoff_state.Forget) -> None:
        self.life.forget(effect.snapshot)

    async def _attempt_failed(self, effect: handoff_state.Failed) -> None:
        self._host.journal("warning", f"{self.name} was not moved: {effect.reason}")
        self._end_move(LinkError(f"{self.name} was not moved: {effect.reason}"))

    def _end_move(self, error: MeshError | None) -> None:
        move, self._move = self._move, None
        if move is not None:
            move.end(error, self.last_move)


class Move:
    """A move that somebody waits for."""

    def __init__(self, target: NodeId, *, one_way: bool) -> None:
        self.target = target
        self.one_way = one_way
        self._done = trio.Event()
        self._error: MeshError | None = None
        self._stats: MoveStats | None = None

    def end(self, error: MeshError | None, stats: MoveStats | None) -> None:
        self._error, self._stats = error, stats
        self._done.set()

    async def wait(self) -> MoveStats:
        """Until the target has acknowledged (one way: until it is released)."""
        await self._done.wait()
        if self._error is not None:
            raise self._error
        assert self._stats is not None
        return self._stats


def _words(end: ends.End) -> str:
    if isinstance(end, Panicked):
        return end.text
    return end.reason if isinstance(end, ends.Broken) else ""
