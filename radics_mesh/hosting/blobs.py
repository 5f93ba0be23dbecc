"""Images and snapshots between one VM's two nodes: what is sent, what is asked for, and when.

Pieces are sent as soon as they are needed. A receiver asks only for what is still missing after
nothing has come for a while: pieces wait in bundle stores by themselves, and asking while they are
on their way would send them twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import structlog
import trio

from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.errors import CapacityError, MeshError
from radics_mesh.hosting.host import SERVICE, Host
from radics_mesh.hosting.moving import cut
from radics_mesh.hosting.pace import Pace
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.vmm.handoff_messages import Message, Missing, Release, encode

log = structlog.get_logger(__name__)

QUIET_S = 1.5
_FULL_WAIT_S, _FULL_WAIT_LAST_S = 0.05, 5.0
# What is sent one way may be carried about before it arrives, and nobody could ask for it again.
ONE_WAY_LIFETIME_S = 30 * 86_400


class Blobs:
    """One VM's transfers. `keys`: public keys of nodes that have to do with it."""

    def __init__(self, host: Host, vm_id: VmId, keys: Callable[[], Iterable[bytes]]) -> None:
        self.sent_bytes = 0
        self.pace = Pace(host.config.move_limit)
        self._keys = keys
        # The move under way is one way.
        self.one_way = False
        self._kept: list[BundleId] = []
        self._release: BundleId | None = None
        self._host = host
        self._vm_id = vm_id
        self._sending: set[tuple[NodeId, Digest]] = set()
        # When something of a content last came, or was asked for or announced.
        self._heard: dict[Digest, float] = {}

    async def say(self, to: NodeId, message: Message, *, priority: int = 2) -> None:
        """One bundle to another node's hand-off service; a full store is waited out elsewhere:
        whatever matters is said again."""
        if isinstance(message, Release) and self._release_waits():
            return
        payload = encode(message, self._key_of(to))
        try:
            sent = await self._send(to, payload, priority)
            if isinstance(message, Release):
                self._release = sent
        except CapacityError as error:
            self._host.counters["unsent"] += 1
            log.warning("hand-off message not sent", to=to.short, reason=str(error))

    def _release_waits(self) -> bool:
        """Whether the last one is still here, and another one would only wait beside it."""
        return self.one_way and self._release is not None and self._host.agent.holds(self._release)

    async def _send(self, to: NodeId, payload: bytes, priority: int) -> BundleId:
        lifetime_s = ONE_WAY_LIFETIME_S if self.one_way else None
        sent = await self._host.agent.send(
            to.service(SERVICE), payload, priority=priority, lifetime_s=lifetime_s
        )
        if self.one_way:
            self._kept.append(sent)
        return sent

    def _key_of(self, node: NodeId) -> bytes:
        """Of its ownership or of the hand-off, where the mesh may not know it; else empty."""
        near = (key for key in self._keys() if key and NodeId.of_key(key) == node)
        return next(near, b"") or self._host.key_of(node)

    async def send(
        self, to: NodeId, digest: Digest, pieces: tuple[int, ...], content: Callable[[], bytes]
    ) -> None:
        """Send pieces (none named: all), unless they are being sent at this moment."""
        if (to, digest) in self._sending:
            return
        self._sending.add((to, digest))
        try:
            whole = await trio.to_thread.run_sync(content)
            for piece in cut(self._vm_id, digest, whole, pieces):
                await self.bulk(to, piece)
        except (MeshError, OSError) as error:
            log.warning("cannot send what a VM needs", content=digest.short, reason=str(error))
        finally:
            self._sending.discard((to, digest))

    def arrived(self) -> None:
        """The target has it all: copies that still wait for a way there are of no use."""
        kept, self._kept = self._kept, []
        for bundle_id in kept:
            self._host.agent.taken_over(bundle_id)

    def heard(self, digest: Digest) -> None:
        self._heard[digest] = trio.current_time()

    async def bulk(self, to: NodeId, message: Message) -> None:
        """What is much, one after the other and no faster than `pace` allows. A full store is
        waited for: it empties as bundles leave it."""
        key = self._key_of(to)
        payload = await trio.to_thread.run_sync(encode, message, key)
        await self.pace.wait(len(payload))
        wait_s = _FULL_WAIT_S
        while True:
            try:
                await self._send(to, payload, 1)
            except CapacityError:
                await trio.sleep(wait_s)
                wait_s = min(2 * wait_s, _FULL_WAIT_LAST_S)
            else:
                self.sent_bytes += len(payload)
                return

    def is_quiet(self, digest: Digest) -> bool:
        """Whether nothing has come of a content for a while, and it was not asked for."""
        now = trio.current_time()
        last = self._heard.setdefault(digest, now)
        if now - last < QUIET_S:
            return False
        self._heard[digest] = now
        return True

    async def ask(self, source: NodeId, digest: Digest) -> None:
        """Ask for what is missing, if nothing has come for a while."""
        if self.is_quiet(digest):
            missing = self._host.incoming.missing(digest)
            await self.say(source, Missing(self._vm_id, digest, missing))

    async def take(self, digest: Digest, use: Callable[[bytes], Awaitable[None]]) -> bool:
        """Use a content that is whole here; whether there was one and it was good."""
        content = self._host.incoming.whole(digest)
        if content is None:
            return False
        try:
            await use(content)
        except MeshError as error:
            self._host.counters["contents refused"] += 1
            log.warning("content refused", content=digest.short, reason=str(error))
            return False
        finally:
            self._host.incoming.drop(digest)
        return True
