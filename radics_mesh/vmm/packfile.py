"""A file of packs, one after another: written once, durably, then only read, then removed as a
whole. Its name is a number; where two files have the same page, the higher one counts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.durable import write_durably
from radics_mesh.errors import WireError
from radics_mesh.vmm import pagepack
from radics_mesh.vmm.pagepack import Head

_SUFFIX = ".pages"


@dataclass(frozen=True)
class PackPlace:
    """Where a pack's compressed part lies."""

    file: int
    at: int
    length: int
    pages: int


Pack = tuple[PackPlace, tuple[bytes, ...]]  # where it is, the hashes of its pages


def path_of(directory: Path, number: int) -> Path:
    return directory / f"{number:016x}{_SUFFIX}"


def numbers(directory: Path) -> list[int]:
    """Of the files that are here, ascending; what a crash left half-written is removed."""
    found = []
    for path in directory.iterdir():
        if path.name.endswith(".tmp"):
            path.unlink(missing_ok=True)
        elif path.suffix == _SUFFIX and len(path.stem) == 16:
            found.append(int(path.stem, 16))
    return sorted(found)


def write(directory: Path, number: int, packs: Sequence[bytes]) -> list[Pack]:
    """Durably; the packs' places and what they hold."""
    write_durably(path_of(directory, number), b"".join(packs), mode=0o600)
    at, places = 0, []
    for packed in packs:
        head = Head.parse(packed[: pagepack.HEAD_MAX_BYTES])
        length = head.end - head.body_at
        places.append((PackPlace(number, at + head.body_at, length, len(head.hashes)), head.hashes))
        at += len(packed)
    return places


def scan(directory: Path, number: int) -> Iterator[Pack]:
    """As `write` gave; only heads are read. WireError where the rest of the file is damaged."""
    with path_of(directory, number).open("rb", buffering=0) as file:
        at, size = 0, os.fstat(file.fileno()).st_size
        while at < size:
            head = Head.parse(os.pread(file.fileno(), pagepack.HEAD_MAX_BYTES, at))
            if at + head.end > size:
                raise WireError("pack of pages: truncated")
            length = head.end - head.body_at
            yield PackPlace(number, at + head.body_at, length, len(head.hashes)), head.hashes
            at += head.end


def read(directory: Path, place: PackPlace) -> bytes:
    """The content of all pages of a pack, unchecked. WireError: damaged. OSError: not there."""
    with path_of(directory, place.file).open("rb", buffering=0) as file:
        body = os.pread(file.fileno(), place.length, place.at)
    if len(body) != place.length:
        raise WireError("pack of pages: truncated")
    return pagepack.unfold(body, place.pages)
