"""The pages of all VMs of a node, each kept once under the hash of its content.

    store.hold("snapshot-...", hashes)             first, so that none of them is collected
    missing = store.lacking(hashes)                then put or fetch those, and only then
    store.put((hashes[i], content) for i in ...)   write down what depends on them
    for first, content in store.runs(hashes): ...  checked, quick, in the order of the medium
    store.release("snapshot-..."); store.collect()

What `put`, `put_pack` and `hold` were given is on the medium when they return. On disk are files of
packs (`packfile`), never changed, and one of hashes an owner (`holds`). The index (`packindex`) is
in memory, about 150 bytes a page, and made of the packs' heads at start, so that nothing can
disagree with them.

A page that cannot be read as what its hash says is as good as not there: `lacking` names it from
then on, and `put` brings it back under the same hash.

Everything blocks: for worker threads, of which several may call at once.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from os import cpu_count
from pathlib import Path
from typing import TypeVar

import structlog

from radics_mesh.durable import sync_directory
from radics_mesh.errors import CapacityError, GuestError, WireError
from radics_mesh.vmm import packfile, pagepack
from radics_mesh.vmm.holds import Holds
from radics_mesh.vmm.packindex import PackIndex
from radics_mesh.vmm.pagepack import PACK_PAGES, Page
from radics_mesh.vmm.pagereader import PageReader

log = structlog.get_logger(__name__)

# In a file at most, and in work at a time, so that memory is bounded: a MiB of pages each.
_FILE_PACKS = 32
_Owner = TypeVar("_Owner")


@dataclass(frozen=True)
class Share:
    """Bytes on disk of what an owner holds: for it alone, and with others together."""

    pages: int
    alone_bytes: int
    shared_bytes: int


class PageStore:
    """`limit_bytes`: of packs on disk; CapacityError when they would be more."""

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        self._packs_at = directory / "packs"
        self._packs_at.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.limit_bytes = limit_bytes
        # Whether something has been let go since the last collection.
        self.has_garbage = True
        self._holds = Holds(directory / "held")
        self._index = PackIndex()
        # Guards what follows; never held while pages are read or written.
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._collecting = threading.Lock()
        # Pages that a thread is writing down at this moment, and bytes of files to be.
        self._coming: set[bytes] = set()
        self._writing_bytes = 0
        # Holds that are being written, and what else must stay for now.
        self._taking: list[tuple[bytes, ...]] = []
        self._references: list[Callable[[], Iterable[bytes]]] = []
        self._next_file = 1
        workers = min(4, cpu_count() or 1)
        # Both zstd and SHA-256 let other threads run.
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="pages")
        self._reader = PageReader(self._packs_at, self._index, self._workers)
        self._find_all()

    def close(self) -> None:
        self._workers.shutdown()

    def __len__(self) -> int:
        return len(self._index)

    @property
    def used_bytes(self) -> int:
        return self._index.used_bytes

    # --- pages ----------------------------------------------------------------------------------

    def lacking(self, hashes: Iterable[bytes]) -> list[int]:
        """Which of them are not here, as indices."""
        return self._index.lacking(hashes)

    def put(self, pages: Iterable[Page], *, true: bool = False) -> int:
        """Keep pages; what is here already costs nothing. Returns the bytes written.

        A page that is not what its hash says is left out, so that one VM's mistake is no other's;
        `true`: the caller has just hashed them. While `pages` gives more, other threads compress
        what it gave. Nothing is lost on CapacityError and OSError, but what came before it may be
        kept; errors of `pages` are passed on.
        """
        written, make = 0, pagepack.make if true else pagepack.make_true
        fresh = (page for page in pages if page[0] not in self._index)
        while (put := self._put(fresh, make)) is not None:
            written += put
        return written

    def _put(self, fresh: Iterator[Page], make: Callable[[Sequence[Page]], bytes]) -> int | None:
        """A file of them, the bytes written; None: there were none.

        What another thread is writing already is waited for: all VMs of one image that are saved
        together have the same pages.
        """
        mine, others = set[bytes](), dict[bytes, bytes]()
        made: list[Future[bytes]] = []
        taken = 0
        try:
            while taken < _FILE_PACKS and (some := dict(islice(fresh, PACK_PAGES))):
                taken += 1
                with self._lock:
                    ours = [page for page in some.items() if page[0] not in self._coming]
                    self._coming.update(digest for digest, _ in ours)
                mine.update(digest for digest, _ in ours)
                others.update((d, c) for d, c in some.items() if d not in mine)
                if ours:
                    made.append(self._workers.submit(make, ours))
            packs = [packed for one in made if (packed := one.result())]
            written = self._write(packs) if packs else 0
        finally:
            with self._settled:
                self._coming.difference_update(mine)
                self._settled.notify_all()
        if others:
            with self._settled:
                while not self._coming.isdisjoint(others):
                    self._settled.wait()
            # One that could not be written there is tried here.
            left = ((d, c) for d, c in others.items() if d not in self._index)
            written += self._put(left, make) or 0
        return written if taken else None

    def _make(self, pages: Sequence[Page]) -> list[bytes]:
        made = self._workers.map(pagepack.make_true, pagepack.batches(pages, PACK_PAGES))
        return [packed for packed in made if packed]

    def put_pack(self, data: bytes) -> int:
        """Keep the pages of a pack from elsewhere; WireError when it is not wholly good."""
        pages = pagepack.parse(data)
        if any(digest in self._index for digest, _ in pages):
            return self.put(pages)
        return self._write([data])

    def pack(self, hashes: Sequence[bytes]) -> bytes:
        """Pages for `put_pack`, at most PACK_PAGES; errors as `read`."""
        return pagepack.make(list(zip(hashes, self.read(hashes), strict=True)))

    def read(self, hashes: Sequence[bytes]) -> Iterator[bytes]:
        """Pages in this order, each checked. GuestError names one that is damaged or not here."""
        for some in pagepack.batches(hashes, _FILE_PACKS * PACK_PAGES):
            pages: list[bytes] = [b""] * len(some)
            for first, content in self.runs(some):
                for at, page in enumerate(pagepack.cut(content), first):
                    pages[at] = page
            yield from pages

    def runs(self, hashes: Sequence[bytes]) -> Iterator[tuple[int, bytes]]:
        """(index of the first, content of one or more pages in a row), each page checked.

        In the order in which they lie on disk, so that each pack is opened once. Errors as `read`.
        """
        for opened in self._reader.opened(hashes):
            if opened.damage:
                raise GuestError(opened.damage[0][1])
            yield from opened.runs

    def check(self, hashes: Sequence[bytes]) -> list[tuple[int, str]]:
        """Read all of these; the index of each that is no good, and why."""
        return sorted(bad for opened in self._reader.opened(hashes) for bad in opened.damage)

    # --- who needs them -------------------------------------------------------------------------

    @contextmanager
    def keeping(self, hashes: Iterable[bytes]) -> Iterator[None]:
        """As `hold`, but only until the end of this block, or of the process."""
        taken = tuple(hashes)
        with self._lock:
            self._taking.append(taken)
        try:
            yield
        finally:
            with self._lock:
                self._taking.remove(taken)

    def refer(self, references: Callable[[], Iterable[bytes]]) -> None:
        """Ask this, too, which pages are held. It reads what it has on disk, and blocks."""
        self._references.append(references)

    def hold(self, owner: str, hashes: Iterable[bytes], *, more: bool = False) -> None:
        """Never collect these pages, whether they are here already or will be.

        It replaces what this owner held; `more`: it comes to that.
        """
        taken = tuple(hashes)
        with self.keeping(taken):
            (self._holds.add if more else self._holds.put)(owner, taken)

    def release(self, owner: str) -> None:
        self._holds.drop(owner)
        self.has_garbage = True

    def owners(self) -> list[str]:
        return self._holds.owners()

    def held_by(self, owner: str) -> list[bytes]:
        return self._holds.of(owner)

    def shares(self) -> dict[str, Share]:
        """What each owner's pages take on disk."""
        return self.shares_of({owner: self._holds.of(owner) for owner in self.owners()})

    def shares_of(self, held: Mapping[_Owner, Iterable[bytes]]) -> dict[_Owner, Share]:
        """The same for these owners, whoever they are."""
        sets = {owner: set(hashes) for owner, hashes in held.items()}
        count = Counter(digest for hashes in sets.values() for digest in hashes)
        weights = self._index.weights(count)
        shares = {}
        for owner, hashes in sets.items():
            alone = sum(weights[d] for d in hashes if count[d] == 1)
            shared = sum(weights[d] for d in hashes if count[d] > 1)
            shares[owner] = Share(len(hashes), round(alone), round(shared))
        return shares

    def weigh(self, hashes: Iterable[bytes]) -> int:
        """What these pages take on disk."""
        return round(sum(self._index.weights(hashes).values()))

    # --- making room ----------------------------------------------------------------------------

    def collect(self) -> int:
        """Remove files of which nobody holds a page, write those anew that are mostly of no use.

        Returns the bytes freed. What is written is at most what is freed, beside small files that
        are put together.
        """
        with self._collecting:
            before, self.has_garbage = self.used_bytes, False
            with self._lock:  # whoever begins to keep pages now will see what is left
                condemned = self._index.condemn(self._held())
            self._remove(condemned.dead)
            self._rewrite(condemned.sparse)
            return before - self.used_bytes

    def _held(self) -> set[bytes]:
        held: set[bytes] = set()
        for owner in self.owners():
            held.update(self._holds.of(owner))
        for others in (*self._taking, *(find() for find in self._references)):
            held.update(others)
        return held

    def _rewrite(self, numbers: Sequence[int]) -> None:
        """Move the pages that count out of these files, then remove them.

        A damaged page is left out: it was lost already, and is now known to be.
        """
        packs, hashes = self._index.inside(numbers)
        for some in pagepack.batches(hashes, _FILE_PACKS * PACK_PAGES):
            pages: list[Page] = []
            for opened in self._reader.opened(some):
                for first, run in opened.runs:
                    pages += [(some[at], p) for at, p in enumerate(pagepack.cut(run), first)]
                for _, reason in opened.damage:
                    log.warning("page lost", reason=reason)
            if pages:
                self._write(self._make(pages), moved=packs)
        self._remove(numbers)

    def _remove(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            packfile.path_of(self._packs_at, number).unlink(missing_ok=True)
            self._index.remove_file(number)
        if numbers:
            sync_directory(self._packs_at)

    # --- inside ---------------------------------------------------------------------------------

    def _find_all(self) -> None:
        for number in packfile.numbers(self._packs_at):
            self._next_file = number + 1
            size = packfile.path_of(self._packs_at, number).stat().st_size
            found = []
            try:
                for pack in packfile.scan(self._packs_at, number):
                    found.append(pack)
            except WireError as error:  # what could be read of it counts
                log.warning("pages are damaged", file=f"{number:016x}", reason=str(error))
            self._index.add_file(number, size, found)

    def _write(self, packs: Sequence[bytes], *, moved: set[int] | None = None) -> int:
        """A file of these packs. `moved`: they are copies from those packs; the room is not asked
        for, since the others go."""
        size = sum(map(len, packs))
        if moved is None:
            self._check_room(size)
        with self._lock:
            number, self._next_file = self._next_file, self._next_file + 1
            self._writing_bytes += size
        try:
            places = packfile.write(self._packs_at, number, packs)
        finally:
            with self._lock:
                self._writing_bytes -= size
        self._index.add_file(number, size, places, moved)
        return size

    def _check_room(self, size: int) -> None:
        if self._taken() + size > self.limit_bytes:
            self.collect()
        if self._taken() + size > self.limit_bytes:
            raise CapacityError(
                f"{size >> 10} KiB for pages of VMs, but {self._taken() >> 20} of"
                f" {self.limit_bytes >> 20} MiB are taken"
            )

    def _taken(self) -> int:
        return self._index.used_bytes + self._writing_bytes
