"""What has come of a bundle whose transfer goes on, kept for the case that it breaks off.

On a link that never lasts as long as a bundle takes, sending it again from its beginning would
never end. So where both sides offer reactive fragmentation (RFC 7242 section 4.1), the receiver
puts what has come on its disk every KEEP_EVERY_S and acknowledges that much. From then on these
bytes are its own to answer for, whatever happens: when the session breaks off they become a
fragment here, at the next start if this node dies too, and the sender goes on with the rest.

A part is a link to the spool's file, PEER-NUMBER-LENGTH in a directory beside the store. What a
crash has left of the file behind LENGTH is not looked at.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import structlog
import trio

from radics_mesh.dtn.rules.processing import Peer
from radics_mesh.dtn.storage.spool import Spool
from radics_mesh.dtn.wire.content import Content, FileBytes
from radics_mesh.durable import sync_directory
from radics_mesh.errors import CapacityError, MeshError, WireError
from radics_mesh.ids import NodeId

log = structlog.get_logger(__name__)

KEEP_EVERY_S = 2.0
_numbers = itertools.count()


class Taker(Protocol):
    """The agent's side."""

    async def may_keep(self, raw: Content, peer: Peer) -> bool: ...

    async def receive_part(self, raw: Content, peer: Peer) -> object: ...


class Parts:
    """The directory. One for all sessions of a node."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def put(self, file: Path, peer: NodeId, length: int) -> Path:
        """A durable name for the first `length` bytes of a file that are on the disk; OSError."""
        return await trio.to_thread.run_sync(self._put, file, peer, length)

    def _put(self, file: Path, peer: NodeId, length: int) -> Path:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        path = self._directory / f"{peer.text}-{os.getpid()}.{next(_numbers)}-{length}"
        path.unlink(missing_ok=True)  # of a process that had our number
        os.link(file, path)
        sync_directory(self._directory)
        return path

    def _all(self) -> Iterator[tuple[Path, NodeId, int]]:
        for path in sorted(self._directory.glob("*-*-*")):
            peer, _, length = path.name.split("-", 2)
            try:
                yield path, NodeId.parse(peer), int(length)
            except (WireError, ValueError):
                log.warning("not a part", file=path.name)

    async def recover(self, taker: Taker) -> int:
        """Give what an earlier life has left to the agent; how many there were."""
        found = list(self._all())
        for path, peer, length in found:
            await hand_over(path, length, peer, taker)
        return len(found)


class Keeper:
    """The parts of one session with a member."""

    def __init__(self, parts: Parts, taker: Taker, peer: NodeId) -> None:
        self._parts = parts
        self._taker = taker
        self._peer = peer
        self._kept: dict[int, tuple[Path, int]] = {}

    async def keep(self, number: int, spool: Spool) -> int:
        """How many bytes of the bundle in `spool` may be acknowledged; 0 when none."""
        length = await spool.sync()
        old, kept_bytes = self._kept.get(number, (None, 0))
        if length <= kept_bytes:
            return kept_bytes
        part = FileBytes.of(spool.path).part(0, length)
        # Not after it was acknowledged: then it would be nobody's.
        if not await self._taker.may_keep(part, self._peer):
            return kept_bytes
        self._kept[number] = await self._parts.put(spool.path, self._peer, length), length
        if old is not None:
            old.unlink(missing_ok=True)
        return length

    def settle(self, number: int) -> None:
        """The whole bundle was taken or refused: nobody needs the part."""
        path, _ = self._kept.pop(number, (None, 0))
        if path is not None:
            path.unlink(missing_ok=True)

    async def hand_over(self) -> None:
        """The session has ended: parts of bundles that were not answered become fragments."""
        while self._kept:
            _, (path, length) = self._kept.popitem()
            await hand_over(path, length, self._peer, self._taker)


async def hand_over(path: Path, length: int, peer: NodeId, taker: Taker) -> None:
    """Its file stays only where the agent may take it later: when there is room."""
    try:
        await taker.receive_part(FileBytes.of(path).part(0, length), peer)
    except CapacityError as error:
        log.warning("no room for a part", file=path.name, reason=str(error))
        return
    except (MeshError, OSError) as error:
        log.warning("a part is of no use", file=path.name, reason=str(error))
    path.unlink(missing_ok=True)
