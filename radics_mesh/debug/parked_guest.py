"""Threads and memory of a parked guest's program, from its RAM alone.

The park header says where the library OS describes itself (guest_lib/kernel/describe.h), and that
says where everything is, so nothing here knows a layout of the kernel's. Untrusted bytes: only
WireError.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from radics_mesh.debug.memory import TABLES, AddressSpace, Ram
from radics_mesh.debug.registers import Architecture
from radics_mesh.errors import WireError
from radics_mesh.vmm.image import PAGE_BYTES
from radics_mesh.vmm.parked import headers
from radics_mesh.vmm.threads import NEVER, STACK_MAX, ThreadReport

_MAGIC = 0x6373656453436452
_VERSION = 1
_THREADS_MAX, _REGIONS_MAX, _AUXV_MAX = 4096, 32768, 64
_HEADER_BYTES_MAX = 256
_SKIP_MAX = 64 << 10
_IN_THREAD, _NONE = 0x8000, 0xFFFF
_HEAD = struct.Struct("<QIIQQQQQQQQQ")
_OFFSETS = struct.Struct("<27I40H")


@dataclass(frozen=True)
class _Description:
    """struct description, field by field."""

    magic: int
    version: int
    length: int
    kernel_base: int
    ram_base: int
    roots: int
    threads: int
    now: int
    base: int
    auxv: int
    regions: int
    regions_count: int
    region_bytes: int
    region_start: int
    region_end: int
    region_prot: int
    region_source: int
    region_source_end: int
    region_file: int
    thread_all: int
    thread_id: int
    thread_name: int
    name_bytes: int
    thread_state: int
    state_waiting: int
    thread_deadline: int
    thread_fp: int
    fp_bytes: int
    thread_frame: int
    frame_vector: int
    vector_syscall: int
    frame_call: int
    frame_arguments: tuple[int, ...]
    registers: int
    register_at: tuple[int, ...]


def _description(data: bytes) -> _Description:
    head = _HEAD.unpack_from(data)
    if head[:2] != (_MAGIC, _VERSION):
        raise WireError("parked guest: its description is none, or of another version")
    numbers = _OFFSETS.unpack_from(data, _HEAD.size)
    plain, arguments, registers = numbers[:20], numbers[20:26], numbers[26]
    fields: tuple[Any, ...] = (*head, *plain, arguments, registers, numbers[27:])
    return _Description(*fields)


@dataclass(frozen=True)
class Region:
    """`source`: physical address of the image's bytes for `start`, up to `source_end`; 0: none."""

    start: int
    end: int
    protection: int
    source: int
    source_end: int


@dataclass(frozen=True)
class Thread:
    report: ThreadReport
    floating_point: bytes = field(repr=False)


class ParkedGuest:
    """Of a guest whose program is for `architecture`. WireError: it is none that is parked."""

    def __init__(self, ram: Ram, architecture: Architecture) -> None:
        self._ram = ram
        self._architecture = architecture
        self._d = self._find()
        self._offset = self._d.kernel_base + self._d.ram_base
        roots = ram.read(self._d.roots - self._offset, 16)
        lower, upper = (int.from_bytes(root, "little") for root in (roots[:8], roots[8:]))
        self._space = AddressSpace(
            ram,
            self._d.ram_base,
            (lower - self._offset, upper - self._offset),
            TABLES[architecture.name],
        )

    def _find(self) -> _Description:
        """By the park header, which lies in the kernel's data."""
        for number in sorted(self._ram.pages):
            near = self._ram.read(number * PAGE_BYTES, PAGE_BYTES) + self._after(number)
            for at in headers(near):
                if at < PAGE_BYTES:
                    where = int.from_bytes(near[at + 16 : at + 24], "little")
                    length = _HEAD.size + _OFFSETS.size
                    return _description(self._ram.read(where, length))
        raise WireError("it is not a parked guest")

    def _after(self, number: int) -> bytes:
        return self._ram.pages.get(number + 1, b"")[:_HEADER_BYTES_MAX]

    # --- memory ---

    @cached_property
    def _pages(self) -> dict[int, int]:
        return self._space.program_pages()

    @cached_property
    def _page_addresses(self) -> list[int]:
        return sorted(self._pages)

    def read(self, address: int, length: int) -> bytes:
        """The program's memory; what it never touched is not known here, unless by `content`."""
        parts = []
        while length:
            page, inside = address - address % PAGE_BYTES, address % PAGE_BYTES
            if page not in self._pages:
                raise WireError("parked guest: the program has no memory there")
            part = self._ram.page(self._pages[page])[inside : inside + length]
            parts.append(part)
            address, length = address + len(part), length - len(part)
        return b"".join(parts)

    def regions(self) -> list[Region]:
        """As the program asked for them, ascending."""
        d, space = self._d, self._space
        count, array = space.word(d.regions_count), space.word(d.regions)
        if count > _REGIONS_MAX or not 0 < d.region_bytes <= 256:
            raise WireError("parked guest: impossible regions")
        found: list[Region] = []
        after = 0
        for index in range(count):
            at = array + index * d.region_bytes
            start, end = space.word(at + d.region_start), space.word(at + d.region_end)
            if not after <= start < end <= 1 << 47 or (start | end) % PAGE_BYTES:
                raise WireError("parked guest: impossible regions")
            after = end
            protection = int.from_bytes(space.read(at + d.region_prot, 4), "little")
            of_image = not space.word(at + d.region_file)
            source = space.word(at + d.region_source) if of_image else 0
            source_end = space.word(at + d.region_source_end) if of_image else 0
            found.append(Region(start, end, protection & 7, source, source_end))
        return found

    def content(self, region: Region) -> Iterator[tuple[int, bytes]]:
        """(address, page) of the region's pages that are there or lie in the image, ascending."""
        pages, addresses = self._pages, self._page_addresses
        low, high = bisect_left(addresses, region.start), bisect_left(addresses, region.end)
        for address in sorted({*addresses[low:high], *self._image_pages(region)}):
            if address in pages:
                yield address, self._ram.page(pages[address])
            else:
                at = region.source + (address - region.start)
                length = min(PAGE_BYTES, region.source_end - at)
                content = self._ram.read(at - self._d.ram_base, length)
                yield address, content.ljust(PAGE_BYTES, b"\0")

    def _image_pages(self, region: Region) -> range:
        if not region.source or region.source_end <= region.source:
            return range(0)
        length = min(region.source_end - region.source, region.end - region.start)
        if length > self._ram.size_bytes:
            raise WireError("parked guest: impossible regions")
        return range(region.start, region.start + length, PAGE_BYTES)

    def auxv(self) -> bytes:
        """The program's auxiliary vector; empty when it cannot be read."""
        at, found = self._space.word(self._d.auxv), b""
        try:
            for _ in range(_AUXV_MAX):
                pair = self.read(at, 16)
                found, at = found + pair, at + 16
                if not any(pair[:8]):
                    return found
        except WireError:
            pass
        return b""

    # --- threads ---

    def threads(self) -> list[Thread]:
        d = self._d
        link = self._space.word(d.threads)
        found: list[Thread] = []
        while link != d.threads:
            if len(found) == _THREADS_MAX:
                raise WireError("parked guest: threads without end")
            found.append(self._thread(link - d.thread_all))
            link = self._space.word(link)
        return found

    def _thread(self, at: int) -> Thread:
        d, space = self._d, self._space
        if d.name_bytes > 64 or d.fp_bytes > 4096:
            raise WireError("parked guest: an impossible description")
        frame = space.word(at + d.thread_frame)
        in_call = space.word(frame + d.frame_vector) == d.vector_syscall
        registers = self._registers(at, frame)
        stack_at, stack = self._stack(registers[self._architecture.stack])
        report = ThreadReport(
            base=space.word(d.base),
            tid=self._small(at + d.thread_id),
            name=_text(space.read(at + d.thread_name, d.name_bytes)),
            waits=self._small(at + d.thread_state) == d.state_waiting,
            call=space.word(frame + d.frame_call) & 0xFFFFFFFF if in_call else None,
            arguments=tuple(space.word(frame + offset) for offset in d.frame_arguments),
            left_ns=self._left(space.word(at + d.thread_deadline)),
            registers=registers,
            stack_at=stack_at,
            stack=stack,
        )
        return Thread(report, space.read(at + d.thread_fp, d.fp_bytes))

    def _small(self, address: int) -> int:
        return int.from_bytes(self._space.read(address, 4), "little")

    def _left(self, deadline: int) -> int | None:
        return None if deadline == NEVER else max(0, deadline - self._space.word(self._d.now))

    def _registers(self, thread: int, frame: int) -> tuple[int, ...]:
        if self._d.registers != self._architecture.count:
            raise WireError("parked guest: it has other registers")
        found: list[int] = []
        for at in self._d.register_at[: self._d.registers]:
            if at == _NONE:
                found.append(0)
            elif at & _IN_THREAD:
                found.append(self._space.word(thread + (at & ~_IN_THREAD)))
            else:
                found.append(self._space.word(frame + at))
        return tuple(found)

    def _stack(self, pointer: int) -> tuple[int, bytes]:
        """As the library OS would tell of it (guest_lib/kernel/report.c)."""
        at = pointer
        while at - at % PAGE_BYTES not in self._pages:
            at = at - at % PAGE_BYTES + PAGE_BYTES
            if at - pointer >= _SKIP_MAX:
                return pointer, b""
        found = b""
        while (
            len(found) < STACK_MAX and (at + len(found)) // PAGE_BYTES * PAGE_BYTES in self._pages
        ):
            here = at + len(found)
            found += self.read(here, min(STACK_MAX - len(found), PAGE_BYTES - here % PAGE_BYTES))
        return at, found


def _text(name: bytes) -> str:
    return name.split(b"\0")[0].decode("utf-8", "replace")
