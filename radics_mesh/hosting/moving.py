"""Images and snapshots on their way: cut into pieces of one bundle each, gathered on disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from radics_mesh.durable import sync_directory, write_durably
from radics_mesh.errors import CapacityError, WireError
from radics_mesh.ids import Digest, VmId
from radics_mesh.vmm.handoff_messages import PIECE_BYTES, PIECES_MAX, Piece


def cut(vm_id: VmId, digest: Digest, content: bytes, wanted: tuple[int, ...]) -> Iterator[Piece]:
    """All pieces, or the wanted ones."""
    count = max(1, -(-len(content) // PIECE_BYTES))
    for index in wanted or range(count):
        if index < count:
            part = content[index * PIECE_BYTES : (index + 1) * PIECE_BYTES]
            yield Piece(vm_id, digest, index, count, part)


class Incoming:
    """Pieces that have come, durable, each content in a directory `<digest>.<count>`.

    A content that nobody asks for any more is dropped when room is needed, the oldest first.
    """

    def __init__(self, directory: Path, limit_bytes: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._limit_bytes = limit_bytes

    def add(self, piece: Piece) -> bool:
        """Keep a piece; whether its content is whole now. CapacityError, WireError."""
        where = self._where(piece.digest)
        if where is None:
            self._make_room(piece.count * PIECE_BYTES)
            where = self._directory / f"{piece.digest.hex()}.{piece.count}"
            where.mkdir(exist_ok=True)
            sync_directory(self._directory)
        if _count(where) != piece.count:
            raise WireError(f"{piece.digest.short} comes in {piece.count} pieces, not as begun")
        write_durably(where / str(piece.index), piece.data)
        return not self._absent(where)

    def missing(self, digest: Digest) -> tuple[int, ...]:
        """Numbers of the pieces that are not here; none named while nothing has come."""
        where = self._where(digest)
        return tuple(self._absent(where)) if where is not None else ()

    def whole(self, digest: Digest) -> bytes | None:
        """The content, unchecked, once all pieces are here."""
        where = self._where(digest)
        if where is None or self._absent(where):
            return None
        return b"".join((where / str(index)).read_bytes() for index in range(_count(where)))

    def drop(self, digest: Digest) -> None:
        where = self._where(digest)
        if where is not None:
            shutil.rmtree(where)

    def _where(self, digest: Digest) -> Path | None:
        return next(self._directory.glob(f"{digest.hex()}.*"), None)

    def _absent(self, where: Path) -> list[int]:
        held = {path.name for path in where.iterdir()}
        return [index for index in range(_count(where)) if str(index) not in held]

    def _make_room(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            raise CapacityError(f"a transfer of {size_bytes} bytes is more than is taken here")
        by_age = sorted(self._directory.iterdir(), key=lambda path: path.stat().st_mtime)
        total = sum(_count(path) * PIECE_BYTES for path in by_age)
        for path in by_age:
            if total + size_bytes <= self._limit_bytes:
                return
            total -= _count(path) * PIECE_BYTES
            shutil.rmtree(path)


def _count(where: Path) -> int:
    return min(int(where.name.partition(".")[2]), PIECES_MAX)
