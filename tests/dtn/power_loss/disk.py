"""What a recording leaves on the medium when power fails.

Model: file data and size are safe after a sync of the file; a file's name after a sync of the file
or of its directory (ext4 and XFS); a rename or removal after a sync of the directory. What was not
synced is lost, or for `torn` a part of it, chosen at random, has reached the medium.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Record:
    kind: str
    path: str
    offset: int
    data: bytes


def read_recording(content: bytes) -> Iterator[Record]:
    at = 0
    while at < len(content):
        kind = chr(content[at])
        (path_bytes,) = struct.unpack_from("<I", content, at + 1)
        at += 5
        path = content[at : at + path_bytes].decode()
        at += path_bytes
        offset, data_bytes = struct.unpack_from("<QQ", content, at)
        at += 16
        yield Record(kind, path, offset, content[at : at + data_bytes])
        at += data_bytes


@dataclass
class _File:
    """`pending` are the changes since the last sync."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Record] = field(default_factory=list)
    named: bool = False

    def sync(self) -> None:
        for record in self.pending:
            _change(self.safe, record)
        self.pending.clear()
        self.named = True


def _change(content: bytearray, record: Record) -> None:
    if record.kind == "t":
        del content[record.offset :]
        content.extend(bytes(record.offset - len(content)))
        return
    end = record.offset + len(record.data)
    content.extend(bytes(max(0, end - len(content))))
    content[record.offset : end] = record.data


class Disk:
    """Feed it records in order; `image` is what the medium holds."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._moves: list[Record] = []
        self._names: dict[str, _File] = {}

    def apply(self, record: Record) -> None:
        match record.kind:
            case "w" | "t":
                file = self._files.setdefault(record.path, _File())
                self._names.setdefault(record.path, file)
                file.pending.append(record)
            case "s" if record.path in self._files:
                self._files[record.path].sync()
            case "s":
                self._sync_directory(record.path)
            case "u":
                self._files.pop(record.path, None)
                self._moves.append(record)
            case "r":
                moved = self._files.pop(record.path, None)
                if moved is not None:
                    self._files[record.data.decode()] = moved
                self._moves.append(record)
            case _:
                pass

    def _sync_directory(self, path: str) -> None:
        """Names change on the medium only now."""
        for record in self._moves:
            gone = self._names.pop(record.path, None)
            if record.kind == "r" and gone is not None:
                self._names[record.data.decode()] = gone
        self._moves.clear()
        for name, file in self._files.items():
            if str(Path(name).parent) == path:
                self._names[name] = file
                file.named = True

    def image(self, target: Path, torn: random.Random | None = None) -> None:
        """Write the files below `target`, under their names relative to it."""
        for name, file in self._names.items():
            if not file.named:
                continue
            content = bytearray(file.safe)
            for record in file.pending:
                if torn is not None and torn.random() < 0.5:
                    _change(content, record)
            path = target / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
