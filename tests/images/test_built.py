"""An image whose builder's manifest lies beside it: kept as it was signed, or refused by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from radics_mesh.cli.wishes import Signing
from radics_mesh.errors import UsageError
from radics_mesh.identity import Identity
from radics_mesh.membership import Chain, Mesh, found
from radics_mesh.node.state import Membership, StateDirectory
from radics_mesh.vmm.image_manifest import Wishes, beside
from radics_mesh.vmm.images import inspect
from tests.images.world import World, image
from tests.members import MESH, START, member

WISHES = Wishes("app", 16 << 20, ("one",), ("clock",), "on-failure:3", "restartable:60")


@pytest.fixture
async def world(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[World]:
    yield World(nursery, tmp_path)
    nursery.cancel_scope.cancel()


def built(folder: Path, wishes: Wishes, state: Path) -> Path:
    file = folder / "app.img"
    file.write_bytes(image())
    Signing(state, wishes).sign(file)
    return file


def state_of(path: Path, identity: Identity, mesh: Mesh, chain: bytes) -> Path:
    """A builder's state directory."""
    state = StateDirectory(path)
    (path / "identity.key").write_bytes(identity.seed)
    (path / "identity.key").chmod(0o600)
    state.enter(Membership(mesh, Chain.parse(chain)))
    return path


async def test_an_image_stays_signed_by_who_built_it(world: World, tmp_path: Path) -> None:
    site, (builder, chain) = await world.start(0), member(7)
    state = state_of(tmp_path / "builder", builder, MESH, chain)
    file = built(tmp_path, WISHES, state)
    signed = await site.images.take(file)
    assert signed is not None
    kept = await site.images.manifest(inspect(image()).digest)
    assert kept.builder == builder.node_id != site.id
    assert (kept.manifest.restart, kept.manifest.policy) == ("on-failure:3", "restartable:60")
    assert (kept.manifest.arguments, kept.manifest.memory_bytes) == (("one",), 16 << 20)


async def test_what_does_not_hold_beside_an_image_is_refused(world: World, tmp_path: Path) -> None:
    site, (builder, chain) = await world.start(0), member(7)
    file = built(tmp_path, WISHES, state_of(tmp_path / "builder", builder, MESH, chain))
    true = beside(file).read_bytes()
    stranger = Identity(b"s" * 32)
    _, mesh, foreign = found(stranger, "stranger", START)
    other = built(tmp_path, WISHES, state_of(tmp_path / "else", stranger, mesh, foreign.pack()))
    for content in (beside(other).read_bytes(), true[:-1], true[:200], b"", true[:90] + b"x"):
        beside(file).write_bytes(content)
        with pytest.raises(UsageError, match=r"app\.img\.manifest: "):
            await site.images.take(file)
    beside(file).write_bytes(true)
    file.write_bytes(image(2))
    with pytest.raises(UsageError, match="of another image"):
        await site.images.take(file)
    assert site.images.store.held() == []


async def test_without_a_key_nothing_is_signed(world: World, tmp_path: Path) -> None:
    site, nowhere = await world.start(0), tmp_path / "nowhere"
    file = tmp_path / "app.img"
    beside(file).write_bytes(b"of an image that was built before")
    built(tmp_path, Wishes("app"), nowhere)
    assert await site.images.take(file) is None
    assert not nowhere.exists()
    with pytest.raises(UsageError, match="no member's state"):
        Signing(nowhere, WISHES)
