"""One image that is wanted here: its manifest is sought, then its pieces, until it is whole."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable

import trio

from radics_mesh.errors import MeshError, WireError
from radics_mesh.ids import Digest, NodeId
from radics_mesh.images.fetch import Fetch
from radics_mesh.images.messages import Describe, Message, Piece, Want
from radics_mesh.images.partial import Partial
from radics_mesh.vmm.image_manifest import SignedManifest

# The directory is asked again for holders after this; who was asked and said nothing, too.
LOOK_FIRST_S = 2.0
LOOK_MAX_S = 120.0
# After the first holder has answered, the others that were asked have so long before it is asked
# for everything.
GRACE_S = 0.3

Say = Callable[[NodeId, Message], Awaitable[None]]
Look = Callable[[Digest], Awaitable[Iterable[NodeId]]]


class Download:
    """`run` it in a task; then `ended` is set, and `failure` says why not, if not."""

    def __init__(
        self, image: Digest, partial: Partial, say: Say, look: Look, *, pin: bool = False
    ) -> None:
        self.image = image
        self.pin = pin
        self.signed: SignedManifest | None = None
        self.failure: MeshError | None = None
        self.ended = trio.Event()
        self.scope = trio.CancelScope()
        # Who wants to hear how it ends: pushed by them.
        self.pushers: set[NodeId] = set()
        self._partial = partial
        self._say = say
        self._look = look
        self._fetch: Fetch | None = None
        self._candidates: set[NodeId] = set()
        self._unanswered: set[NodeId] = set()
        self._patient_until = -math.inf
        self._news = trio.Event()

    @property
    def pieces(self) -> tuple[int, int]:
        """How many are here, of how many; (0, 0) while that is not known."""
        if self._fetch is None:
            return 0, 0
        count = self._fetch.manifest.pieces
        return count - len(self._fetch.lacks), count

    @property
    def holders(self) -> int:
        return len(self._fetch.holders) if self._fetch else 0

    # --- what comes ---

    def may_have(self, node: NodeId) -> None:
        """A node that perhaps has it: it is asked."""
        self._candidates.add(node)
        self._wake()

    async def described(self, node: NodeId, signed: SignedManifest) -> None:
        """A node has it, and says what is signed of it. WireError: of another image."""
        if signed.manifest.image != self.image:
            raise WireError("the manifest of another image")
        self._unanswered.discard(node)
        fetch = await self.begin(signed)
        fetch.found(node, trio.current_time())
        self._wake()

    async def begin(self, signed: SignedManifest) -> Fetch:
        """From now on it is known what is missing; the first manifest counts."""
        if self._fetch is None:
            await trio.to_thread.run_sync(lambda: self._partial.begin(signed, pin=self.pin))
            held = await trio.to_thread.run_sync(self._partial.held, signed)
            self.signed, self._fetch = signed, Fetch(signed.manifest, held)
            self._patient_until = trio.current_time() + GRACE_S
        return self._fetch

    def lacking(self, node: NodeId) -> None:
        self._candidates.discard(node)
        self._unanswered.discard(node)
        if self._fetch is not None:
            self._fetch.gone(node)
        self._wake()

    async def piece(self, node: NodeId, piece: Piece) -> None:
        """Durable on return, if it is one that lacks. PeerError: altered."""
        fetch = self._fetch
        if fetch is None:
            return
        try:
            if fetch.came(node, piece.index, piece.data, trio.current_time()):
                keep = self._partial.keep
                await trio.to_thread.run_sync(keep, self.image, piece.index, piece.data)
                fetch.kept(piece.index)
        finally:
            self._wake()

    # --- its task ---

    async def run(self) -> None:
        """Until all pieces are here, durably; cancelled through `scope`."""
        with self.scope:
            looked_at, wait_s = -math.inf, LOOK_FIRST_S
            while self._fetch is None or not self._fetch.is_whole:
                self._news = trio.Event()
                now = trio.current_time()
                if now >= looked_at + wait_s:
                    wait_s = LOOK_FIRST_S if looked_at < 0 else min(LOOK_MAX_S, wait_s * 2)
                    looked_at = now
                    await self._seek()
                await self._ask_candidates()
                due = await self._ask_pieces()
                with trio.move_on_at(min(due, looked_at + wait_s)):
                    await self._news.wait()

    async def _seek(self) -> None:
        for node in await self._look(self.image):
            self._candidates.add(node)

    async def _ask_candidates(self) -> None:
        """Each is asked once by a look; who has it becomes a holder when it answers."""
        known = self._fetch.holders if self._fetch else ()
        candidates, self._candidates = self._candidates - set(known), set()
        self._unanswered |= candidates
        for node in sorted(candidates):
            await self._say(node, Describe(self.image))

    async def _ask_pieces(self) -> float:
        """Returns when to come here again though nothing has come."""
        fetch, now = self._fetch, trio.current_time()
        if fetch is None:
            return math.inf
        if self._unanswered and now < self._patient_until:
            return self._patient_until
        for node, pieces in fetch.ask(now):
            await self._say(node, Want(self.image, pieces))
        return fetch.next_deadline()

    def _wake(self) -> None:
        self._news.set()
