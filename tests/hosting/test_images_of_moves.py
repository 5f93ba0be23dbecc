"""A VM's image comes from all who hold it, before the VM does."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import trio

from radics_mesh.records import Kind
from tests.hosting.world import MEMORY_BYTES, World, until
from tests.patience import PATIENCE_S


async def test_the_image_comes_from_the_source_and_another_holder(
    world: World, counter: Path
) -> None:
    for number in range(3):
        await world.start(number)
    world.connect(0, 1)
    world.connect(1, 2)
    source, target, holder = (world.sites[n] for n in range(3))
    sent: Counter[int] = Counter()

    def count(one: int, other: int, raw: bytes) -> bool:
        sent[one] += len(raw) if other == 1 else 0
        return False

    world.lost = count
    with trio.fail_after(PATIENCE_S):
        await source.hosting.run_vm(counter, "counter", memory_bytes=MEMORY_BYTES)
        image = source.vm().image
        holder.images.store.put(counter.read_bytes())
        await holder.directory.announce(Kind.IMAGE, image.hex(), {"size": 1, "arch": "x86_64"})
        await until(lambda: len(target.directory.known(Kind.IMAGE, image.hex())) == 2)
        await until(lambda: source.has())
        await source.hosting.migrate("counter", target.id)
        await until(lambda: target.has())
    assert target.images.counters["fetched"] == 1
    assert target.images.store.load(image) == counter.read_bytes()
    assert sent[2] > 250_000
    assert target.hosting.images_in_use() == {image}
