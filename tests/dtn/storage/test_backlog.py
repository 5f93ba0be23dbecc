"""Most of a long queue is on disk only, and nobody notices."""

from __future__ import annotations

import gc
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import trio

from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.routes.routing import StaticRoutes
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import CUSTODY, ORDINARY, BundleId
from radics_mesh.errors import PeerError
from radics_mesh.ids import Eid
from tests.dtn.storage.test_store import SOURCE, held, ignore
from tests.dtn.world import HandClock, Members, nowhere, until

LIVE = 4


def opened(directory: Path, clock: HandClock | None = None) -> BundleStore:
    clock = clock or HandClock()
    return BundleStore.open(directory, quota_bytes=1 << 30, clock=clock, live_max=LIVE)


async def fill(store: BundleStore, count: int, clock: HandClock | None = None) -> None:
    for sequence in range(count):
        assert await store.add(held(sequence, clock), b"%d" % sequence, ignore)


def sequences(some: list[Held]) -> list[int]:
    return [one.bundle_id.sequence for one in some]


async def test_the_first_of_a_queue_are_live_and_the_others_follow_in_order(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        await fill(store, 10)
    with closing(opened(tmp_path)) as store:
        assert sequences(store.live()) == [0, 1, 2, 3]
        assert sequences(list(store)) == list(range(10))
        came: list[Held] = []
        store.on_live(came.append)
        for one in store.live():
            store.drop(one)
        assert sequences(came) == [4, 5, 6, 7]
        assert [await store.read(one) for one in came] == [b"4", b"5", b"6", b"7"]
        assert len(store) == 6


async def test_each_destination_and_priority_is_a_queue_of_its_own(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        await fill(store, 6)
        elsewhere = replace(held(100), destination=Eid("dtn://c/y"))
        urgent = replace(held(101), priority=2)
        late = held(102)
        for one in (elsewhere, urgent, late):
            await store.add(one, b"x", ignore)
        assert [store.is_live(one) for one in (elsewhere, urgent, late)] == [True, True, False]
        assert late in store


async def test_fragments_and_custody_never_wait_on_disk(tmp_path: Path) -> None:
    """The ones need each other, the others have timers."""
    with closing(opened(tmp_path)) as store:
        await fill(store, 6)
        fragment = replace(held(7), bundle_id=BundleId(SOURCE, 1, 7, 0, 10))
        await store.add(fragment, b"x", ignore)
        await store.add(replace(held(8), flags=ORDINARY | CUSTODY), b"x", ignore)
        assert sequences(store.live()) == [0, 1, 2, 3, 7, 8]
    with closing(opened(tmp_path)) as store:
        assert sequences(store.live()) == [0, 1, 2, 3, 7, 8]


async def test_one_in_the_backlog_is_found_read_and_dropped(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        await fill(store, 10)
        gc.collect()
        found = store.find(BundleId(SOURCE, 1, 8))
        assert found is not None
        assert found is store.find(BundleId(SOURCE, 1, 8))
        assert await store.read(found) == b"8"
        assert not await store.add(held(8), b"8", ignore)
        store.finish(found)
        assert found not in store
        assert store.find(BundleId(SOURCE, 1, 8)) is None
        assert store.seen(BundleId(SOURCE, 1, 8))
    with closing(opened(tmp_path)) as store:
        assert sequences(list(store)) == [0, 1, 2, 3, 4, 5, 6, 7, 9]


async def test_ages_go_on_in_the_backlog(tmp_path: Path) -> None:
    clock = HandClock()
    with closing(opened(tmp_path, clock)) as store:
        await fill(store, 6, clock)
        clock.now += 50
        clock.wall_offset += 1e9  # a step of the clock while it runs is no age
        *_, last = store
        assert last.age_at(clock.monotonic()) == 50_000_000
    after = HandClock(now=5.0, wall_offset=clock.wall() + 100 - 5.0 - 1e9)
    with closing(opened(tmp_path, after)) as store:
        after.now += 7
        *_, last = store
        assert last.age_at(after.monotonic()) == 157_000_000


async def test_lives_end_in_the_backlog(tmp_path: Path) -> None:
    clock = HandClock()
    with closing(opened(tmp_path, clock)) as store:
        await fill(store, 6, clock)
        short = held(7, clock, lifetime_s=10)
        await store.add(short, b"x", ignore)
        came: list[Held] = []
        store.on_live(came.append)
        assert not store.end_lives()
        clock.now += 11
        assert store.end_lives()
        assert came == [short]
        assert not store.end_lives()


async def test_a_row_that_rots_in_the_backlog_costs_that_bundle_only(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as store:
        await fill(store, 10)
        gc.collect()
        with closing(sqlite3.connect(tmp_path / "bundles.db")) as other:
            other.execute("UPDATE bundle SET id = 'nonsense' WHERE key = 6")
            other.commit()
        for one in store.live():
            store.drop(one)
        assert sequences(list(store)) == [4, 6, 7, 8, 9]
        assert store.counters["isolated"] == 1
        assert store.bytes_held == 5


async def test_an_agent_hands_on_a_long_queue_in_order(tmp_path: Path) -> None:
    """Also past a head of the queue that the neighbour refuses."""
    world = Members(HandClock())
    me, other = world.me("a"), world.me("b")
    with closing(opened(tmp_path, HandClock())) as store:
        agent = Agent(me=me, store=store, router=StaticRoutes(), locate=nowhere, lifetime_s=60)
        sent: list[bytes] = []
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            for number in range(20):
                await agent.send(other.node_id.service("x"), b"payload %02d" % number)
            assert len(agent.bundles()) == len(agent.outgoing()) == 20

            async def transmit(raw: bytes) -> None:
                sent.append(raw[raw.index(b"payload") :])

            agent.contact_up(other.node_id, transmit)
            await until(lambda: not len(store))
            nursery.cancel_scope.cancel()
        assert [int(raw[8:10]) for raw in sent] == list(range(20))


async def test_what_is_refused_does_not_stop_what_is_behind(tmp_path: Path) -> None:
    world = Members(HandClock())
    me, other = world.me("a"), world.me("b")
    with closing(opened(tmp_path, HandClock())) as store:
        agent = Agent(me=me, store=store, router=StaticRoutes(), locate=nowhere, lifetime_s=60)
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            for number in range(12):
                await agent.send(other.node_id.service("x"), b"payload %02d" % number)

            async def transmit(raw: bytes) -> None:
                if b"payload 0" in raw:
                    raise PeerError("no")

            agent.contact_up(other.node_id, transmit)
            await until(lambda: len(store) == 10)
            nursery.cancel_scope.cancel()


async def test_a_late_application_gets_all_of_a_long_queue(tmp_path: Path) -> None:
    world = Members(HandClock())
    me = world.me("a")
    with closing(opened(tmp_path, HandClock())) as store:
        agent = Agent(me=me, store=store, router=StaticRoutes(), locate=nowhere, lifetime_s=60)
        got: list[bytes] = []
        async with trio.open_nursery() as nursery:
            await nursery.start(agent.run)
            for number in range(20):
                await agent.send(me.node_id.service("x"), b"%02d" % number)

            async def take(delivery: Delivery) -> None:
                got.append(delivery.payload)

            agent.register(me.node_id.service("x"), take)
            await until(lambda: not len(store))
            nursery.cancel_scope.cancel()
        assert got == [b"%02d" % number for number in range(20)]
