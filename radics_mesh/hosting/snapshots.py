"""The snapshots of one VM that this node keeps: a file each with the signed manifest, named by its
hash, and the pages in the node's store.

A node of an earlier version kept each in one piece (`.snap`); such a one is taken apart when it is
loaded, once there is room.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import trio

from radics_mesh.clock import Wall
from radics_mesh.durable import sync_directory, write_durably
from radics_mesh.errors import CapacityError, GuestError, PeerError
from radics_mesh.ids import Digest
from radics_mesh.me import Me
from radics_mesh.vmm import stored
from radics_mesh.vmm.bare import SignedFields
from radics_mesh.vmm.manifest import Signed, Signer, Subject
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.qemu import Files
from radics_mesh.vmm.snapshot import Snapshot
from radics_mesh.vmm.stored import Read, Stored
from radics_mesh.vmm.survey import Survey
from radics_mesh.vmm.template import template

_WEIGHED_PAGES = 512
_OLD_SUFFIX, _CARRIED_SUFFIX = ".snap", ".carried"


class Snapshots:
    """Errors of loading: MeshError or OSError."""

    def __init__(self, directory: Path, me: Me, pages: PageStore) -> None:
        self._directory = directory
        self._me = me
        self._pages = pages
        self._loaded: Signed | None = None
        # The one that was written or read as a whole last; its pages, until it starts.
        self._sure: Digest | None = None
        self._read: Read | None = None
        self._last: tuple[Digest, int] | None = None

    @property
    def last_bytes(self) -> int:
        """About, of the one that was stored or loaded last, pages that others have too included.

        Of many pages a sample is weighed: this is asked for in the pause of a move.
        """
        loaded = self._loaded
        if loaded is not None and (self._last is None or self._last[0] != loaded.digest):
            manifest = loaded.manifest
            count = len(manifest.pages)
            step = -(-count // _WEIGHED_PAGES) or 1
            sample = [manifest.hash(at) for at in range(0, count, step)]
            scale = count / len(sample) if sample else 0.0
            size = len(manifest.pack()) + self._pages.weigh(sample) * scale
            self._last = (loaded.digest, round(size))
        return 0 if self._last is None else self._last[1]

    def stored(self) -> list[Digest]:
        """Snapshots that are here."""
        return [
            Digest(bytes.fromhex(path.stem))
            for path in self._directory.iterdir()
            if path.suffix in (stored.SUFFIX, _OLD_SUFFIX) and len(path.stem) == 2 * Digest.LENGTH
        ]

    async def keep(self, seen: Survey, files: Files, subject: Subject, signer: Signer) -> Stored:
        """A parked guest's state, durably; errors as `stored.keep`."""

        def work() -> Stored:
            lain = template(files.image, files.memory_bytes)
            ram, memory_bytes = files.ram, files.memory_bytes
            return stored.keep(
                self._pages, seen, ram, memory_bytes, lain, subject, signer, self._directory
            )

        kept = await trio.to_thread.run_sync(work)
        self._loaded, self._sure = kept, kept.digest
        return kept

    async def store(self, snapshot: Snapshot) -> Stored:
        """Keep a snapshot that came in one piece, durably. CapacityError, OSError: it is not."""
        adopt = stored.adopt
        kept = await trio.to_thread.run_sync(adopt, self._pages, snapshot, self._directory)
        self._loaded, self._sure = kept, kept.digest
        return kept

    async def settle(self, signed: SignedFields, image: Digest) -> None:
        """Keep one whose pages are in the store already, held there by the caller, durably.

        WireError, PeerError: it is not of this image, or signed by no member."""
        verifier, now = self._me.verifier, self._me.clock.wall()

        def work() -> Stored:
            kept = Stored(*signed, self._pages)
            kept.check_signature(verifier, now)
            kept.check_fits(image)
            stored.write(kept, self._directory)
            return kept

        self._loaded = await trio.to_thread.run_sync(work)

    async def load(self, digest: Digest) -> Signed:
        """Its signature is verified, each page when it is read."""
        loaded, now = self._loaded, self._me.clock.wall()
        if loaded is None or loaded.digest != digest or not self._is_signed_by_member(loaded, now):
            loaded = self._loaded = await self._load(digest)
        return loaded

    async def _load(self, digest: Digest) -> Signed:
        verifier, now = self._me.verifier, self._me.clock.wall()
        path, old = self.path(digest), self._directory / f"{digest.hex()}{_OLD_SUFFIX}"
        if path.exists() or not old.exists():
            return await trio.to_thread.run_sync(self._load_stored, path, now)
        content = await trio.to_thread.run_sync(old.read_bytes)
        snapshot = await trio.to_thread.run_sync(Snapshot.unpack, content, verifier, None)
        with suppress(CapacityError, OSError):  # it is as good as it is
            kept = await self.store(snapshot)
            old.unlink()
            return kept
        return snapshot

    def _load_stored(self, path: Path, now: Wall) -> Stored:
        """In this node's name where its signer is no member any more: the state was taken before
        that was known, and whoever gets it next would refuse it. Blocks."""
        found = stored.load(self._pages, path, self._me.verifier)
        if self._is_signed_by_member(found, now):
            return found
        vouched = found.vouched(Signer(self._me.identity, self._me.chain))
        with suppress(OSError):  # it is as good here as it is
            stored.write(vouched, self._directory)
        return vouched

    def _is_signed_by_member(self, signed: Signed, now: Wall) -> bool:
        try:
            self._me.verifier.member(signed.chain, now)
        except PeerError:
            return False
        return True

    async def check(self, digest: Digest) -> Signed:
        """As `load`, and every page is read. GuestError names the first bad one."""
        self._sure = self._read = None
        path, now = self.path(digest), self._me.clock.wall()

        def read() -> Read | None:
            found = self._load_stored(path, now)
            if len(found.manifest.pages) <= stored.READ_PAGES_MAX:
                with suppress(GuestError):  # all of what is wrong with it is named below
                    return found.read()
            return None

        if path.exists() and (found := await trio.to_thread.run_sync(read)) is not None:
            self._read, self._sure = found, digest
            return found
        bad = await self.damaged(digest)
        if bad:
            number, reason = bad[0]
            more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
            raise GuestError(f"page {number} of its memory is damaged ({reason}){more}")
        self._sure = digest
        return await self.load(digest)

    def is_sure_of(self, digest: Digest) -> bool:
        """Whether it was written or checked as a whole just now."""
        return digest == self._sure

    async def to_start(self, digest: Digest) -> Signed:
        """As `check`, which may just have been done. What is laid down is checked then, too."""
        if digest != self._sure:
            await self.check(digest)
        read, self._read = self._read, None
        return read or await self.load(digest)

    async def damaged(self, digest: Digest) -> list[tuple[int, str]]:
        """Numbers of its pages that are no good, and why; errors as `load`."""
        found = await self._load(digest)
        if not isinstance(found, Stored):  # in one piece, and checked as a whole
            return []
        return await trio.to_thread.run_sync(found.check_pages)

    async def unpack(self, content: bytes) -> Snapshot:
        verifier, now = self._me.verifier, self._me.clock.wall()
        return await trio.to_thread.run_sync(lambda: Snapshot.unpack(content, verifier, now))

    def path(self, digest: Digest) -> Path:
        """Of its manifest, or where that would be."""
        return stored.path_of(self._directory, digest.hex())

    def packed(self, digest: Digest) -> bytes:
        """In one piece, to be carried elsewhere, signed as when it was loaded last. Blocks."""
        old = self._directory / f"{digest.hex()}{_OLD_SUFFIX}"
        if old.exists():
            return old.read_bytes()
        found = Stored(*stored.parse(self.path(digest).read_bytes()), self._pages)
        return found.in_one_piece().pack()

    async def carried(self, digest: Digest) -> Path:
        """A file with it in one piece, for who reads it by hand; it goes with the snapshot."""
        path = self._directory / f"{digest.hex()}{_CARRIED_SUFFIX}"
        await trio.to_thread.run_sync(lambda: write_durably(path, self.packed(digest), mode=0o600))
        return path

    def forget(self, digest: Digest) -> None:
        """Its pages stay until the store collects what nobody needs."""
        for suffix in (stored.SUFFIX, _OLD_SUFFIX, _CARRIED_SUFFIX):
            (self._directory / f"{digest.hex()}{suffix}").unlink(missing_ok=True)
        sync_directory(self._directory)
        self._pages.has_garbage = True
        if self._loaded is not None and self._loaded.digest == digest:
            self._loaded = self._sure = self._read = None
