"""Images over real agents, stores and directories: from several holders, true, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from radics_mesh.errors import CapacityError, LinkError, PeerError, UsageError
from radics_mesh.images.messages import Lack, Piece, encode
from radics_mesh.images.service import SERVICE
from radics_mesh.records import Kind
from radics_mesh.vmm.image_manifest import PIECE_BYTES, SignedManifest, Wishes
from tests.dtn.world import until
from tests.images.world import PIECES, World, image
from tests.patience import PATIENCE_S

IMAGE = image()


@pytest.fixture
async def world(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[World]:
    yield World(nursery, tmp_path)
    nursery.cancel_scope.cancel()


async def star(world: World, others: int) -> None:
    """Node 0 is connected with all others."""
    await world.start(0)
    for number in range(1, others + 1):
        await world.start(number)
        world.connect(0, number)


def is_piece(raw: bytes) -> bool:
    return len(raw) > PIECE_BYTES // 4


async def test_an_image_comes_from_three_holders_at_once(world: World) -> None:
    await star(world, 3)
    came: Counter[int] = Counter()

    def count(one: int, other: int, raw: bytes) -> bool:
        came[one] += other == 0 and is_piece(raw)
        return False

    world.lost = count
    for number in (1, 2, 3):
        signed = await world.sites[number].images.add(IMAGE, Wishes(name="app"))
    digest = signed.manifest.image
    known = world.members[0].known
    with trio.fail_after(PATIENCE_S):
        await until(lambda: len(known(Kind.IMAGE, digest.hex())) == 3)
        await world.sites[0].images.pull(digest)
    assert world.sites[0].images.store.load(digest) == IMAGE
    assert sum(came.values()) >= PIECES  # one that is late is asked of another, too
    assert all(came[number] > 0 for number in (1, 2, 3))
    assert (await world.sites[0].images.manifest(digest)).manifest.name == "app"


async def test_an_image_signed_by_a_revoked_node_is_none(world: World) -> None:
    await star(world, 1)
    me = world.sites[0].node.me
    signed = await world.sites[1].images.add(IMAGE, Wishes(name="app"))
    packed = signed.pack()
    assert SignedManifest.parse(packed, me.verifier, me.clock.wall()) == signed
    me.verifier.revoke(world.sites[1].node.me.identity.public, me.mesh.genesis)
    with pytest.raises(PeerError, match="has been revoked"):
        SignedManifest.parse(packed, me.verifier, me.clock.wall())


async def test_a_restarted_node_goes_on_with_the_pieces_that_it_has(world: World) -> None:
    await star(world, 1)
    digest = (await world.sites[1].images.add(IMAGE, Wishes())).manifest.image
    passed: list[bytes] = []

    def after_four(one: int, other: int, raw: bytes) -> bool:
        if one == 1 and is_piece(raw):
            passed.append(raw)
            return len(passed) > 4
        return False

    world.lost = after_four
    download = world.sites[0].images.want(digest)
    with trio.fail_after(PATIENCE_S):
        await until(lambda: len(passed) == PIECES and download.pieces == (4, PIECES))
        await world.stop(0)
        world.lost = lambda one, other, raw: False
        site = await world.start(0)
        assert site.images.downloads()[0].pieces == (4, PIECES)
        world.connect(0, 1)
        await until(lambda: not site.images.downloads())
    assert site.images.store.load(digest) == IMAGE


async def test_who_sends_an_altered_piece_is_asked_no_more(world: World) -> None:
    await star(world, 2)
    digest = (await world.sites[1].images.add(IMAGE, Wishes())).manifest.image
    liar = world.sites[2]
    world.lost = lambda one, other, raw: one == 1 and is_piece(raw)
    download = world.sites[0].images.want(digest, [world.sites[1].id])
    with trio.fail_after(PATIENCE_S):
        await until(lambda: download.holders == 1)
        forged = Piece(digest, 3, bytes(PIECE_BYTES))
        await liar.node.agent.send(world.sites[0].id.service(SERVICE), encode(forged))
        await until(lambda: world.sites[0].images.counters["altered"] == 1)
        world.lost = lambda one, other, raw: False
        await world.sites[0].images.pull(digest)
    assert world.sites[0].images.store.load(digest) == IMAGE


async def test_a_push_brings_it_there_pinned(world: World) -> None:
    await star(world, 1)
    digest = (await world.sites[1].images.add(IMAGE, Wishes())).manifest.image
    with trio.fail_after(PATIENCE_S):
        await world.sites[1].images.push(digest, world.sites[0].id, pin=True)
    [held] = world.sites[0].images.store.held()
    assert (held.digest, held.pinned) == (digest, True)
    with pytest.raises(UsageError, match="pinned"):
        await world.sites[0].images.remove(digest)


async def test_a_push_that_does_not_fit_is_refused_with_the_reason(world: World) -> None:
    world.quota_bytes = 1 << 20
    await world.start(0)
    world.quota_bytes = 8 << 20
    await world.start(1)
    world.connect(0, 1)
    digest = (await world.sites[1].images.add(IMAGE, Wishes())).manifest.image
    with trio.fail_after(PATIENCE_S), pytest.raises(LinkError, match="more than is kept here"):
        await world.sites[1].images.push(digest, world.sites[0].id)
    assert world.sites[0].images.store.held() == []


async def test_an_image_that_nobody_wants_any_more_leaves_nothing(world: World) -> None:
    await star(world, 1)
    digest = (await world.sites[1].images.add(IMAGE, Wishes())).manifest.image
    world.lost = lambda one, other, raw: is_piece(raw)
    images = world.sites[0].images
    download = images.want(digest)
    with trio.fail_after(PATIENCE_S):
        await until(lambda: download.holders == 1)
        await images.remove(digest)
        with pytest.raises(LinkError, match="not wanted"):
            await images.pull(digest) if images.downloads() else await fail(download.failure)
        await until(lambda: not images.downloads())
    assert list((world.path / "node0" / "partial").iterdir()) == []


async def fail(error: Exception | None) -> None:
    assert error is not None
    raise error


async def test_who_has_it_no_more_says_so_and_another_is_asked(world: World) -> None:
    await star(world, 2)
    for number in (1, 2):
        digest = (await world.sites[number].images.add(IMAGE, Wishes())).manifest.image
    world.sites[1].images.store.remove(digest)  # collected, and the directory does not know
    with trio.fail_after(PATIENCE_S):
        await world.sites[0].images.pull(digest, [world.sites[1].id])
    assert world.sites[0].images.store.load(digest) == IMAGE


async def test_what_is_malformed_or_unsigned_changes_nothing(world: World) -> None:
    await star(world, 1)
    site, other = world.sites[0], world.sites[1]
    digest = (await other.images.add(IMAGE, Wishes())).manifest.image
    to = site.id.service(SERVICE)
    for payload in (b"", b"\x93\x01\x09\x00", encode(Lack(digest)), encode(Lack(digest)) + b"x"):
        await other.node.agent.send(to, payload)
    with trio.fail_after(PATIENCE_S):
        await site.images.pull(digest)
    assert site.images.store.load(digest) == IMAGE


async def test_room_is_made_of_what_nobody_uses(world: World) -> None:
    world.quota_bytes = 2 * len(IMAGE) + 1000
    site = await world.start(0)
    first, second, third = [
        (await site.images.add(image(seed), Wishes())).manifest.image for seed in (1, 2, 3)
    ]
    assert {held.digest for held in site.images.store.held()} == {second, third}
    site.images.store.in_use = lambda: {second}
    site.images.store.pin(third, pinned=True)
    with pytest.raises(CapacityError, match="in use or pinned"):
        await site.images.add(image(4), Wishes())
    assert {held.digest for held in site.images.store.held()} == {second, third}
    assert first not in site.images.store.digests()
