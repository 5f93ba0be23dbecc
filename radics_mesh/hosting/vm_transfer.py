"""What goes between the two nodes of a move beside the hand-off's words: image, pages, manifest.

At the source `Staging` sends (`vm_giving`), at the target `Arrival` gathers; both speak through
`Blobs`. Which of that may be when is the hand-off's affair (radics_mesh.hosting.vm_moving).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable

import structlog
import trio

from radics_mesh.errors import MeshError, PeerError, WireError
from radics_mesh.hosting.arrival import Arrival, UnknownBase, keep_pages
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.notices import Notices
from radics_mesh.hosting.papers import Papers
from radics_mesh.hosting.table import VmRow
from radics_mesh.hosting.vm_giving import Giving
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import Ownership
from radics_mesh.vmm import handoff_state, pagemap, stored
from radics_mesh.vmm.handoff_messages import Lacks, Listing, Message, Missing, Pages
from radics_mesh.vmm.handoff_state import Consider, Effect, Phase
from radics_mesh.vmm.handoff_target import giver

log = structlog.get_logger(__name__)

# That a target takes in at once, so that memory is bounded: a MiB each.
PACKS_AT_ONCE = 4
_SENDING = (Phase.STAGING, Phase.FREEZING, Phase.FROZEN, Phase.RELEASED)


class Transfer(Giving):
    """Of one VM."""

    def __init__(self, host: Host, row: VmRow, nursery: trio.Nursery, notices: Notices) -> None:
        super().__init__(host, row, nursery, notices)
        self._arrival = Arrival(host, row.vm_id)
        self._was_coming = False
        self._room_for_packs = trio.Semaphore(PACKS_AT_ONCE)

    @abstractmethod
    async def _consider(self, offer: Consider) -> None:
        """Is there room for a VM that is offered?"""

    @abstractmethod
    async def _carry_out(self, effects: Iterable[Effect]) -> None: ...

    async def _tidy_transfers(self) -> None:
        """After each job: what a move needed that is not any more goes."""
        phase = self.phase
        if self._staging is not None and phase not in _SENDING:
            self._staging.scope.cancel()
            self._staging = None
        if phase not in (Phase.OFFERED, *_SENDING):
            for scope in self._send_scopes:
                scope.cancel()
        waits = self.handoff.tenure.certificate is not None
        if phase is Phase.RESERVED or waits:
            self._was_coming = True
        elif self._was_coming:
            self._was_coming = False
            await self._arrival.drop()

    async def _is_transfer(self, message: Message, sender: NodeId) -> bool:
        """Whether a message is about what goes along with a move; it is dealt with then."""
        if isinstance(message, Listing):
            await self._listed(message, sender)
        elif isinstance(message, Lacks):
            await self._lacks(message, sender)
        else:
            return isinstance(message, Missing) and self._base_is_lost(message, sender)
        return True

    # --- target ---------------------------------------------------------------------------------

    async def _fetch(self, effect: handoff_state.Fetch) -> None:
        chain, digest = self._coming(), effect.digest
        if chain is not None:
            await self._need_image(effect.source, chain.birth.image)
        if await self.take_snapshot(digest):
            return
        if self._arrival.final_digest != digest:
            await self.blobs.ask(effect.source, digest)
        elif self.blobs.is_quiet(digest):
            lacking = self._arrival.lacking_of_final()
            await self._say_lacking(effect.source, digest, lacking, self._arrival.final_count)

    async def _say_lacking(
        self, source: NodeId, digest: Digest, lacking: list[int], count: int
    ) -> None:
        attempt = max(1, self.handoff.tenure.offered_attempt)
        indices = pagemap.encode_indices(lacking, count)
        await self.blobs.say(source, Lacks(self.vm_id, attempt, digest, indices))

    def _coming(self) -> Ownership | None:
        """The chain of what another node gives or offers."""
        return self.handoff.tenure.certificate or (self._offer.chain if self._offer else None)

    def _awaited(self) -> Digest | None:
        """The snapshot that was announced, or is ours."""
        tenure = self.handoff.tenure
        return tenure.certificate.snapshot if tenure.certificate else tenure.announced

    def _is_source(self, sender: NodeId) -> bool:
        """Whether pages of this VM may come from there."""
        tenure = self.handoff.tenure
        if tenure.certificate is not None:
            return sender == giver(tenure.certificate)
        return tenure.phase is Phase.RESERVED and sender == tenure.offerer

    async def _listed(self, message: Listing, sender: NodeId) -> None:
        """A part of a list of the pages that a VM has, which is to come."""
        tenure, offer = self.handoff.tenure, self._offer
        ours = tenure.phase is Phase.RESERVED and message.attempt == tenure.offered_attempt
        if not ours or offer is None:
            return
        if sender != tenure.offerer:
            raise PeerError(f"{sender.short} lists pages of another node's VM")
        digest = message.digest
        try:
            lacking = await self._arrival.listed(message, offer.terms.memory_bytes)
        except UnknownBase:
            await self.blobs.say(sender, Missing(self.vm_id, digest))
            return
        if lacking is None:
            return
        self._lay_ahead()
        if self._arrival.final_digest == digest:
            self.blobs.heard(digest)
            await self._pages_came()
        elif self._arrival.latest is not None:
            await self._say_lacking(sender, digest, lacking, len(self._arrival.latest[1]))

    async def take_pages(self, message: Pages, sender: NodeId) -> None:
        """Pages, durably; but not yet in RESERVED: what a crash forgets then is asked for again.

        WireError, PeerError, CapacityError, OSError: none is kept."""
        if not self._is_source(sender):
            if self.phase is Phase.NONE:  # what announces them may yet come
                await keep_pages(self._host, self.vm_id, message.pack, hold=True)
            return
        # After the lists that came before them.
        if self.handoff.tenure.certificate is not None:
            await self.call(lambda: self._take_pages(message.pack, hold=True))
            return
        await self._room_for_packs.acquire()
        begun = False

        async def job() -> None:
            nonlocal begun
            self._arrival.check(message.pack)
            self._nursery.start_soon(self._take_soon, message.pack)
            begun = True

        try:
            await self.call(job)
        finally:
            if not begun:
                self._room_for_packs.release()

    async def _take_soon(self, packed: bytes) -> None:
        """One of several at once: a medium syncs them in about the time of one."""
        try:
            whole = await self._arrival.came(packed, hold=False)
        except (MeshError, OSError) as error:
            log.warning("pages not kept", vm=self.name, reason=reason_of(error))
            return
        finally:
            self._room_for_packs.release()
        await self.post(lambda: self._taken(whole=whole))

    async def _take_pages(self, packed: bytes, *, hold: bool) -> None:
        self._arrival.check(packed)
        await self._taken(whole=await self._arrival.came(packed, hold=hold))

    async def _taken(self, *, whole: bool) -> None:
        awaited = self._awaited()
        if awaited is not None:
            self.blobs.heard(awaited)
        self._lay_ahead()
        if whole:
            await self._pages_came()

    def _lay_ahead(self) -> None:
        if self._arrival.latest is not None:
            is_last = self._arrival.final is not None
            self.life.lay_ahead(self._arrival.latest[1], at_once=is_last)

    async def _pages_came(self) -> None:
        awaited = self._awaited()
        if awaited is not None and self._arrival.final_digest == awaited:
            await self.take_snapshot(awaited)
            await self._carry_out(self.handoff.take())

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
        """Verify and keep a snapshot whose manifest and pages are all here; whether it is.

        The hand-off is told when the image is here, too: neither is any use without the other.
        """
        chain = self._coming()
        if chain is None:
            return False
        image = chain.birth.image
        if digest not in self.life.snapshots.stored() and not await self._gather(digest, image):
            return False
        if self._host.images.holds(image):
            self.handoff.stored(digest)
        return True

    async def _gather(self, digest: Digest, image: Digest) -> bool:
        try:
            await self._read_manifest(digest)
            if self._arrival.final is None or self._arrival.final_digest != digest:
                return False
            if self._arrival.hold_final():
                return False
            await self._settle(image)
        except (WireError, PeerError) as error:
            self._host.counters["contents refused"] += 1
            log.warning("content refused", content=digest.short, reason=str(error))
            self._arrival.final = None
            self._host.incoming.drop(digest)
            return False
        self._host.incoming.drop(digest)
        return True

    async def _read_manifest(self, digest: Digest) -> None:
        """One that came as a whole; it stays on disk until the snapshot does."""
        if self._arrival.final_digest == digest:
            return
        content = self._host.incoming.whole(digest)
        if content is not None:
            signed = await trio.to_thread.run_sync(stored.parse, content)
            if signed[0].digest != digest:
                raise WireError("another snapshot than was announced")
            self._arrival.final = signed

    async def _settle(self, image: Digest) -> None:
        signed = self._arrival.final
        assert signed is not None
        manifest = signed[0]
        if manifest.vm != self.vm_id:
            raise WireError("a snapshot of another VM")
        Papers.parse(manifest.mailbox)
        await self.life.snapshots.settle(signed, image)

    async def piece_came(self, digest: Digest, *, whole: bool) -> None:
        """A piece of an image or a manifest is here."""
        self.blobs.heard(digest)
        chain = self._coming()
        if not whole or chain is None:
            return
        if digest == chain.birth.image:
            if await self.blobs.take(digest, self._use_image(digest)):
                await self.image_came(digest)
        elif digest == self._awaited():
            if not await self.take_snapshot(digest) and self._arrival.final_digest == digest:
                await self._ask_lacking(digest)
            await self._carry_out(self.handoff.take())

    async def _ask_lacking(self, digest: Digest) -> None:
        """A manifest that was asked for has come, so its pages have to be asked for, too."""
        tenure = self.handoff.tenure
        source = giver(tenure.certificate) if tenure.certificate else tenure.offerer
        if source is not None and tenure.certificate is None:
            lacking = self._arrival.lacking_of_final()
            await self._say_lacking(source, digest, lacking, self._arrival.final_count)

    async def image_came(self, image: Digest) -> None:
        """It is here now: what waited for it goes on."""
        chain, tenure = self._coming(), self.handoff.tenure
        if chain is None or image != chain.birth.image:
            return
        if tenure.certificate is None and self._offer is not None:
            await self._consider(self._offer)
        snapshot = self._awaited()
        if snapshot is not None:
            await self.take_snapshot(snapshot)
        await self._carry_out(self.handoff.take())
