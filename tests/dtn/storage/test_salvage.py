"""Every page of a store's database, torn: it opens, tells, and has all that was on other pages."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import pytest
import trio

from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import BundleId
from tests.dtn.storage.test_store import SOURCE, held, ignore
from tests.dtn.world import HandClock

PAGE_BYTES = 8192
# Some share a page, the largest have several of their own.
SIZES = [100, 700, 3000, 20_000]
COUNT = 24
# Beginnings of bundles.
ON_A_PAGE = 12


def content(number: int) -> bytes:
    return bytes((number,)) * SIZES[number % len(SIZES)]


def opened(directory: Path) -> BundleStore:
    return BundleStore.open(directory, quota_bytes=1 << 30, clock=HandClock(), live_max=8)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with bundles, and with deliveries that it remembers."""
    directory = tmp_path_factory.mktemp("sound")
    trio.run(_fill, directory)
    return directory


async def _fill(directory: Path) -> None:
    with closing(opened(directory)) as store:
        for number in range(COUNT + 20):
            await store.add(held(number), content(number % COUNT), ignore)
        for number in range(COUNT, COUNT + 20):
            found = store.find(BundleId(SOURCE, 1, number))
            assert found is not None
            store.finish(found)


@pytest.mark.parametrize("how", ["inverted", "empty", "stale"])
async def test_every_page(tmp_path: Path, sound: Path, how: str) -> None:
    raw = (sound / "bundles.db").read_bytes()
    pages = [raw[at : at + PAGE_BYTES] for at in range(0, len(raw), PAGE_BYTES)]
    noticed = 0
    for place, page in enumerate(pages):
        torn = {
            "inverted": bytes(byte ^ 0xFF for byte in page),
            "empty": bytes(PAGE_BYTES),
            "stale": pages[place - 1],  # a write that went elsewhere
        }[how]
        directory = tmp_path / str(place)
        shutil.copytree(sound, directory)
        (directory / "bundles.db").write_bytes(
            b"".join([*pages[:place], torn, *pages[place + 1 :]])
        )
        noticed += await _check(directory)
    # All but pages of large bundles that are not read when opened, and free ones.
    assert noticed > len(pages) // 4


async def _check(directory: Path) -> bool:
    """Whether the damage was found when the store was opened."""
    with closing(opened(directory)) as store:
        intact = 0
        for one in store:
            got = await store.read(one)
            assert got in (None, content(one.bundle_id.sequence % COUNT))
            intact += got is not None
        salvaged = any((directory / "isolated").iterdir())
        assert intact == COUNT or salvaged or store.counters["isolated"]
        assert intact >= COUNT - ON_A_PAGE
        # It goes on: what is there can leave, and new ones come.
        for one in list(store)[:3]:
            store.drop(one)
        assert await store.add(held(1000), b"goes on", ignore)
        await store.flushed()
        left = len(store)
    with closing(opened(directory)) as store:
        assert len(store) == left
    return salvaged
