"""Putting together what came for endpoints here in pieces: `reassembly`, with the store.

The whole is stored, proved to be its signer's, before its pieces are dropped; a crash in between
leaves both, and the pieces go when they make the same whole again. So there must be room for both:
where there is none, the pieces wait for it.

A member can sign fragments of its own invention. They are found out when the whole is proved; then
all its pieces are dropped, as nobody knows which of them was wrong.
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
from radics_mesh.dtn.rules.processing import Admitted, Gate, Refusal
from radics_mesh.dtn.rules.reassembly import Reassembly
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import Bundle, BundleId
from radics_mesh.dtn.wire.content import Content
from radics_mesh.dtn.wire.offload import sized
from radics_mesh.errors import CapacityError, PeerError, WireError
from radics_mesh.ids import Eid

log = structlog.get_logger(__name__)

# How soon a whole is tried again for which there was no room.
_AGAIN_S = 5.0


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
        self._ready: dict[BundleId, list[Held]] = {}
        self._woken = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """One whole after the other: each may take much memory."""
        task_status.started()
        while True:
            self._woken = trio.Event()
            for whole, pieces in list(self._ready.items()):
                if await self._assemble(whole, pieces):
                    self._ready.pop(whole, None)
            with trio.move_on_after(_AGAIN_S if self._ready else math.inf):
                await self._woken.wait()

    def add(self, held: Held) -> None:
        """A fragment for an endpoint here is in the store."""
        pieces = self._reassembly.add(held)
        if pieces is not None:
            self._ready[held.bundle_id.whole] = pieces
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
            if held in self._store:
                self._custody.let_go(held)
                self._store.drop(held)

    async def _assemble(self, whole: BundleId, pieces: Sequence[Held]) -> bool:
        """Whether this is settled; else it is tried again."""
        raws = []
        for held in pieces:
            raw = await self._store.content(held) if held in self._store else None
            if raw is None:  # expired, or damaged: another one may come for it
                self._reassembly.discard(held)
                return True
            raws.append(raw)
        try:
            made = await sized(sum(map(len, raws)), partial(self._made, pieces, raws))
            if made.vm_chain and self._heed(made.vm_chain):
                raise Refusal("lower branch", "from a branch of its VM that counts no more")
            await self._store.add(made.held, made.raw, self._take_up)
        except CapacityError:
            return False
        except (PeerError, WireError) as error:
            self._counters["refused_reassembled"] += 1
            log.warning("fragments make no bundle", bundle=str(whole), reason=str(error))
        else:
            self._counters["reassembled"] += 1
        self.forget(whole)
        return True

    def _made(self, pieces: Sequence[Held], raws: Sequence[Content]) -> Admitted:
        bundle = join([Bundle.parse(raw) for raw in raws])
        now, wall = self._clock.monotonic(), self._clock.wall()
        return self._gate.judge_joined(bundle, pieces, now=now, wall=wall)
