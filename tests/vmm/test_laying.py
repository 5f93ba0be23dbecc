"""Pages laid into a waiting guest's memory while they come: it ends as the last list says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from radics_mesh.errors import GuestError
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.image import loaded_pages, loaded_runs
from radics_mesh.vmm.images import read
from radics_mesh.vmm.laying import Laying
from radics_mesh.vmm.pagepack import page_hash
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.ram import FIRMWARE_BYTES, PAGE_BYTES, lay_template

MEMORY_BYTES = 16 << 20
HELLO = Path(__file__).parents[2] / "bench" / "guests" / "hello.c"
FIRST = FIRMWARE_BYTES // PAGE_BYTES


def page(number: int) -> bytes:
    return number.to_bytes(2) * (PAGE_BYTES // 2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PageStore]:
    store = PageStore(tmp_path / "pages", 64 << 20)
    yield store
    store.close()


def test_memory_ends_as_the_last_list_says(tmp_path: Path, store: PageStore) -> None:
    image, ram = tmp_path / "hello.img", tmp_path / "ram"
    build_image([HELLO], image)
    template = loaded_pages(read(image), MEMORY_BYTES)
    with ram.open("wb") as file:
        file.truncate(MEMORY_BYTES)
    lay_template(ram, MEMORY_BYTES, loaded_runs(read(image), MEMORY_BYTES))
    before = ram.read_bytes()
    laying = Laying(ram, image, MEMORY_BYTES, store)
    over_template = next(number for number in sorted(template) if number > FIRST)
    free = [number for number in range(FIRST, FIRST + 2000) if number not in template][:40]
    first = {number: page_hash(page(n)) for n, number in enumerate([*free, over_template])}
    store.put((page_hash(page(n)), page(n)) for n in range(30))
    assert laying.lay(first) == 11
    with pytest.raises(GuestError, match="not here"):
        laying.finish(first)
    store.put((page_hash(page(n)), page(n)) for n in range(41))
    laying.finish(first)
    assert ram.read_bytes() != before
    last = {free[3]: page_hash(page(3)), free[5]: page_hash(page(40))}
    laying.finish(last)
    wanted = bytearray(before)
    for number, content in ((free[3], page(3)), (free[5], page(40))):
        wanted[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = content
    assert ram.read_bytes() == wanted


def test_a_damaged_page_is_not_laid(tmp_path: Path, store: PageStore) -> None:
    ram = tmp_path / "ram"
    with ram.open("wb") as file:
        file.truncate(MEMORY_BYTES)
    content = page(7)
    store.put([(page_hash(content), content)])
    [packs] = (tmp_path / "pages" / "packs").iterdir()
    data = bytearray(packs.read_bytes())
    data[-3] ^= 1
    packs.write_bytes(data)
    laying = Laying(ram, tmp_path / "no.img", MEMORY_BYTES, store)
    with pytest.raises(GuestError):
        laying.finish({FIRST + 1: page_hash(content)})
    assert not any(ram.read_bytes())
