"""Putting together what came for endpoints here in pieces: `reassembly`, with the store.

The whole is stored, proved to be its signer's, before its pieces are dropped; a crash in between
leaves both, and the pieces go when they make the same whole again. So there must be room for both:
where there is none, the pieces wait for it.

A member can sign fragments of its own invention. They are found out when the whole is not its
signer's; then other sets of the pieces are tried, by signer (see `reassembly`). Once one of them is
proved, every piece that says something else is counted, and its signer named in the log. Where all
is by one signer, and makes no bundle, its pieces go: what comes again comes anew.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import structlog
import trio

from radics_mesh.clock import Clock
from radics_mesh.dtn.rules.custody import Custody
from radics_mesh.dtn.rules.fragments import join
from radics_mesh.dtn.rules.processing import Admitted, Gate
from radics_mesh.dtn.rules.reassembly import Reassembly
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import Bundle, BundleId
from radics_mesh.dtn.wire.content import Content, stretch
from radics_mesh.dtn.wire.offload import sized
from radics_mesh.errors import CapacityError, PeerError, WireError
from radics_mesh.ids import Eid, NodeId

log = structlog.get_logger(__name__)

# How soon a whole is tried again for which there was no room.
_AGAIN_S = 5.0
_COMPARED_BYTES = 1 << 16


class Assembler:
    """`take_up` gets every whole; `heed` says which ownership chains count no more."""

    def __init__(
        self,
        *,
        store: BundleStore,
        gate: Gate,
        clock: Clock,
        custody: Custody,
        counters: Counter[str],
        take_up: Callable[[Held], None],
        heed: Callable[[bytes], bool],
    ) -> None:
        self._store = store
        self._gate = gate
        self._clock = clock
        self._custody = custody
        self._counters = counters
        self._take_up = take_up
        self._heed = heed
        self._reassembly = Reassembly()
        self._ready: set[BundleId] = set()
        self._woken = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """One whole after the other: each may take much memory."""
        task_status.started()
        while True:
            self._woken = trio.Event()
            for whole in list(self._ready):
                self._ready.discard(whole)  # a piece that comes meanwhile makes it ready again
                if not await self._assemble(whole):
                    self._ready.add(whole)
            with trio.move_on_after(_AGAIN_S if self._ready else math.inf):
                await self._woken.wait()

    def add(self, held: Held) -> None:
        """A fragment for an endpoint here is in the store."""
        if self._reassembly.add(held):
            self._ready.add(held.bundle_id.whole)
            self._woken.set()

    def is_needless(self, held: Held) -> bool:
        """Whether a fragment brings nothing that is not here, or was delivered here."""
        whole = held.bundle_id.whole
        delivered = held.destination.vm_id is None and self._store.seen(whole)
        return delivered or self._store.holds(whole) or self._reassembly.covers(held)

    def discard(self, held: Held) -> None:
        """It has left the store."""
        self._reassembly.discard(held)

    def take_all(self, belongs: Callable[[Eid], bool]) -> list[Held]:
        """Remove and return the pieces whose destination `belongs` somewhere else now."""
        taken = [held for held in self._reassembly if belongs(held.destination)]
        for held in taken:
            self._reassembly.discard(held)
        return taken

    def forget(self, whole: BundleId) -> None:
        """The whole is here, or was: let its pieces go."""
        for held in self._reassembly.forget(whole):
            self._let_go(held)

    async def _assemble(self, whole: BundleId) -> bool:
        """Whether this is settled; else it is tried again."""
        failed: list[list[Held]] = []
        for pieces in self._reassembly.candidates(whole):
            raws = await self._read(pieces)
            if raws is None:
                return True
            try:
                made = await sized(sum(map(len, raws)), partial(self._made, pieces, raws))
            except CapacityError:
                return False
            except (PeerError, WireError) as error:
                self._counters["refused_reassembled"] += 1
                log.warning("fragments make no bundle", bundle=str(whole), reason=str(error))
                self._reassembly.failed(pieces)
                failed.append(pieces)
            else:
                unused = sum(1 for _ in self._reassembly.pieces(whole)) > len(pieces)
                return await self._keep(made, doubted=unused or bool(failed))
        for pieces in failed:
            signers = {held.signer for held in pieces}
            if len(signers) == 1:  # nobody else is to blame
                self._drop_signed_by(signers.pop(), whole)
        return True

    async def _read(self, pieces: Sequence[Held]) -> list[Content] | None:
        """None: one has expired, or is damaged; another one may come for it."""
        raws = []
        for held in pieces:
            raw = await self._store.content(held) if held in self._store else None
            if raw is None:
                self._reassembly.discard(held)
                return None
            raws.append(raw)
        return raws

    async def _keep(self, made: Admitted, *, doubted: bool) -> bool:
        """The proved whole in place of its pieces. Whether there was room."""
        whole = made.held.bundle_id
        if made.vm_chain and self._heed(made.vm_chain):
            self._counters["refused_reassembled"] += 1
            log.info("reassembled bundle from a branch that counts no more", bundle=str(whole))
            self.forget(whole)
            return True
        if doubted:
            await self._tell_forgers(whole, Bundle.parse(made.raw).content)
        try:
            await self._store.add(made.held, made.raw, self._take_up)
        except CapacityError:
            return False
        self._counters["reassembled"] += 1
        self.forget(whole)
        return True

    async def _tell_forgers(self, whole: BundleId, proved: Content) -> None:
        """Of all pieces, those whose bytes are not the proved whole's, by who signed them."""
        for held in list(self._reassembly.pieces(whole)):
            raw = await self._store.content(held) if held in self._store else None
            if raw is None:
                continue
            offset, length = held.bundle_id.offset or 0, held.bundle_id.length or 0
            of_whole = stretch(proved, offset, min(length, max(0, len(proved) - offset)))
            same = partial(_are_same, Bundle.parse(raw).content, of_whole)
            if held.total != len(proved) or not await sized(length, same):
                self._forged(held.signer, held.bundle_id)

    def _drop_signed_by(self, signer: NodeId | None, whole: BundleId) -> None:
        for held in list(self._reassembly.pieces(whole)):
            if held.signer == signer:
                self._forged(signer, held.bundle_id)
                self._reassembly.discard(held)
                self._let_go(held)

    def _forged(self, signer: NodeId | None, piece: BundleId) -> None:
        self._counters["forged_fragments"] += 1
        name = "nobody" if signer is None else signer.text
        log.warning("fragment is not of its whole", fragment=str(piece), signer=name)

    def _let_go(self, held: Held) -> None:
        if held in self._store:
            self._custody.let_go(held)
            self._store.drop(held)

    def _made(self, pieces: Sequence[Held], raws: Sequence[Content]) -> Admitted:
        bundle = join([Bundle.parse(raw) for raw in raws])
        now, wall = self._clock.monotonic(), self._clock.wall()
        return self._gate.judge_joined(bundle, pieces, now=now, wall=wall)


def _are_same(one: Content, other: Content) -> bool:
    """Of contents that may be in files; in small stretches."""
    if len(one) != len(other):
        return False
    for start in range(0, len(one), _COMPARED_BYTES):
        size = min(_COMPARED_BYTES, len(one) - start)
        if bytes(stretch(one, start, size)) != bytes(stretch(other, start, size)):
            return False
    return True
