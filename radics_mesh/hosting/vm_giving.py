"""What the source of a move sends beside the hand-off's words: image, pages, manifest."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path

import structlog
import trio

from radics_mesh.durable import write_durably
from radics_mesh.errors import GuestError, MeshError, PeerError
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.notices import Notices
from radics_mesh.hosting.sending import Sending, from_store
from radics_mesh.hosting.staging import Staging
from radics_mesh.hosting.table import VmRow, Wanted
from radics_mesh.hosting.vm_restarts import Restarting
from radics_mesh.ids import Digest, NodeId
from radics_mesh.records import Kind
from radics_mesh.vmm import handoff_state, pagemap
from radics_mesh.vmm.bare import pages_of
from radics_mesh.vmm.handoff_messages import Lacks, Missing
from radics_mesh.vmm.handoff_state import Phase
from radics_mesh.vmm.pagemap import PageMap

log = structlog.get_logger(__name__)


class Giving(Restarting):
    """Of one VM."""

    def __init__(self, host: Host, row: VmRow, nursery: trio.Nursery, notices: Notices) -> None:
        super().__init__(host, row, nursery, notices)
        self._staging: Staging | None = None
        # One way, all pages go along once; what is sent again was asked for.
        self._pushed: Digest | None = None
        self._sends, self._all_sent = 0, trio.Event()
        self._send_scopes: set[trio.CancelScope] = set()

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
