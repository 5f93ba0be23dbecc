"""The snapshots of one VM that this node keeps, a file each, named by what they hold."""

from __future__ import annotations

from pathlib import Path

import trio

from radics_mesh.durable import sync_directory, write_durably
from radics_mesh.ids import Digest
from radics_mesh.me import Me
from radics_mesh.vmm.snapshot import Snapshot


class Snapshots:
    """`last_bytes`: size of the one that was stored or loaded last."""

    def __init__(self, directory: Path, me: Me) -> None:
        self.last_bytes = 0
        self._directory = directory
        self._me = me
        self._loaded: Snapshot | None = None

    def stored(self) -> list[Digest]:
        """Snapshots that are here."""
        return [
            Digest(bytes.fromhex(path.stem))
            for path in self._directory.glob("*.snap")
            if len(path.stem) == 2 * Digest.LENGTH
        ]

    async def store(self, snapshot: Snapshot, content: bytes) -> None:
        """Keep a snapshot durably; `content` is its packed form."""
        path = self.path(snapshot.digest)
        await trio.to_thread.run_sync(lambda: write_durably(path, content, mode=0o600))
        self._loaded = snapshot
        self.last_bytes = len(content)

    async def load(self, digest: Digest) -> Snapshot:
        """Verified; MeshError or OSError when it cannot be."""
        if self._loaded is not None and self._loaded.digest == digest:
            return self._loaded
        content = self.packed(digest)
        self._loaded = await self.unpack(content)
        self.last_bytes = len(content)
        return self._loaded

    async def unpack(self, content: bytes) -> Snapshot:
        verifier, now = self._me.verifier, self._me.clock.wall()
        return await trio.to_thread.run_sync(lambda: Snapshot.unpack(content, verifier, now))

    def path(self, digest: Digest) -> Path:
        return self._directory / f"{digest.hex()}.snap"

    def packed(self, digest: Digest) -> bytes:
        return self.path(digest).read_bytes()

    def forget(self, digest: Digest) -> None:
        self.path(digest).unlink(missing_ok=True)
        sync_directory(self._directory)
        if self._loaded is not None and self._loaded.digest == digest:
            self._loaded = None
