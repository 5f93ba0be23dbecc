"""The hand-off's effects, carried out for one VM (theory: radics_mesh.vmm.handoff_state)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog
import trio

from radics_mesh.errors import LinkError, MeshError, UsageError, WireError
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.papers import Papers
from radics_mesh.hosting.status import MoveStats
from radics_mesh.hosting.table import VmRow, Wanted
from radics_mesh.hosting.vm_task import Guest
from radics_mesh.hosting.vm_tenancy import HEALTHY_S, RETRY_S, Tenancy
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import Ownership
from radics_mesh.records import Kind
from radics_mesh.vmm import architecture, handoff_state, qemu
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_state import Effect, Phase, Tenure
from radics_mesh.vmm.manifest import Signed

log = structlog.get_logger(__name__)


# A target says that it is still waiting for an image; well within the source's OFFER_S.
IMAGE_COMES_S = 30.0


class Moving(Tenancy):
    """Carries out what the state machine demands, in order."""

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
        self._give_up(tenure)
        if self.last_move is not None:
            self.last_move.pause_s = trio.current_time() - self._parked_at
        self._host.journal(
            "info", f"{self.name} released to {self._host.name_of(tenure.chain.holder)}"
        )
        if self._move is not None and self._move.one_way:
            self._end_move(None)

    def _give_up(self, tenure: Tenure) -> None:
        """Another node's from now on; its row stays as a pointer."""
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
        self._notices.changed_hands(tenure.chain)
        self._notices.ended(self)

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
            return images.load(digest) if is_image else self.life.snapshots.packed(digest)

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
        if self._host.seek_image is not None and self.handoff.tenure.certificate is None:
            self._host.seek_image(image, source)
        else:
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
            snapshot = await self.life.snapshots.unpack(content)
            if snapshot.digest != digest or snapshot.manifest.vm != self.vm_id:
                raise WireError("another snapshot than was announced")
            snapshot.check_fits(image)
            Papers.parse(snapshot.manifest.mailbox)
            await self.life.snapshots.store(snapshot)

        if digest not in self.life.snapshots.stored() and not await self.blobs.take(digest, use):
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
            if await self.blobs.take(digest, self._use_image(digest)):
                await self.image_came(digest)
        elif digest == snapshot:
            await self.take_snapshot(digest)
            await self._carry_out(self.handoff.take())

    async def image_came(self, image: Digest) -> None:
        """It is here now: what waited for it goes on."""
        chain, tenure = self._coming(), self.handoff.tenure
        if chain is None or image != chain.birth.image:
            return
        if tenure.certificate is None and self._offer is not None:
            await self._consider(self._offer)
        snapshot = tenure.certificate.snapshot if tenure.certificate else tenure.announced
        if snapshot is not None:
            await self.take_snapshot(snapshot)
        await self._carry_out(self.handoff.take())

    async def _consider(self, offer: handoff_state.Consider) -> None:
        terms = offer.terms
        try:
            wanted = architecture.named(terms.arch)
            if terms.baseline != wanted.baseline:
                raise UsageError(f"no {terms.arch} {terms.baseline} guests here")
            qemu.find(wanted)
            self._host.check_room(terms.memory_bytes, but=self.vm_id)
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

    async def _stage(self, _: handoff_state.Stage) -> None:
        self.handoff.staged_enough()

    async def _park(self, _: handoff_state.Park) -> None:
        self._parked_at = trio.current_time()
        try:
            snapshot = await self._final_state()
        except (MeshError, OSError) as error:
            self.handoff.park_failed(reason_of(error))
            return
        size = self.life.snapshots.last_bytes
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

    async def _final_state(self) -> Signed:
        digest = self.handoff.tenure.snapshot
        if self.row.wanted is Wanted.SAVED and digest is not None:
            return await self.life.snapshots.load(digest)
        return await self.life.park(moving=True)

    async def _activate(self, effect: handoff_state.Start) -> None:
        """The VM has come: start it. If that fails it is ours all the same, and tried again."""
        begun = trio.current_time()
        chain = self.life.chain
        self.moved_at = self._host.me.clock.monotonic()
        peer = self._offer.source if self._offer else chain.holder
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
