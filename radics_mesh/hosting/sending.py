"""Pages on their way to another node, in packs, some at a time: while one is made durable by the
bundle store, the next is compressed, and the store syncs several at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

import structlog
import trio

from radics_mesh.errors import MeshError
from radics_mesh.hosting.blobs import Blobs
from radics_mesh.ids import NodeId, VmId
from radics_mesh.vmm import pagepack
from radics_mesh.vmm.handoff_messages import Pages
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.ram import PAGE_BYTES

log = structlog.get_logger(__name__)

# So that what a pack of incompressible pages becomes is below a MiB.
PAGES_A_PACK = 240
AT_ONCE = 3

# A pack of those of these pages that are there, and which; it blocks. MeshError: they are damaged.
Packer = Callable[[Sequence[bytes]], tuple[bytes, Sequence[bytes]]]


class Sending:
    """Of one VM's pages to one node. `sent` is told of each pack's pages."""

    def __init__(
        self,
        vm_id: VmId,
        target: NodeId,
        blobs: Blobs,
        sent: Callable[[Sequence[bytes]], None] = lambda _: None,
    ) -> None:
        self._vm_id = vm_id
        self._target = target
        self._blobs = blobs
        self._sent = sent

    async def send(self, hashes: Iterable[bytes], packer: Packer) -> None:
        """All of these, once each. MeshError, OSError: the first that went wrong, after the others
        were sent."""
        waiting, failures = iter(hashes), list[MeshError | OSError]()
        room = trio.Semaphore(AT_ONCE)

        async def one(some: Sequence[bytes]) -> None:
            try:
                await self._send_pack(some, packer)
            except (MeshError, OSError) as error:
                failures.append(error)
            finally:
                room.release()

        async with trio.open_nursery() as nursery:
            while some := list(islice(waiting, PAGES_A_PACK)):
                await room.acquire()
                nursery.start_soon(one, some)
        if failures:
            raise failures[0]

    async def _send_pack(self, some: Sequence[bytes], packer: Packer) -> None:
        try:
            packed, there = await trio.to_thread.run_sync(packer, some)
        except MeshError as error:
            log.warning("pages cannot be sent", reason=str(error))
            return
        if there:
            await self._blobs.bulk(self._target, Pages(self._vm_id, packed))
            self._sent(there)


def from_store(store: PageStore) -> Packer:
    """One that is not there is left out: it had changed before it was put there, or is damaged."""

    def pack(some: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
        gone = set(store.lacking(some))
        there = [digest for at, digest in enumerate(some) if at not in gone]
        return (store.pack(there) if there else b""), there

    return pack


def from_memory(descriptor: int, numbers: Mapping[bytes, int]) -> Packer:
    """Out of a parked guest's memory: its open file, and where each page is. What it has not told
    the truth about is left out."""

    def pack(some: Sequence[bytes]) -> tuple[bytes, Sequence[bytes]]:
        pages = [(digest, _page(descriptor, numbers[digest])) for digest in some]
        there = [page for page in pages if pagepack.page_hash(page[1]) == page[0]]
        return (pagepack.make(there) if there else b""), [digest for digest, _ in there]

    return pack


def _page(descriptor: int, number: int) -> bytes:
    return os.pread(descriptor, PAGE_BYTES, number * PAGE_BYTES)
