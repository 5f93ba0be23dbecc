"""Content-addressed objects over the DHT (radics_mesh.knowledge.objects): put, get, keep alive."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from radics_mesh.clock import Clock
from radics_mesh.dht.server import Dht
from radics_mesh.errors import CapacityError, PeerError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest
from radics_mesh.jobs import Jobs
from radics_mesh.knowledge import objects

# How long others keep an object without hearing of it, and how often they do.
TTL_S = 3600.0
AGAIN_S = 600.0
OWN_MAX = 256
CACHED_MAX = 256


class ObjectExchange:
    def __init__(
        self, dht: Dht, identity: Identity, chain: bytes, clock: Clock, jobs: Jobs
    ) -> None:
        self._dht = dht
        self._identity = identity
        self.chain = chain
        self._clock = clock
        self._jobs = jobs
        # Digest: (content, when to store it again).
        self._own: OrderedDict[Digest, tuple[bytes, float]] = OrderedDict()
        self._cache: OrderedDict[Digest, bytes] = OrderedDict()

    def put(self, content: bytes) -> Digest:
        """Here at once, elsewhere soon, and again until OWN_MAX others were put after it."""
        digest = Digest.of(content)
        values = objects.values_of(content, self._identity, self.chain)
        self._own[digest] = (content, self._clock.monotonic() + AGAIN_S)
        self._own.move_to_end(digest)
        if len(self._own) > OWN_MAX:
            self._own.popitem(last=False)
        self._jobs.start(lambda: self._store(values), once=("object", digest))
        return digest

    async def _store(self, values: Sequence[tuple[bytes, bytes]]) -> None:
        for key, value in values:
            try:
                await self._dht.put(key, value)
            except (PeerError, CapacityError):
                return  # our own store is full; the next time is in AGAIN_S

    def put_again(self) -> None:
        """Store those anew that are due."""
        now = self._clock.monotonic()
        for content in [content for content, due in self._own.values() if due <= now]:
            self.put(content)

    async def get(self, digest: Digest) -> bytes | None:
        """From here or the DHT; None when nobody reachable has it."""
        if digest in self._own:
            return self._own[digest][0]
        content = self._cache.get(digest) or await self._fetch(digest)
        if content is not None:
            self._cache[digest] = content
            self._cache.move_to_end(digest)
            if len(self._cache) > CACHED_MAX:
                self._cache.popitem(last=False)
        return content

    async def _fetch(self, digest: Digest) -> bytes | None:
        values = await self._dht.get(objects.object_key(digest))
        content = objects.whole(digest, values)
        if content is not None:
            return content
        for parts in objects.part_lists(values):
            content = await self._join(parts)
            if Digest.of(content) == digest:
                return content
        return None

    async def _join(self, parts: Sequence[Digest]) -> bytes:
        joined = b""
        for part in parts:
            values = await self._dht.get(objects.object_key(part))
            joined += objects.whole(part, values) or b""
        return joined
