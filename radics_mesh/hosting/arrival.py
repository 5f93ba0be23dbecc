"""The target's side of staging: which pages a VM that comes has, which of them are here.

Pages go straight into the node's store, whoever's they are, and stay there for this VM until its
snapshot is whole or it does not come after all. Nothing of a source's list is believed beyond that:
a snapshot counts once its signature holds and all of its pages are in the store. Until it is
announced a crash forgets which pages were to stay, which costs no more than sending them again.

Of a one-way move the pages may come before anything says so, and nobody may be there to send them
again. They are held durably, at most EARLY_BYTES together for VMs that nothing is known of; when
there is more, what came first goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import structlog
import trio

from radics_mesh.errors import CapacityError, WireError
from radics_mesh.hosting.host import Host
from radics_mesh.ids import Digest, VmId
from radics_mesh.vmm import pagemap
from radics_mesh.vmm.bare import SignedFields, dress
from radics_mesh.vmm.handoff_messages import Listing
from radics_mesh.vmm.pagemap import PageMap
from radics_mesh.vmm.pagepack import Head
from radics_mesh.vmm.ram import PAGE_BYTES

log = structlog.get_logger(__name__)

EARLY_BYTES = 256 << 20
_EARLY = "early-"
# A guest whose pages change all the time is listed again and again: no more of it is held than so
# often its memory.
_TIMES_MAX = 8


@dataclass
class _Parts:
    parts: int
    base: Digest | None
    got: dict[int, bytes] = field(default_factory=dict)


class UnknownBase(Exception):
    """A list builds on one that is not known here."""


class Arrival:
    """Of one VM."""

    def __init__(self, host: Host, vm_id: VmId) -> None:
        self._host = host
        self._vm_id = vm_id
        self._stays = ExitStack()
        self._attempt = 0
        self._coming: dict[Digest, _Parts] = {}
        # The last list, and hashes in all of them.
        self.latest: tuple[Digest, PageMap] | None = None
        self._held: set[bytes] = set()
        # The snapshot that is awaited, once its manifest is here, and its pages that are not.
        self.final: SignedFields | None = None
        self._missing: set[bytes] = set()

    @property
    def final_digest(self) -> Digest | None:
        return None if self.final is None else self.final[0].digest

    @property
    def final_count(self) -> int:
        return 0 if self.final is None else len(self.final[0].pages)

    async def listed(self, message: Listing, memory_bytes: int) -> list[int] | None:
        """A part of a list. With the last one: indices of the pages that are lacking here.

        WireError, UnknownBase, CapacityError, OSError: nothing has changed.
        """
        if message.attempt != self._attempt:
            self._attempt, self._coming, self.latest = message.attempt, {}, None
        data = self._together(message)
        if data is None:
            return None
        before = self._base(message.base)
        decode = pagemap.decode
        pages, tail = await trio.to_thread.run_sync(decode, data, before, memory_bytes)
        if tail:
            self._finish(message.digest, pages, tail, memory_bytes)
        elif await trio.to_thread.run_sync(pagemap.digest_of, pages) != message.digest:
            raise WireError("a list of other pages than it says")
        hashes = [pages[number] for number in sorted(pages)]
        self._hold(hashes, memory_bytes)
        self.latest = message.digest, pages
        return self._look(hashes)

    def _together(self, message: Listing) -> bytes | None:
        coming = self._coming.get(message.digest)
        if coming is None or (coming.parts, coming.base) != (message.parts, message.base):
            # One list at a time: its parts come one after the other, and again when some are lost.
            coming = _Parts(message.parts, message.base)
            self._coming = {message.digest: coming}
        coming.got[message.part] = message.data
        if len(coming.got) < coming.parts:
            return None
        self._coming = {}
        return b"".join(coming.got[part] for part in range(coming.parts))

    def _base(self, digest: Digest | None) -> PageMap:
        if digest is None:
            return {}
        if self.latest is None or self.latest[0] != digest:
            raise UnknownBase
        return self.latest[1]

    def _finish(self, digest: Digest, pages: PageMap, tail: bytes, memory_bytes: int) -> None:
        self.final = dress(tail, pages, memory_bytes, digest)

    def hold_final(self) -> set[bytes]:
        """Pages of the awaited snapshot that are not here; those that are stay."""
        assert self.final is not None
        named = self.final[0]
        hashes = named.page_hashes()
        self._hold(hashes, named.memory_bytes)
        self._look(hashes)
        return self._missing

    def lacking_of_final(self) -> list[int]:
        assert self.final is not None
        return self._host.pages.lacking(self.final[0].page_hashes())

    def _look(self, hashes: Sequence[bytes]) -> list[int]:
        lacking = self._host.pages.lacking(hashes)
        self._missing = {hashes[index] for index in lacking}
        return lacking

    def _hold(self, hashes: Sequence[bytes], memory_bytes: int) -> None:
        """So that what is said to be here stays. First, then it is looked at."""
        held = self._held
        fresh = list(dict.fromkeys([digest for digest in hashes if digest not in held]))
        if not fresh:
            return
        limit = _TIMES_MAX * memory_bytes // PAGE_BYTES
        if len(self._held) + len(fresh) > limit:  # its guest changes faster than it moves
            self._let_go()
            fresh = list(dict.fromkeys(hashes))
        self._stays.enter_context(self._host.pages.keeping(fresh))
        self._held.update(fresh)

    def check(self, packed: bytes) -> None:
        """WireError: no pack, or of pages that nobody announced."""
        hashes = Head.parse(packed).hashes
        if self._held and not self._held.issuperset(hashes):
            raise WireError("pages that are in no list of their VM")

    async def came(self, packed: bytes, *, hold: bool) -> bool:
        """Pages that were checked; whether all that were lacking are here now. `hold`: over a
        crash, too.

        WireError, CapacityError, OSError.
        """
        await keep_pages(self._host, self._vm_id, packed, hold=hold, ours=True)
        self._missing.difference_update(Head.parse(packed).hashes)
        return not self._missing

    async def drop(self) -> None:
        """It is here as a whole, or does not come."""
        self.final, self.latest, self._coming = None, None, {}
        self._missing = set()
        self._let_go()
        owner = f"{_EARLY}{self._vm_id.text}"

        def release() -> None:
            if owner in self._host.pages.owners():
                self._host.pages.release(owner)

        await trio.to_thread.run_sync(release)

    def _let_go(self) -> None:
        self._held.clear()
        self._stays.close()


async def keep_pages(
    host: Host, vm_id: VmId, packed: bytes, *, hold: bool, ours: bool = False
) -> None:
    """Put pages into the store, durably. `hold`: they have to be held for their VM, `ours` or not
    yet known to be."""

    def keep() -> None:
        if hold:
            owner, hashes = f"{_EARLY}{vm_id.text}", Head.parse(packed).hashes
            if not ours:
                _make_room(host, owner, len(hashes))
            host.pages.hold(owner, hashes, more=True)
        host.pages.put_pack(packed)

    await trio.to_thread.run_sync(keep)


def _make_room(host: Host, owner: str, count: int) -> None:
    pages = host.pages
    held = {o: len(pages.held_by(o)) for o in pages.owners() if o.startswith(_EARLY)}
    room = EARLY_BYTES // PAGE_BYTES - count
    for other in [o for o in held if o != owner]:
        if sum(held.values()) <= room:
            break
        log.warning("pages of a VM that did not come make room", owner=other)
        pages.release(other)
        del held[other]
    if sum(held.values()) > room:
        raise CapacityError("a VM's pages came before it, and are more than are kept")
