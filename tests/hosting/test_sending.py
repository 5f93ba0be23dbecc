"""Packs of pages for another node, out of a store and out of a parked guest's memory."""

from __future__ import annotations

import os
from pathlib import Path

from radics_mesh.hosting.sending import from_memory, from_store
from radics_mesh.vmm.pagepack import page_hash, parse
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.ram import PAGE_BYTES

PAGES = [bytes([number]) * PAGE_BYTES for number in range(1, 6)]
HASHES = [page_hash(page) for page in PAGES]


def test_a_page_that_is_not_in_the_store_is_left_out(tmp_path: Path) -> None:
    store = PageStore(tmp_path / "pages", 1 << 20)
    store.put(zip(HASHES[:3], PAGES[:3], strict=True))
    packed, there = from_store(store)(HASHES[1:])
    assert there == HASHES[1:3]
    assert parse(packed) == list(zip(HASHES[1:3], PAGES[1:3], strict=True))
    assert from_store(store)(HASHES[3:]) == (b"", [])
    store.close()


def test_a_guest_that_lied_about_a_page_sends_the_others(tmp_path: Path) -> None:
    (tmp_path / "ram").write_bytes(b"".join(PAGES))
    numbers = {HASHES[4]: 4, HASHES[0]: 0, page_hash(b"another"): 2, HASHES[3]: 99}
    memory = os.open(tmp_path / "ram", os.O_RDONLY)
    (tmp_path / "ram").unlink()  # as when its process has ended
    try:
        packed, there = from_memory(memory, numbers)(list(numbers))
        assert there == [HASHES[4], HASHES[0]]
        assert parse(packed) == [(HASHES[4], PAGES[4]), (HASHES[0], PAGES[0])]
        assert from_memory(memory, {HASHES[1]: 0})([HASHES[1]]) == (b"", [])
    finally:
        os.close(memory)
