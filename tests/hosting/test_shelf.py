"""Snapshots on a node: shared pages, verified, carried out and in; never a second live copy."""

from __future__ import annotations

from pathlib import Path

import pytest

from radics_mesh.errors import GuestError, PeerError, UsageError, WireError
from radics_mesh.hosting.shelf import Entry
from radics_mesh.ids import Digest
from radics_mesh.ownership import born
from radics_mesh.vmm import snapshot as snapshots
from radics_mesh.vmm.exported import Exported
from radics_mesh.vmm.manifest import Signer, Subject
from tests.hosting.test_service import finish
from tests.hosting.test_trouble import check_one_count, counting
from tests.hosting.world import MEMORY_BYTES, Site, World, until
from tests.members import member
from tests.vmm.test_snapshot import page, ram_file


async def only(site: Site) -> Entry:
    (entry,) = await site.hosting.shelf.entries()
    return entry


def damage(site_path: Path) -> None:
    """A page in the middle of each file of pages turns bad."""
    for path in site_path.rglob("*.pages"):
        content = bytearray(path.read_bytes())
        content[len(content) * 3 // 4] ^= 1
        path.write_bytes(content)


async def test_a_damaged_state_is_named_and_mended_from_a_file(
    world: World, counter: Path, tmp_path: Path
) -> None:
    a = await counting(world, counter, tmp_path / "text")
    vm = a.vm().vm_id
    await a.hosting.save("counter")
    shelf, file = a.hosting.shelf, tmp_path / "counter.vm"
    entry = await only(a)
    assert (entry.name, entry.use, entry.place.digest) == (
        "counter",
        "state",
        a.hosting.tenant(vm).tenure.snapshot,
    )
    assert (await shelf.verify(entry)).damage == []
    assert await shelf.export(await shelf.find("counter"), file) == file.stat().st_size
    with pytest.raises(UsageError, match="goes on from that"):
        shelf.remove(entry)

    await world.stop(0)
    damage(tmp_path / "node0")
    a = await world.start(0)
    shelf = a.hosting.shelf
    (line, *_) = (await shelf.verify(await only(a))).damage
    assert "page " in line
    with pytest.raises(GuestError, match="the snapshot of counter is no good: page "):
        await a.hosting.resume("counter")
    assert a.vm().state == "saved"
    with pytest.raises(GuestError, match="page "):
        await shelf.export(await only(a), tmp_path / "again.vm")
    assert not (tmp_path / "again.vm").exists()

    taken = await shelf.take_in(file.read_bytes())
    assert taken.mended
    assert a.vm().state == "saved"
    assert (await shelf.verify(await only(a))).damage == []
    await a.hosting.resume("counter")
    with pytest.raises(UsageError, match="saved"):
        await a.hosting.resume("counter")
    await finish(a, vm, a, 0)
    check_one_count(a)
    assert a.vm().branch == 0
    # It has ended; so nobody needs the state any more.
    for left in await shelf.entries():
        shelf.remove(left)
    assert a.hosting.pages.collect() > 0
    assert len(a.hosting.pages) == 0


async def test_what_is_imported_elsewhere_runs_nowhere(
    world: World, counter: Path, tmp_path: Path
) -> None:
    a = await counting(world, counter, tmp_path / "text")
    vm = a.vm().vm_id
    await a.hosting.save("counter")
    file = tmp_path / "counter.vm"
    await a.hosting.shelf.export(await only(a), file)
    b = await world.start(1)
    taken = await b.hosting.shelf.take_in(file.read_bytes())
    assert not taken.mended
    assert b.hosting.vms() == []
    entry = await b.hosting.shelf.find("counter")
    assert (entry.use, entry.place.vm_id) == ("imported", vm)
    await world.stop(1)
    b = await world.start(1)
    assert b.hosting.vms() == []
    kept = (await only(b)).place.kept
    assert kept is not None
    assert (kept.snapshot, kept.chain.holder) == (entry.place.digest, a.id)
    again = tmp_path / "again.vm"
    await b.hosting.shelf.export(await only(b), again)
    assert again.read_bytes() == file.read_bytes()
    assert (await b.hosting.shelf.verify(await only(b))).damage == []
    b.hosting.shelf.remove(await only(b))
    assert await b.hosting.shelf.entries() == []
    await a.hosting.stop("counter")


async def test_pages_are_written_once(world: World, counter: Path, tmp_path: Path) -> None:
    """By a second save only what changed; by a second VM of the image little more."""
    a = await counting(world, counter, tmp_path / "text")
    await a.hosting.save("counter")
    first = a.hosting.pages.used_bytes
    await a.hosting.resume("counter")
    await until(lambda: a.has("counter"))
    await a.hosting.save("counter")
    again = a.hosting.pages.used_bytes - first
    assert again < first / 2
    before = a.hosting.pages.used_bytes
    await a.hosting.run_vm(
        counter, "second", arguments=(str(a.id.service("report")),), memory_bytes=MEMORY_BYTES
    )
    await until(lambda: a.has("second"))
    await a.hosting.save("second")
    entries = {e.name: e for e in await a.hosting.shelf.entries()}
    assert entries["second"].shared_bytes > 0
    assert a.hosting.pages.used_bytes - before < first
    for name in ("counter", "second"):
        await a.hosting.stop(name)


async def test_a_snapshot_of_an_earlier_version_is_taken_apart(
    world: World, counter: Path, tmp_path: Path
) -> None:
    a = await counting(world, counter, tmp_path / "text")
    vm = a.vm().vm_id
    await a.hosting.save("counter")
    kept = a.hosting.tenant(vm).snapshots
    (digest,) = kept.stored()
    whole = kept.packed(digest)
    kept.forget(digest)
    old = kept.path(digest).with_suffix(".snap")
    old.write_bytes(whole)
    a.hosting.pages.collect()
    await world.stop(0)
    a = await world.start(0)
    await a.hosting.resume("counter")
    assert not old.exists()
    assert (await only(a)).place.digest == digest
    await finish(a, vm, a, 0)
    check_one_count(a)


# --- refused ------------------------------------------------------------------------------------

IMAGE = Digest.of(b"image")


def exported(folder: Path, epoch: int, *, number: int = 0, moved: bool = False) -> Exported:
    """A VM of node `number`, that has perhaps moved on to node 5."""
    identity, packed = member(number)
    chain = born(identity, "counter", IMAGE, b"n" * 16)
    subject = Subject(chain.vm_id, epoch, IMAGE, "x86_64", "qemu64", b"mail", 1_800_000_000)
    ram = ram_file(folder / "ram", {300: page(1), 500: page(2)})
    state = snapshots.take(ram, 4 << 20, {}, subject, Signer(identity, packed))
    if moved:
        chain = chain.released(identity, member(5)[0].public, Digest.of(b"another state"))
    return Exported(chain, state)


async def test_what_cannot_be_a_last_state_is_refused(world: World, tmp_path: Path) -> None:
    site = await world.start(1)
    shelf = site.hosting.shelf
    good = exported(tmp_path, 1)
    with pytest.raises(PeerError, match="at epoch 1, which is at epoch 2 by now: an older one"):
        await shelf.take_in(exported(tmp_path, 1, moved=True).pack())
    for bad in (b"", good.pack()[:-1], good.snapshot.pack()):
        with pytest.raises(WireError):
            await shelf.take_in(bad)
    with pytest.raises(PeerError, match="later than its ownership"):
        await shelf.take_in(exported(tmp_path, 2).pack())
    assert await shelf.entries() == []
    assert len(site.hosting.pages) == 0
    assert not (await shelf.take_in(good.pack())).mended
    (entry,) = await shelf.entries()
    assert (entry.name, entry.use) == ("counter", "imported")
    manifest = next((tmp_path / "node1").rglob("custody/*.manifest"))
    manifest.write_bytes(manifest.read_bytes()[:-1])
    (broken,) = await shelf.entries()
    assert broken.place.manifest is None
    assert (await shelf.verify(broken)).damage
    assert site.hosting.vms() == []
