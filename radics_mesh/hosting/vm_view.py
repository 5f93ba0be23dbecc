"""One VM on this node as others see it: people, the scheduler, the node's other parts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator

import trio

from radics_mesh.hosting.blobs import Blobs
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.life import Life
from radics_mesh.hosting.move import Move
from radics_mesh.hosting.notices import Notices
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
from radics_mesh.vmm.handoff_state import Phase, Tenure

Job = Callable[[], Awaitable[None]]
JOBS_MAX = 256
# A busy program answers within a fraction of this, on a busy host, too.
SILENT_S = 10.0
MOVING = (Phase.OFFERED, Phase.STAGING, Phase.FREEZING, Phase.FROZEN)


class View(ABC):
    """What the VM consists of; whoever is built upon it changes that, in the VM's one task."""

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
    def _wants_checkpoint(self, number: int) -> None:
        """The program waits for one; its output of that number said so."""

    @abstractmethod
    def _waits(self, *, pressed: bool) -> None:
        """What was said waits for a checkpoint; `pressed`: so does the guest."""

    @abstractmethod
    def _mail_kept(self) -> None:
        """Mail was taken that no checkpoint covers."""

    @abstractmethod
    def _guest_ended(self, guest: Guest, end: ends.End) -> None:
        """Of itself, or with its QEMU."""

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
