"""The hand-off's effects, carried out for one VM (theory: radics_mesh.vmm.handoff_state)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog
import trio

from radics_mesh.errors import LinkError, MeshError, UsageError
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.papers import Papers
from radics_mesh.hosting.status import MoveStats
from radics_mesh.hosting.table import VmRow, Wanted
from radics_mesh.hosting.vm_task import Guest
from radics_mesh.hosting.vm_tenancy import HEALTHY_S, RETRY_S
from radics_mesh.hosting.vm_transfer import Transfer
from radics_mesh.ids import NodeId
from radics_mesh.vmm import architecture, handoff_state, qemu
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_state import Effect, Phase, Tenure
from radics_mesh.vmm.handoff_target import giver
from radics_mesh.vmm.manifest import Signed
from radics_mesh.vmm.ram import PAGE_BYTES

log = structlog.get_logger(__name__)


# A target says that it is still waiting for an image; well within the source's OFFER_S.
IMAGE_COMES_S = 30.0


class Moving(Transfer):
    """Carries out what the state machine demands, in order."""

    async def _carry_out(self, effects: Iterable[Effect]) -> None:
        """In order. What an effect tells the state machine adds effects at the end."""
        self.blobs.one_way = self.handoff.tenure.one_way
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
            handoff_state.Stage: self._stage,
            handoff_state.Park: self._park,
            handoff_state.KillAndReap: lambda _: self.life.kill_stray(),
            handoff_state.Start: self._activate,
            handoff_state.Unpark: self._unpark,
            handoff_state.Forget: self._forget,
            handoff_state.Failed: self._attempt_failed,
        }

    async def _persist(self, effect: handoff_state.Persist) -> None:
        before, tenure = self.row.tenure, effect.tenure
        if tenure.phase is Phase.HOLDING and tenure.chain != before.chain:
            await self._arrive(tenure)
        elif tenure.phase is Phase.RELEASED:
            self._depart(tenure)
        else:
            clean = self.row.clean or tenure.phase is Phase.FROZEN
            parking = self.row.parking and tenure.phase is not Phase.FROZEN
            self.life.keep(tenure=tenure, clean=clean, parking=parking)
            if tenure.phase is Phase.FROZEN:
                self.life.end_parked()
        if before.phase is Phase.RELEASED and tenure.phase is not Phase.RELEASED:
            self._acknowledged()

    async def _arrive(self, tenure: Tenure) -> None:
        """Ours from now on, mailbox and all."""
        chain, digest = tenure.chain, tenure.snapshot
        assert chain is not None
        assert digest is not None
        papers = Papers.parse((await self.life.snapshots.load(digest)).manifest.mailbox)
        settings = papers.settings
        if papers.saved:  # its snapshot is older than this move
            settings = replace(settings, moves=settings.moves + 1)
        if chain.is_recovered:
            # The lost holder may have told more than this checkpoint knows of, whatever it
            # committed: what is said from here on has other names.
            settings = settings.branched(self._host.me.clock.wall())
        row = VmRow(
            vm_id=chain.vm_id,
            name=self._host.free_name(chain.name, chain.vm_id),
            wanted=Wanted.SAVED if papers.saved else Wanted.RUNNING,
            tenure=tenure,
            settings=settings,
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
        self._give_up(tenure, released=True)
        if self.last_move is not None:
            self.last_move.pause_s = trio.current_time() - self.parked_at
        self._host.journal(
            "info", f"{self.name} released to {self._host.name_of(tenure.chain.holder)}"
        )
        if self._move is not None and self._move.one_way:
            self._end_move(None)

    def _give_up(self, tenure: Tenure, *, released: bool) -> None:
        """Another node's from now on; its row stays as a pointer."""
        assert tenure.chain is not None
        row = replace(
            self.row,
            tenure=tenure,
            wanted=Wanted.MOVED,
            parking=False,
            log_bytes=self.life.log.end,
        )
        self._host.table.give_up(row, released=released)
        self.life.row = row
        self._notices.changed_hands(tenure.chain)
        self._notices.ended(self)

    def _acknowledged(self) -> None:
        self.blobs.arrived()
        if self.last_move is not None and self.last_move.outward:
            self.last_move.answered_s = trio.current_time() - self.parked_at
            self.last_move.sent_bytes = self.blobs.sent_bytes
            self.last_move.snapshot_bytes = self.life.snapshots.last_bytes
            self.last_move.at = self._host.me.clock.wall()
            self._host.journal(
                "info",
                f"{self.name} moved to {self._host.name_of(self.last_move.peer)}:"
                f" {self.last_move.sent_bytes}"
                f" bytes, answered {self.last_move.answered_s * 1000:.0f} ms after its park began",
            )
        self._end_move(None)

    async def _consider(self, offer: handoff_state.Consider) -> None:
        terms = offer.terms
        try:
            owner = NodeId.of_key(offer.chain.birth.holder)
            wanted = architecture.named(terms.arch)
            if terms.baseline != wanted.baseline:
                raise UsageError(f"no {terms.arch} {terms.baseline} guests here")
            qemu.find(wanted)
            image = offer.chain.birth.image
            self._host.check_room(terms.memory_bytes, owner, self.vm_id, image)
        except MeshError as error:
            self.handoff.decline(offer, reason_of(error))
            return
        self._offer = offer
        has_image = await self._need_image(offer.source, offer.chain.birth.image)
        self.handoff.reserve(offer, trio.current_time(), has_image=has_image)
        if has_image:
            self.life.stand_by(offer.chain.birth.image, terms.memory_bytes)
        else:
            self._nursery.start_soon(self._say_still_waiting, offer)

    async def _say_still_waiting(self, offer: handoff_state.Consider) -> None:
        """The source must hear from us while the image comes from wherever."""
        await trio.sleep(IMAGE_COMES_S)
        if self._offer is offer and not self._host.images.holds(offer.chain.birth.image):
            await self.post(lambda: self._still_waiting(offer))

    async def _still_waiting(self, offer: handoff_state.Consider) -> None:
        if self._offer is offer and self.phase is Phase.RESERVED:
            await self._consider(offer)
            await self._carry_out(self.handoff.take())

    async def _park(self, _: handoff_state.Park) -> None:
        self.parked_at = self.life.parked_at = trio.current_time()
        sent_bytes = self.blobs.sent_bytes
        try:
            snapshot = await self._final_state()
        except (MeshError, OSError) as error:
            self.handoff.park_failed(reason_of(error))
            return
        self.parked_at = self.life.parked_at
        # Of its memory; what that takes in the store is weighed once it does not stand still.
        size = len(snapshot.manifest.pages) * PAGE_BYTES
        if self.last_move is not None:
            self.last_move.snapshot_bytes = size
            self.last_move.staged_bytes = sent_bytes
            self.last_move.park_s, self.last_move.snapshot_s = (
                self.life.park_s,
                self.life.snapshot_s,
            )
        terms = self.handoff.tenure.terms
        assert terms is not None
        terms = replace(terms, snapshot_bytes=size)
        self.handoff.parked(snapshot.digest, terms, trio.current_time())

    async def _final_state(self) -> Signed:
        digest = self.handoff.tenure.snapshot
        if self.row.wanted is Wanted.SAVED and digest is not None:
            return await self.life.snapshots.load(digest)
        return await self.life.park(moving=True, early=self._send_early)

    async def _activate(self, effect: handoff_state.Start) -> None:
        """The VM has come: start it. If that fails it is ours all the same, and tried again."""
        begun = trio.current_time()
        chain = self.life.chain
        self._was_coming = True
        self.moved_at = self._host.me.clock.monotonic()
        peer = giver(chain)
        self._offer = None
        self.last_move = MoveStats(
            peer, False, chain.epoch, snapshot_bytes=self.life.snapshots.last_bytes
        )
        whence = self._host.name_of(peer)
        if self.row.wanted is Wanted.SAVED:
            self._host.journal("info", f"{self.name} came from {whence}, saved")
            self._notices.ended(self)
            return
        await self._start_again(f"came from {whence}, at epoch {chain.epoch}, and starts")
        if self.life.guest is not None:
            self._nursery.start_soon(self._time_resume, self.life.guest, self.last_move, begun)

    async def _time_resume(self, guest: Guest, stats: MoveStats, begun: float) -> None:
        with trio.move_on_after(HEALTHY_S):
            await guest.ready.wait()
            stats.resume_s = trio.current_time() - begun
            stats.at = self._host.me.clock.wall()
            self._host.journal(
                "info", f"{self.name} runs here {stats.resume_s * 1000:.0f} ms after its release"
            )

    async def _unpark(self, effect: handoff_state.Unpark) -> None:
        """Go on here: what was parked is started from its state, as a new process."""
        if effect.snapshot is None:
            await self._go_on()
        elif self.row.wanted is Wanted.RUNNING:
            await self.life.kill()
            await self._start_again("goes on here")

    async def _forget(self, effect: handoff_state.Forget) -> None:
        self.life.snapshots.forget(effect.snapshot)

    async def _attempt_failed(self, effect: handoff_state.Failed) -> None:
        self._host.journal("warning", f"{self.name} was not moved: {effect.reason}")
        self._end_move(LinkError(f"{self.name} was not moved: {effect.reason}"))

    def _end_move(self, error: MeshError | None) -> None:
        move, self._move = self._move, None
        if move is not None:
            move.end(error, self.last_move)

    def _made_again(self, reason: str) -> None:
        """As after a crash: only what is durable counts."""
        stored = self.handoff.tenure.stored
        self.handoff = Handoff(replace(self.row.tenure, stored=stored), self._host.me.identity)
        self._end_move(LinkError(f"the move of {self.name} was given up: {reason}"))
        self._retry_at = min(self._retry_at, trio.current_time() + RETRY_S[0])
