"""What a guest's memory holds, page by page, kept up by looking at changed pages only.

    survey = Survey.at_start(...)                     cold: the template; warm: the snapshot's pages
    changed = await machine.stage(survey.stage)       the guest names pages; it runs on
    survey = look(ram, memory_bytes, template, before=survey, changed=changed)
    ... machine.park(survey.stage), look a last time at what it names, and
    `stored.keep` reads only pages that the store lacks

A survey of a running guest is of no single moment: pages change while they are read. But what is
written after the guest's report is in the next one, so the survey after parking is exact.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from radics_mesh.vmm.changed import Changed
from radics_mesh.vmm.manifest import Manifest
from radics_mesh.vmm.pagepack import Page, page_hash
from radics_mesh.vmm.ram import FIRMWARE_BYTES, PAGE_BYTES, data_pages
from radics_mesh.vmm.template import Template

_FIRST = FIRMWARE_BYTES // PAGE_BYTES
_ZERO = bytes(PAGE_BYTES)
ZERO_HASH = page_hash(_ZERO)

Put = Callable[[Iterable[Page]], object]


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
        return cls(0, dict(zip(manifest.pages, manifest.page_hashes(), strict=True)))

    def held(self, ram: Path) -> Iterator[tuple[int, bytes, bytes]]:
        """For `snapshot.take`, once the guest is parked and its last changes are looked at."""
        for number, content in read_pages(ram, sorted(self.pages)):
            yield number, self.pages[number], content


def look(
    ram: Path,
    memory_bytes: int,
    template: Template,
    *,
    before: Survey | None = None,
    changed: Changed | None = None,
    put: Put | None = None,
) -> Survey:
    """Look at the pages that changed since `before`; at all, unless both fit. Blocks.

    `put` gets (SHA-256, content) of each page that was not in the survey before, while others are
    still looked at; its errors are passed on. One that has changed again may be changing all the
    time: it is not worth keeping before that is known.
    """
    if (
        before is None
        or changed is None
        or changed.since != before.stage
        or changed.pages * PAGE_BYTES != memory_bytes
    ):
        # A template's page that is in a hole of the file has been given back: zeros.
        pages = {n: ZERO_HASH for n in template if _FIRST <= n < memory_bytes // PAGE_BYTES}
        contents = data_pages(ram, memory_bytes)
    else:
        pages = dict(before.pages)
        contents = read_pages(ram, changed.numbers(_FIRST))
    looked = _looked(pages, template, contents)
    if put is not None:
        put(looked)
    for _ in looked:  # what `put` has not taken
        pass
    return Survey(0 if changed is None else changed.stage, pages)


def _looked(
    pages: dict[int, bytes], template: Template, contents: Iterable[tuple[int, bytes]]
) -> Iterator[Page]:
    """Renew the survey `pages` by these; the ones that are new in it."""
    for number, content in contents:
        digest = _differing(content, template.get(number))
        if digest is None:
            pages.pop(number, None)
            continue
        is_new = number not in pages
        pages[number] = digest
        if is_new:
            yield digest, content


def _differing(content: bytes, lain: bytes | None) -> bytes | None:
    """A page's hash, unless it is what a restore finds there: the template, or zeros."""
    if content == _ZERO:
        return None if lain is None else ZERO_HASH
    digest = page_hash(content)
    return None if digest == lain else digest


def read_pages(ram: Path, numbers: Iterable[int]) -> Iterator[tuple[int, bytes]]:
    """(number, content) of these pages, ascending; neighbours in one go. Blocks."""
    descriptor = os.open(ram, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for first, count in _runs(numbers):
            content = os.pread(descriptor, count * PAGE_BYTES, first * PAGE_BYTES)
            for at in range(count):
                yield first + at, content[at * PAGE_BYTES : (at + 1) * PAGE_BYTES]
    finally:
        os.close(descriptor)


_RUN_MAX = 256


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
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
