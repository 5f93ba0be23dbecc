"""What the control socket answers about snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from radics_mesh.control_shapes.kept import SnapshotRow
from radics_mesh.errors import CapacityError, UsageError
from radics_mesh.hosting.shelf import Entry
from radics_mesh.node.services import Services

# It is read as a whole, and a node may have little memory.
IMPORT_MAX_BYTES = 1 << 30


class SnapshotRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def snapshots(self) -> Mapping[str, Any]:
        shelf, pages = self._node.hosting.shelf, self._node.hosting.pages
        rows = [self._row(entry) for entry in await shelf.entries()]
        return {"snapshots": rows, "used": pages.used_bytes, "quota": pages.limit_bytes}

    async def snapshot_rm(self, snapshot: str) -> Mapping[str, Any]:
        shelf, pages = self._node.hosting.shelf, self._node.hosting.pages
        entry = await shelf.find(snapshot)
        shelf.remove(entry)
        freed = await trio.to_thread.run_sync(pages.collect)
        return {"snapshot": self._row(entry), "freed": freed}

    async def snapshot_verify(self, snapshot: str) -> Mapping[str, Any]:
        shelf = self._node.hosting.shelf
        entries = [await shelf.find(snapshot)] if snapshot else await shelf.entries()
        verdicts = [await shelf.verify(entry) for entry in entries]
        return {
            "verdicts": [
                {"snapshot": self._row(v.entry), "damage": list(v.damage)} for v in verdicts
            ]
        }

    async def snapshot_export(self, snapshot: str, file: str) -> Mapping[str, Any]:
        shelf = self._node.hosting.shelf
        entry = await shelf.find(snapshot)
        size = await shelf.export(entry, Path(file))
        return {"snapshot": self._row(entry), "bytes": size}

    async def snapshot_import(self, file: str) -> Mapping[str, Any]:
        content = await trio.to_thread.run_sync(_read, Path(file))
        try:
            taken = await self._node.hosting.shelf.take_in(content)
        except OSError as error:
            raise CapacityError(f"{file} cannot be kept: {error.strerror or error}") from error
        entry = await self._node.hosting.shelf.find(taken.manifest.digest.hex())
        return {"snapshot": self._row(entry), "mended": taken.mended}

    def _row(self, entry: Entry) -> SnapshotRow:
        manifest = entry.place.manifest
        age_s = None
        if manifest is not None:
            age_s = max(0.0, self._node.me.clock.wall() - manifest.created)
        return {
            "vm": entry.name,
            "id": entry.place.vm_id.text,
            "digest": entry.place.digest.hex(),
            "epoch": 0 if manifest is None else manifest.epoch,
            "use": "damaged" if manifest is None else entry.use,
            "pages": 0 if manifest is None else len(manifest.pages),
            "alone": entry.alone_bytes,
            "shared": entry.shared_bytes,
            "age_s": age_s,
        }


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > IMPORT_MAX_BYTES:
            raise UsageError(f"{path}: over {IMPORT_MAX_BYTES >> 30} GiB, too large to be imported")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
