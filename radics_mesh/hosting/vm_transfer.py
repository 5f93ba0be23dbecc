"""What goes between the two nodes of a move beside the hand-off's words: image, pages, manifest.

At the source `Staging` sends, at the target `Arrival` gathers; both speak through `Blobs`. Which of
that may be when is the hand-off's affair (radics_mesh.hosting.vm_moving).
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path

import structlog
import trio

from radics_mesh.durable import write_durably
from radics_mesh.errors import GuestError, MeshError, PeerError, WireError
from radics_mesh.hosting.arrival import Arrival, UnknownBase, keep_pages
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.notices import Notices
from radics_mesh.hosting.papers import Papers
from radics_mesh.hosting.sending import Sending, from_store
from radics_mesh.hosting.staging import Staging
from radics_mesh.hosting.table import VmRow, Wanted
from radics_mesh.hosting.vm_restarts import Restarting
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import Ownership
from radics_mesh.records import Kind
from radics_mesh.vmm import handoff_state, pagemap, stored
from radics_mesh.vmm.bare import pages_of
from radics_mesh.vmm.handoff_messages import Lacks, Listing, Message, Missing, Pages
from radics_mesh.vmm.handoff_state import Consider, Effect, Phase
from radics_mesh.vmm.handoff_target import giver
from radics_mesh.vmm.pagemap import PageMap

log = structlog.get_logger(__name__)

# That a target takes in at once, so that memory is bounded: a MiB each.
PACKS_AT_ONCE = 4
_SENDING = (Phase.STAGING, Phase.FREEZING, Phase.FROZEN, Phase.RELEASED)


class Transfer(Restarting):
    """Of one VM."""

    def __init__(self, host: Host, row: VmRow, nursery: trio.Nursery, notices: Notices) -> None:
        super().__init__(host, row, nursery, notices)
        self._arrival = Arrival(host, row.vm_id)
        self._staging: Staging | None = None
        # One way, all pages go along once; what is sent again was asked for.
        self._pushed: Digest | None = None
        self._sends, self._all_sent = 0, trio.Event()
        self._send_scopes: set[trio.CancelScope] = set()
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

    # --- source ---------------------------------------------------------------------------------

    async def _stage(self, _: handoff_state.Stage) -> None:
        tenure, stats = self.handoff.tenure, self.last_move
        assert tenure.target is not None
        assert stats is not None
        self._staging = Staging(
            self._host,
            self.vm_id,
            tenure.attempt,
            tenure.target,
            self.blobs,
            stats,
            patience_s=tenure.patience_s,
        )
        self._nursery.start_soon(self._run_staging, self._staging)

    async def _run_staging(self, staging: Staging) -> None:
        failure = ""
        with staging.scope:
            try:
                await staging.rounds(self._survey)
            except (MeshError, OSError) as error:
                failure = reason_of(error)
        if staging.scope.cancelled_caught:
            return

        async def job() -> None:
            if self._staging is not staging:
                return
            if failure:
                self.handoff.cancel(failure)
            else:
                self.handoff.staged_enough()
            await self._carry_out(self.handoff.take())

        await self.post(job)

    async def _survey(self) -> PageMap:
        """What pages the VM has now, all of them in this node's store."""
        digest, surveyor = self.handoff.tenure.snapshot, self.life.surveyor
        if self.row.wanted is Wanted.SAVED and digest is not None:
            return pages_of((await self.life.snapshots.load(digest)).manifest)
        if surveyor is None:
            raise GuestError("its guest does not run")
        return (await surveyor.ahead()).pages

    async def _send_blob(self, effect: handoff_state.SendBlob) -> None:
        digest = effect.digest
        images = self._host.images
        if digest != self.life.chain.birth.image:
            self._send_soon(lambda: self._send_snapshot(effect))
        elif effect.pieces or not self._has_image(effect.to, digest):
            self._send_soon(
                lambda: self.blobs.send(
                    effect.to, digest, effect.pieces, lambda: images.load(digest)
                )
            )

    def _send_soon(self, send: Callable[[], Awaitable[None]]) -> None:
        if self._sends == 0:
            self._all_sent = trio.Event()
        self._sends += 1

        async def counted() -> None:
            try:
                with trio.CancelScope() as scope:
                    self._send_scopes.add(scope)
                    await send()
            finally:
                self._send_scopes.discard(scope)
                self._sends -= 1
                if self._sends == 0:
                    self._all_sent.set()
            if not scope.cancelled_caught and self._sends == 0:
                self._note_pushed()

        self._nursery.start_soon(counted)

    async def all_sent(self) -> None:
        """Until all that the target was to be sent is in the bundle store, durably."""
        while self._sends:
            await self._all_sent.wait()

    @property
    def _pushed_note(self) -> Path:
        return self._host.vm_directory(self.vm_id) / "pushed"

    def _note_pushed(self) -> None:
        """One way nobody can ask: a node that ends before all is stored must know it later."""
        tenure = self.handoff.tenure
        if tenure.one_way and tenure.phase is Phase.RELEASED and tenure.snapshot is not None:
            with suppress(OSError):  # all of it is sent again, then
                write_durably(self._pushed_note, bytes(tenure.snapshot))

    async def _push_if_cut_short(self) -> None:
        """After a restart: what a one-way release owes its target and may not have stored."""
        tenure = self.handoff.tenure
        owes = tenure.one_way and tenure.phase is Phase.RELEASED
        if not owes or tenure.target is None or tenure.snapshot is None:
            return
        note = self._pushed_note
        if note.exists() and note.read_bytes() == tenure.snapshot:
            return
        for digest in (self.life.chain.birth.image, tenure.snapshot):
            await self._send_blob(handoff_state.SendBlob(tenure.target, digest))

    async def _send_snapshot(self, effect: handoff_state.SendBlob) -> None:
        """To the one who takes the VM over; what is not sent here is asked for."""
        to, digest, staging = effect.to, effect.digest, self._staging
        push = self.handoff.tenure.one_way and self._pushed != digest
        try:
            snapshot = await self.life.snapshots.load(digest)
            if staging is not None and not effect.pieces and await staging.finish(snapshot):
                return
            path = self.life.snapshots.path(digest)
            await self.blobs.send(to, digest, effect.pieces, path.read_bytes)
            if push:
                self._pushed = digest
                hashes = dict.fromkeys(snapshot.manifest.page_hashes())
                await self._send_pages(to, hashes)
        except (MeshError, OSError) as error:
            log.warning("cannot send what a VM needs", vm=self.name, reason=reason_of(error))

    async def _send_pages(self, to: NodeId, hashes: Iterable[bytes]) -> None:
        await Sending(self.vm_id, to, self.blobs).send(hashes, from_store(self._host.pages))

    def _send_early(self, pages: PageMap, ram: Path) -> None:
        """The guest is parked and has these pages, which the target needs whatever comes."""
        staging = self._staging
        if staging is None:
            return
        try:
            memory = os.open(ram, os.O_RDONLY | os.O_CLOEXEC)  # its process may end meanwhile
        except OSError as error:
            log.warning("pages not sent early", vm=self.name, reason=reason_of(error))
            return

        async def send() -> None:
            try:
                await staging.begin_to_finish(pages, memory)
            except (MeshError, OSError) as error:
                log.warning("pages not sent early", vm=self.name, reason=reason_of(error))

        self._send_soon(send)

    def _has_image(self, node: NodeId, image: Digest) -> bool:
        """Whether a node says that it holds an image; one that lacks it names the pieces."""
        known = self._host.directory.known(Kind.IMAGE, image.hex())
        return any(e.record.publisher == node and not e.stale for e in known)

    async def _lacks(self, message: Lacks, sender: NodeId) -> None:
        """The target's answer to a list, or what it still needs of the snapshot."""
        tenure = self.handoff.tenure
        final = tenure.phase in (Phase.FROZEN, Phase.RELEASED)
        if final and message.digest == tenure.snapshot:
            if sender != tenure.target:
                raise PeerError(f"{sender.short} asks for a VM that is not moving to it")
            self.handoff.hears(tenure.attempt, sender, trio.current_time())
            self._nursery.start_soon(self._send_lacking, message, sender)
            return
        heard = self.handoff.hears(message.attempt, sender, trio.current_time())
        if heard and self._staging is not None:
            self._staging.answered(message)

    async def _send_lacking(self, message: Lacks, to: NodeId) -> None:
        try:
            hashes = (await self.life.snapshots.load(message.digest)).manifest.page_hashes()
            wanted = pagemap.decode_indices(message.indices, len(hashes))
            await self._send_pages(to, dict.fromkeys(hashes[at] for at in wanted))
        except (MeshError, OSError) as error:
            log.warning("cannot send what a VM needs", vm=self.name, reason=reason_of(error))

    def _base_is_lost(self, message: Missing, sender: NodeId) -> bool:
        """Whether the target asks for a list as a whole."""
        staging = self._staging
        return (
            self.phase is Phase.STAGING
            and sender == self.handoff.tenure.target
            and staging is not None
            and staging.lost_base(message.digest)
        )

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
