"""What a recording leaves on the medium when power fails.

Model: file data and size are safe after a sync of the file; a file's name after a sync of the file
or of its directory (ext4 and XFS); a rename or removal after a sync of the directory. What was not
synced is lost, or for `torn` a part of it, chosen at random, has reached the medium: any of the
writes, whole or up to a sector's end, and the first so many changes of names.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR_BYTES = 512
# SQLite's index of its log: shared memory in a file's form, made anew after a crash.
_MEMORY_SUFFIX = "-shm"
# What the kernel calls a file that has lost its name.
_NAMELESS_SUFFIX = " (deleted)"


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


@dataclass(eq=False)
class _File:
    """`pending` are the changes since the last sync."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Record] = field(default_factory=list)
    mode: int = 0o600

    def sync(self) -> None:
        for record in self.pending:
            _change(self.safe, record)
        self.pending.clear()

    def now(self) -> bytes:
        """As the process sees it."""
        content = bytearray(self.safe)
        for record in self.pending:
            _change(content, record)
        return bytes(content)

    def after_power_loss(self, torn: random.Random | None) -> bytes:
        content = bytearray(self.safe)
        for record in self.pending if torn is not None else ():
            assert torn is not None
            fate = torn.random()
            if fate < 0.4:
                _change(content, record)
            elif fate < 0.6 and record.kind == "w":
                _change(content, _part(record, torn))
        return bytes(content)


@dataclass(frozen=True)
class _Naming:
    """A change of names that is not on the medium yet; `to`: the new name of a rename."""

    kind: str
    path: str
    file: _File
    to: str = ""

    def apply(self, names: dict[str, _File]) -> None:
        if self.kind == "c":
            names[self.path] = self.file
        elif names.get(self.path) is self.file:
            del names[self.path]
        if self.kind == "r":
            names[self.to] = self.file


def _part(record: Record, chance: random.Random) -> Record:
    """What of a write got onto the medium: up to the end of some sector."""
    first = SECTOR_BYTES - record.offset % SECTOR_BYTES
    cuts = range(first, len(record.data), SECTOR_BYTES)
    size = chance.choice(cuts) if cuts else 0
    return Record("w", record.path, record.offset, record.data[:size])


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
        # Names as the process sees them, and as the medium has them.
        self._seen: dict[str, _File] = {}
        self._safe: dict[str, _File] = {}
        self._namings: list[_Naming] = []

    def hold(self, name: str, content: bytes, mode: int = 0o600) -> None:
        """A file that is on the medium to begin with."""
        self._seen[name] = self._safe[name] = _File(bytearray(content), mode=mode)

    def set_mode(self, name: str, mode: int) -> None:
        """Rights are not recorded: what is there now, and stays, keeps those that it has now."""
        for names in (self._seen, self._safe):
            if name in names:
                names[name].mode = mode

    def apply(self, record: Record) -> None:
        if record.path.endswith((_MEMORY_SUFFIX, _NAMELESS_SUFFIX)):
            return
        match record.kind:
            case "c":
                self._made(record.path)
            case "w" | "t":
                file = self._seen.get(record.path) or self._made(record.path)
                file.pending.append(record)
            case "s" if record.path in self._seen:
                file = self._seen[record.path]
                file.sync()
                self._safe[record.path] = file
            case "s":
                self._sync_directory(record.path)
            case "u" if record.path in self._seen:
                file = self._seen.pop(record.path)
                self._namings.append(_Naming("u", record.path, file))
            case "r":
                self._rename(record.path, record.data.decode())
            case _:
                pass

    def _made(self, path: str) -> _File:
        file = self._seen[path] = _File()
        self._namings.append(_Naming("c", path, file))
        return file

    def _rename(self, path: str, to: str) -> None:
        below = [name for name in self._seen if name == path or name.startswith(f"{path}/")]
        for name in below:
            file, new = self._seen.pop(name), to + name[len(path) :]
            self._seen[new] = file
            self._namings.append(_Naming("r", name, file, new))

    def _sync_directory(self, path: str) -> None:
        """Names in it are on the medium as they are seen."""
        for name in [n for n in self._safe if _parent(n) == path and n not in self._seen]:
            del self._safe[name]
        self._safe |= {name: file for name, file in self._seen.items() if _parent(name) == path}
        self._namings = [
            n for n in self._namings if _parent(n.path) != path and _parent(n.to) != path
        ]

    def seen(self) -> dict[str, bytes]:
        """Every file as the process sees it."""
        return {name: file.now() for name, file in self._seen.items()}

    def image(self, target: Path, torn: random.Random | None = None) -> None:
        """Write the files below `target`, under their names relative to it."""
        for name, (content, mode) in self.after_power_loss(torn).items():
            path = target / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode)

    def after_power_loss(self, torn: random.Random | None = None) -> dict[str, tuple[bytes, int]]:
        """Content and mode of each file that is on the medium."""
        names = dict(self._safe)
        if torn is not None:
            for naming in self._namings[: torn.randint(0, len(self._namings))]:
                naming.apply(names)
        return {name: (file.after_power_loss(torn), file.mode) for name, file in names.items()}


def _parent(name: str) -> str:
    return name.rpartition("/")[0]
