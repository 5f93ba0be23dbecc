"""The source's side of staging: what the target is told of the guest's pages, and is sent.

    staging = Staging(...)
    await staging.rounds(survey)              while the guest runs; ends when a pause is worth it
    await staging.begin_to_finish(pages, ...) the parked guest: what has changed since, and no more,
    await staging.finish(snapshot)            and what makes a snapshot of it

In each round the target is told what pages there are by now, as what has changed since the last
list that it answered; it answers what it lacks of them, whatever it has the rest from; that is
sent. A target that answers has all that was sent before, or says that it lacks it: so a lost page
is sent again, and there is never more on the way than WINDOW_BYTES over a link that is quick. Over
a slow one (bundles that wait for somebody to carry them) all is sent at once, and rounds are few.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import trio

from radics_mesh.hosting.blobs import Blobs
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.sending import Sending, from_memory, from_store
from radics_mesh.hosting.status import MoveStats
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.vmm import pagemap
from radics_mesh.vmm.bare import pages_of, undress
from radics_mesh.vmm.handoff_messages import PIECE_BYTES, Lacks, Listing
from radics_mesh.vmm.manifest import Signed
from radics_mesh.vmm.pagemap import PageMap
from radics_mesh.vmm.ram import PAGE_BYTES

WINDOW_BYTES = 16 << 20
# A round that leaves so little is the last one; so is one that leaves not much less than the round
# before: the guest changes its pages as fast as they go.
_SMALL_PAGES = 64
_SHRINK = 0.7
_ROUNDS_MAX = 30
# Answers that take longer come over bundles that wait.
_SLOW_S = 5.0
_SLOW_ROUNDS_MAX = 3
_AGAIN_S, _AGAIN_LAST_S = 2.0, 3600.0
# Bytes a second of a link that is slow, but one.
_SLOWEST = 20_000.0


class Staging:
    """One attempt to move one VM."""

    def __init__(
        self,
        host: Host,
        vm_id: VmId,
        attempt: int,
        target: NodeId,
        blobs: Blobs,
        stats: MoveStats,
        *,
        patience_s: float = 0.0,
    ) -> None:
        self.scope = trio.CancelScope()
        self._host = host
        self._vm_id = vm_id
        self._attempt = attempt
        self._target = target
        self._blobs = blobs
        self._stats = stats
        self._patience_s = patience_s
        self._sending = Sending(vm_id, target, blobs, self._sent)
        # One list after the other: each builds on the last.
        self._listing = trio.Lock()
        self._early = trio.Event()
        self._early.set()
        # The last map that the target answered, and what it has: it said so, or was sent it.
        self._told: PageMap = {}
        self._told_digest: Digest | None = None
        self._has: set[bytes] = set()
        # The list whose answer is awaited, and the answer.
        self._asked: tuple[Digest, PageMap] | None = None
        self._answer: list[int] | None = None
        self._news = trio.Event()
        self._slow = False
        self._answer_s = 0.0
        self._answered_bytes = blobs.sent_bytes
        self._finished = False

    async def rounds(self, survey: Callable[[], Awaitable[PageMap]]) -> None:
        """Until little is left to send. MeshError, OSError: the guest has ended, no room."""
        before = None
        while True:
            pages = await survey()
            with self._host.pages.keeping(pages.values()):
                lacking = await self._ask(pages)
                self._stats.rounds += 1
                await self._send_until_there(pages, lacking)
            if self._is_enough(len(lacking), before):
                return
            before = len(lacking)

    def _is_enough(self, lacking: int, before: int | None) -> bool:
        if lacking <= _SMALL_PAGES:
            return True
        if self._stats.rounds >= (_SLOW_ROUNDS_MAX if self._slow else _ROUNDS_MAX):
            return True
        return before is not None and lacking > _SHRINK * before

    async def _send_until_there(self, pages: PageMap, lacking: Sequence[bytes]) -> None:
        window, before = WINDOW_BYTES // PAGE_BYTES, len(pages) + 1
        while lacking and len(lacking) < before:
            before = len(lacking)
            if self._slow or before <= window:
                await self.send_pages(lacking)
                return
            await self.send_pages(lacking[:window])
            lacking = await self._ask(pages)

    async def _ask(self, pages: PageMap) -> list[bytes]:
        """Tell the target what there is; what it lacks of that. Asks again until it answers."""
        digest = await trio.to_thread.run_sync(pagemap.digest_of, pages)
        self._asked, self._answer = (digest, pages), None
        begun, wait_s = trio.current_time(), 0.0
        while (answer := self._taken()) is None:
            self._news = trio.Event()
            await self._list(digest, pages)
            wait_s = wait_s or self._first_wait_s()
            with trio.move_on_after(wait_s):
                await self._news.wait()
            wait_s = min(2 * wait_s, _AGAIN_LAST_S)
        self._asked = None
        self._answer_s = trio.current_time() - begun
        self._slow = self._answer_s > _SLOW_S
        self._answered_bytes = self._blobs.sent_bytes
        return self._learn(digest, pages, answer)

    def _first_wait_s(self) -> float:
        """A list waits behind all that was sent before it, and one that comes twice is answered
        twice: with what was lacking in between, which would go twice as well."""
        limit = self._blobs.pace.limit
        rate = _SLOWEST if limit is None else min(_SLOWEST, limit)
        behind_s = (self._blobs.sent_bytes - self._answered_bytes) / rate
        return max(_AGAIN_S, self._patience_s / 60, 2 * self._answer_s) + behind_s

    def _taken(self) -> list[int] | None:
        return self._answer

    def _learn(self, digest: Digest, pages: PageMap, indices: Sequence[int]) -> list[bytes]:
        hashes = [pages[number] for number in sorted(pages)]
        lacking = dict.fromkeys(hashes[index] for index in indices)
        self._has = set(hashes).difference(lacking)
        self._told, self._told_digest = pages, digest
        self._stats.pages, self._stats.left_pages = len(pages), len(lacking)
        return list(lacking)

    async def _list(self, digest: Digest, pages: PageMap, tail: bytes = b"") -> None:
        """All parts of a list, or as much as there is room for: it is asked for again."""
        base = self._told_digest
        before = self._told if base is not None else {}
        data = await trio.to_thread.run_sync(pagemap.encode, before, pages, tail)
        parts = max(1, -(-len(data) // PIECE_BYTES))
        for part in range(parts):
            piece = data[part * PIECE_BYTES : (part + 1) * PIECE_BYTES]
            message = Listing(self._vm_id, self._attempt, digest, base, part, parts, piece)
            await self._blobs.bulk(self._target, message)

    def answered(self, message: Lacks) -> None:
        """The target's answer; WireError when it is none to any list."""
        if self._asked is None or message.digest != self._asked[0]:
            return
        self._answer = pagemap.decode_indices(message.indices, len(self._asked[1]))
        self._news.set()

    def lost_base(self, digest: Digest) -> bool:
        """The target does not know what the list builds on: it gets all of it. Whether it was
        about the list that is waited for."""
        if self._asked is None or digest != self._asked[0]:
            return False
        self._told_digest = None
        self._news.set()
        return True

    async def begin_to_finish(self, pages: PageMap, memory: int) -> None:
        """The parked guest's list and pages, out of its memory, while its state is still being
        written down: of a list the target needs no signature. MeshError, OSError: what was not
        sent is sent by `finish`.

        `memory`: its file, open, which is closed here.
        """
        self._early = trio.Event()
        try:
            async with self._listing:
                if self._told_digest is None or self._finished:
                    return
                digest = await trio.to_thread.run_sync(pagemap.digest_of, pages)
                await self._list(digest, pages)
                self._told, self._told_digest = pages, digest
            numbers = {h: number for number, h in pages.items()}
            await self._sending.send(self.unknown_of(pages), from_memory(memory, numbers))
        finally:
            os.close(memory)
            self._early.set()

    async def finish(self, snapshot: Signed) -> bool:
        """The manifest, as what has changed since the last list, and those pages. False: there was
        no answer, or this was sent before, so it has to go as a whole."""
        async with self._listing:
            if self._told_digest is None or self._finished:
                return False
            self._finished = True
            pages = pages_of(snapshot.manifest)
            await self._list(snapshot.digest, pages, undress(snapshot))
        await self._early.wait()
        await self.send_pages(self.unknown_of(pages))
        return True

    def unknown_of(self, pages: Mapping[int, bytes]) -> list[bytes]:
        """Pages that the target has not said it has and was not sent."""
        has = self._has  # of ten thousands, in a pause
        return list(dict.fromkeys([h for h in pages.values() if h not in has]))

    async def send_pages(self, hashes: Iterable[bytes]) -> None:
        await self._sending.send(hashes, from_store(self._host.pages))

    def _sent(self, hashes: Sequence[bytes]) -> None:
        self._has.update(hashes)
        self._stats.left_pages = max(0, self._stats.left_pages - len(hashes))
