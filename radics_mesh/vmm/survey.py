"""What a guest's memory holds, page by page, kept up by looking at changed pages only.

    survey = Survey.at_start(...)                     cold: the template; warm: the snapshot's pages
    changed = await machine.stage(survey.stage)       the guest names pages; it runs on
    survey = look(ram, memory_bytes, template, before=survey, changed=changed)
    ... machine.park(survey.stage), look a last time at what it names, and
    `snapshot.take(..., held=survey.held(ram))` hashes nothing again

A survey of a running guest is of no single moment: pages change while they are read. But what is
written after the guest's report is in the next one, so the survey after parking is exact.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from radics_mesh.vmm.changed import Changed
from radics_mesh.vmm.manifest import Manifest
from radics_mesh.vmm.ram import FIRMWARE_BYTES, PAGE_BYTES, held_pages

_FIRST = FIRMWARE_BYTES // PAGE_BYTES
_ZERO = bytes(PAGE_BYTES)


@dataclass(frozen=True)
class Survey:
    """SHA-256 of each page that a snapshot would hold, by number, and after which stage."""

    stage: int
    pages: Mapping[int, bytes] = field(repr=False)

    @classmethod
    def at_start(cls, manifest: Manifest | None) -> Survey:
        """Of a guest that has not run yet here: cold without a manifest, else warm from it."""
        if manifest is None:
            return cls(0, {})
        return cls(0, {number: manifest.hash(at) for at, number in enumerate(manifest.pages)})

    def held(self, ram: Path) -> Iterator[tuple[int, bytes, bytes]]:
        """For `snapshot.take`, once the guest is parked and its last changes are looked at."""
        for number, content in _read(ram, iter(sorted(self.pages))):
            yield number, self.pages[number], content


def look(
    ram: Path,
    memory_bytes: int,
    template: Mapping[int, bytes],
    *,
    before: Survey | None = None,
    changed: Changed | None = None,
) -> Survey:
    """Look at the pages that changed since `before`; at all, unless both fit. Blocks."""
    if (
        before is None
        or changed is None
        or changed.since != before.stage
        or changed.pages * PAGE_BYTES != memory_bytes
    ):
        everything = held_pages(ram, memory_bytes, template)
        pages = {number: hashlib.sha256(content).digest() for number, content in everything}
        return Survey(0 if changed is None else changed.stage, pages)
    pages = dict(before.pages)
    for number, content in _read(ram, changed.numbers(_FIRST)):
        if content == template.get(number, _ZERO):
            pages.pop(number, None)
        else:
            pages[number] = hashlib.sha256(content).digest()
    return Survey(changed.stage, pages)


def _read(ram: Path, numbers: Iterator[int]) -> Iterator[tuple[int, bytes]]:
    """(number, content) of these pages, ascending; neighbours in one go."""
    descriptor = os.open(ram, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for first, count in _runs(numbers):
            content = os.pread(descriptor, count * PAGE_BYTES, first * PAGE_BYTES)
            for at in range(count):
                yield first + at, content[at * PAGE_BYTES : (at + 1) * PAGE_BYTES]
    finally:
        os.close(descriptor)


_RUN_MAX = 256


def _runs(numbers: Iterator[int]) -> Iterator[tuple[int, int]]:
    first = count = 0
    for number in numbers:
        if count and number == first + count and count < _RUN_MAX:
            count += 1
            continue
        if count:
            yield first, count
        first, count = number, 1
    if count:
        yield first, count
