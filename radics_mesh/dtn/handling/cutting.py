"""Cutting stored bundles for their links: `fragments`, with the store.

  too long for a contact   cut to its limit; the pieces take the bundle's place
  a transfer broke off     what the neighbour has acknowledged is a fragment there by now; the rest
                           is one here, and the neighbour's piece too if this node answers for it

Pieces are stored before the bundle is dropped, so there must be room for both. A crash in between
leaves both, and whoever has one then takes the other for the duplicate that it is.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog
import trio

from radics_mesh.dtn.rules.custody import Custody
from radics_mesh.dtn.rules.fragments import cut, cut_to_fit
from radics_mesh.dtn.rules.processing import depart
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.trust.security import sign
from radics_mesh.dtn.wire import sdnv
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.dtn.wire.content import Content
from radics_mesh.dtn.wire.offload import sized
from radics_mesh.errors import CapacityError, UsageError, WireError
from radics_mesh.me import Me

log = structlog.get_logger(__name__)

Then = Callable[[Held], None]


@dataclass(frozen=True)
class _Job:
    """One bundle to cut: to a limit (bytes on the wire), or at a place in its payload."""

    held: Held
    failed: Then
    limit_bytes: int = 0
    at: int = 0
    over: trio.Event = field(default_factory=trio.Event)


class Cutter:
    """`take_up` sends a stored piece on its way; `given` hears of one that a neighbour has."""

    def __init__(
        self,
        *,
        me: Me,
        store: BundleStore,
        custody: Custody,
        counters: Counter[str],
        take_up: Then,
        given: Then,
    ) -> None:
        self._me = me
        self._store = store
        self._custody = custody
        self._counters = counters
        self._take_up = take_up
        self._given = given
        self._jobs: deque[_Job] = deque()
        self._woken = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """One bundle after the other: each may take much memory."""
        task_status.started()
        while True:
            self._woken = trio.Event()
            while self._jobs:
                job = self._jobs.popleft()
                await self._do(job)
                job.over.set()
            await self._woken.wait()

    def to_fit(self, held: Held, limit_bytes: int, failed: Then) -> trio.Event:
        """Put pieces in its place that take at most so many bytes on the wire; `failed` gets it
        back if that cannot be. The event is set when either is done."""
        job = _Job(held, failed, limit_bytes=limit_bytes)
        self._put(job)
        return job.over

    def after_break(self, held: Held, at: int, failed: Then) -> None:
        """A neighbour has the first `at` bytes of its payload for good."""
        self._put(_Job(held, failed, at=at))

    def _put(self, job: _Job) -> None:
        self._jobs.append(job)
        self._woken.set()

    async def _do(self, job: _Job) -> None:
        raw = await self._store.content(job.held) if job.held in self._store else None
        if raw is None:
            return
        try:
            pieces = await sized(len(raw), partial(self._pieces, raw, job))
            await self._replace(job, pieces)
        except (CapacityError, UsageError, WireError) as error:
            self._counters["not_cut"] += 1
            log.warning("bundle not cut", bundle=str(job.held.bundle_id), reason=str(error))
            job.failed(job.held)

    def _pieces(self, raw: Content, job: _Job) -> list[Bundle]:
        bundle = Bundle.parse(raw)
        if job.limit_bytes:
            finish = partial(self._finished, custodian_of=job.held)
            pieces = cut_to_fit(bundle, job.limit_bytes, finish)
        else:
            pieces = cut(bundle, [job.at])
        return [self._signed(piece) for piece in pieces]

    def _signed(self, piece: Bundle) -> Bundle:
        return sign(piece, self._me.identity, self._me.chain)

    def _finished(self, piece: Bundle, custodian_of: Held) -> Bundle:
        """As long as it can get on its way out."""
        own = self._me.identity.eid
        return depart(self._signed(piece), own, sdnv.MAX_VALUE, custodian_of.custodian)

    async def _replace(self, job: _Job, pieces: Sequence[Bundle]) -> None:
        whole = job.held
        answers = self._custody.has(whole)
        added: list[Held] = []
        if job.at and not answers:
            pieces = pieces[1:]
        try:
            for piece in pieces:
                await self._store.add(self._held(whole, piece), piece.encoded(), added.append)
        finally:
            # Not when something failed, nor when it was dropped meanwhile: expired, or released.
            done = len(added) == len(pieces) and whole in self._store
            if not done:
                for held in added:
                    self._store.drop(held)
        if not done:
            if whole in self._store:  # a piece is known here: the others are, or were, too
                self._discard(whole)
            return
        self._counters["cut"] += 1
        self._discard(whole)
        for held in added:
            first = bool(job.at) and answers and held is added[0]
            (self._given if first else self._take_up)(held)

    def _discard(self, whole: Held) -> None:
        self._custody.let_go(whole)
        self._store.drop(whole)

    def _held(self, whole: Held, piece: Bundle) -> Held:
        total = piece.fragment.total if piece.fragment else whole.total
        return replace(
            whole, bundle_id=piece.id, total=total, signer=self._me.node_id, key=0, size_bytes=0
        )
