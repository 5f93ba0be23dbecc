"""One VM's time on this node: what it is to others, how its guest starts and ends."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace

import structlog
import trio

from radics_mesh.errors import GuestError, MeshError
from radics_mesh.hosting.blobs import Blobs
from radics_mesh.hosting.host import AWAITED, Host
from radics_mesh.hosting.life import Life, reason_of
from radics_mesh.hosting.move import Move
from radics_mesh.hosting.notices import Notices
from radics_mesh.hosting.papers import Mailbox, Papers
from radics_mesh.hosting.policy import Survival
from radics_mesh.hosting.progress import Progress
from radics_mesh.hosting.snapshots import Snapshots
from radics_mesh.hosting.status import CheckpointStats, MoveStats, VmStatus
from radics_mesh.hosting.table import ENDED, VmRow, Wanted
from radics_mesh.hosting.vm_mail import Wishes
from radics_mesh.hosting.vm_task import Guest
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.vmm import ends, handoff_state
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_state import Effect, Phase, Tenure

log = structlog.get_logger(__name__)

Job = Callable[[], Awaitable[None]]
JOBS_MAX = 256
# A guest that could not be started, or died, is started again after these; then it has failed.
RETRY_S = (0.5, 2.0, 8.0, 30.0, 60.0)
# A life of this length clears the count of failures.
HEALTHY_S = 60.0
# A busy program answers within a fraction of this, on a busy host, too.
SILENT_S = 10.0
MOVING = (Phase.OFFERED, Phase.STAGING, Phase.FREEZING, Phase.FROZEN)
# Its guest may run here.
_RUNNING = (Phase.HOLDING, Phase.OFFERED, Phase.STAGING)


class Tenancy(ABC):
    """Its one task (radics_mesh.hosting.vm) calls everything here but what is seen from outside."""

    def __init__(self, host: Host, row: VmRow, nursery: trio.Nursery, notices: Notices) -> None:
        wishes = Wishes(self._wants_checkpoint, self._waits, self._mail_kept)
        self.life = Life(host, row, self._guest_ended, nursery.start_soon, wishes)
        self.blobs = Blobs(host, row.vm_id, self._keys)
        self.handoff = Handoff(row.tenure, host.me.identity)
        self.last_move: MoveStats | None = None
        self.last_checkpoint: CheckpointStats | None = None
        self.restarts = 0
        self.moved_at: float | None = None
        self._host = host
        self._nursery = nursery
        self._notices = notices
        self._send_job, self._jobs = trio.open_memory_channel[Job](JOBS_MAX)
        self._offer: handoff_state.Consider | None = None
        self._retry_at = math.inf
        self._failures = 0
        self._move: Move | None = None
        self.parked_at = 0.0
        self._discarded = False
        self.ended = trio.Event()

    @abstractmethod
    async def post(self, job: Job) -> bool:
        """Have something done in the VM's task. False: that has ended, since there was nothing to
        remember, and it is not done."""

    @abstractmethod
    async def call(self, action: Job) -> None:
        """The same, and wait until it is; its MeshError is the caller's."""

    @abstractmethod
    def _wants_checkpoint(self, number: int) -> None:
        """The program waits for one; its output of that number said so."""

    @abstractmethod
    def _waits(self, *, pressed: bool) -> None:
        """What was said waits for a checkpoint; `pressed`: so does the guest."""

    @abstractmethod
    def _mail_kept(self) -> None:
        """Mail was taken that no checkpoint covers."""

    @abstractmethod
    def _guest_starts(self) -> None:
        """From a state that is durable."""

    @abstractmethod
    async def _carry_out(self, effects: Iterable[Effect]) -> None:
        """Do what the hand-off's state machine demands."""

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
    def tenure(self) -> Tenure:
        return self.handoff.tenure

    @property
    def snapshots(self) -> Snapshots:
        return self.life.snapshots

    @property
    def is_current(self) -> bool:
        return self.row.wanted not in ENDED and self.row.wanted is not Wanted.MOVED

    @property
    def is_done(self) -> bool:
        """Neither held nor promised nor owed."""
        tenure = self.handoff.tenure
        return tenure.phase is Phase.NONE and tenure.certificate is None and tenure.chain is None

    @property
    def image_in_use(self) -> Digest | None:
        """None: it has ended or is another node's."""
        tenure = self.handoff.tenure
        if tenure.certificate is not None:
            return tenure.certificate.birth.image
        if self.phase is Phase.RESERVED and self._offer is not None:
            return self._offer.chain.birth.image
        is_owed = self.phase is Phase.RELEASED
        return self.life.chain.birth.image if is_owed or self.is_current else None

    @property
    def owner(self) -> NodeId:
        """The member that it is a VM of: in whose name it was born."""
        tenure = self.handoff.tenure
        chain = tenure.chain or tenure.certificate or (self._offer and self._offer.chain)
        return NodeId.of_key(chain.birth.holder) if chain else self._host.me.node_id

    @property
    def is_held(self) -> bool:
        """It counts among its owner's: it is here and has not ended, or room is kept for it."""
        return self.phase is Phase.RESERVED or (self.phase is not Phase.NONE and self.is_current)

    @property
    def storage_bytes(self) -> int:
        """Its log, mail and snapshots here."""
        return self.life.stored_bytes() + self._host.table.all_mail_bytes(self.vm_id)

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
        if phase in (Phase.RELEASED, *MOVING):
            return "released" if phase is Phase.RELEASED else "moving"
        if phase is Phase.NONE:
            return "arriving" if self.handoff.tenure.certificate else "moved"
        if wanted is not Wanted.RUNNING:
            return wanted.value
        if self.life.guest is None:
            return "waiting"
        return "running" if self.life.guest.ready.is_set() else "starting"

    def progress(self) -> Progress | None:
        """Of a move from here, until it is released."""
        stats, target = self.last_move, self.handoff.tenure.target
        if self.phase not in MOVING or stats is None or target is None:
            return None
        there = stats.pages - stats.left_pages
        sent = self.blobs.sent_bytes
        return Progress(target, self.phase.value, stats.rounds, stats.pages, there, sent)

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
            last_snapshot_bytes=self.life.snapshots.last_bytes,
            sources=row.settings.sources,
            feeds=guest.feeds() if guest else (),
            pinned=row.settings.pinned or row.settings.policy.survival is Survival.REPLICATED,
            hint=row.settings.hint,
            moving=self.phase in MOVING,
            progress=self.progress(),
            moves=row.settings.moves,
            restarts=self.restarts,
            branch=row.settings.branch,
            started_at=self.life.started_at,
            moved_at=self.moved_at,
            boot_s=self.life.boot_s,
            pid=guest.machine.pid if guest else None,
            status=row.ending.code if row.ending else None,
            note=self._trouble() or row.note or (row.ending.why if row.ending else self._history()),
            commit=row.settings.commit,
            policy=row.settings.policy,
            last_checkpoint=self.last_checkpoint,
            last_move=self.last_move,
            sent_bytes=dict(guest.sent_bytes) if guest else {},
            received_bytes=dict(guest.received_bytes) if guest else {},
        )

    def _history(self) -> str:
        """What people must know of a VM that lost states."""
        branch = self.row.settings.branch
        if not branch:
            return ""
        return f"set back to an earlier state, branch {branch}: what it sends may come twice"

    def _trouble(self) -> str:
        """A guest may be stopped or stuck for reasons of its own: it is left alone, but said. One
        that floods is held back, and that is said, too."""
        if self.life.guest is None:
            return ""
        silent_s = self.life.guest.machine.silent_s
        if silent_s > SILENT_S:
            return f"its guest has not answered for {silent_s:.0f} s"
        return self.life.guest.limits.trouble

    def _keys(self) -> Iterator[bytes]:
        """Of the nodes that have to do with this VM."""
        tenure = self.handoff.tenure
        yield tenure.target_key
        offered = self._offer.chain if self._offer else None
        for chain in (tenure.chain, tenure.certificate, offered):
            if chain is not None:
                yield chain.birth.holder
                yield from (link.holder for link in chain.links)

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
            self._host.check_room(self.row.settings.memory_bytes, self.owner, but=self.vm_id)
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
