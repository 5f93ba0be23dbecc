"""States that a node signed which was revoked later: used where they were taken, taken nowhere."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from radics_mesh.errors import PeerError
from radics_mesh.hosting.snapshots import Snapshots
from radics_mesh.me import Me
from radics_mesh.membership import Verifier
from radics_mesh.vmm import stored
from radics_mesh.vmm.manifest import Signer
from radics_mesh.vmm.pages import PageStore
from radics_mesh.vmm.survey import look
from tests.dht.world import TrioClock
from tests.hosting.test_service import run_counter
from tests.hosting.world import World, until
from tests.members import MESH, member
from tests.vmm.test_snapshot import MEMORY_BYTES, SUBJECT, page, ram_file


async def test_a_saved_vm_goes_on_and_is_handed_on(world: World, counter: Path) -> None:
    a, b, c = [await world.start(number) for number in range(3)]
    world.connect(0, 1)
    world.connect(1, 2)
    await run_counter(a, counter, b, ())
    await until(lambda: a.has())
    await a.hosting.save("counter")
    await a.hosting.migrate("counter", b.id)
    await until(lambda: b.has(state="saved"))
    for site in (b, c):
        site.me.verifier.revoke(a.me.identity.public, MESH.genesis)
    await b.hosting.migrate("counter", c.id)
    await until(lambda: c.has(state="saved"))
    c.me.verifier.revoke(b.me.identity.public, MESH.genesis)
    await c.hosting.resume("counter")
    await until(lambda: c.has())


async def test_what_comes_after_the_revocation_is_refused(tmp_path: Path) -> None:
    (writer, chain), (taker, own_chain) = member(0), member(1)
    me = Me(taker, Verifier(MESH), own_chain, TrioClock())
    (tmp_path / "vm").mkdir()
    with closing(PageStore(tmp_path / "pages", 1 << 30)) as pages:
        ram = ram_file(tmp_path / "ram", {400: page(1)})
        seen, signer = look(ram, MEMORY_BYTES, {}), Signer(writer, chain)
        state = stored.keep(pages, seen, ram, MEMORY_BYTES, {}, SUBJECT, signer, tmp_path)
        signed = (state.manifest, state.signer, state.signature, state.chain)
        there = Snapshots(tmp_path / "vm", me, pages)
        me.verifier.revoke(writer.public, MESH.genesis)
        with pytest.raises(PeerError, match="has been revoked"):
            await there.settle(signed, SUBJECT.image)
        assert not there.stored()
