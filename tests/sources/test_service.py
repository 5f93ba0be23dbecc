"""Sources over real agents, stores and directories: every message, once, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from radics_mesh.errors import PeerError, UsageError, WireError
from radics_mesh.ids import Eid
from radics_mesh.membership import Grant
from radics_mesh.records import Kind
from radics_mesh.roles import Role
from radics_mesh.sources import publications
from radics_mesh.sources.messages import Ack, Data, Fence, Key, Subscribe, encode
from tests.dtn.world import until
from tests.members import member
from tests.patience import PATIENCE_S
from tests.sources.world import Vm, World, take

LINES = [b"line %d" % n for n in range(1, 2001)]


@pytest.fixture
async def world(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[World]:
    yield World(nursery, tmp_path)
    nursery.cancel_scope.cancel()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lines"
    path.write_bytes(b"\n".join(LINES))
    return path


async def test_local_delivery_sends_no_bundle(world: World, file: Path) -> None:
    site = await world.start(0)
    vm = Vm()
    feed = vm.attach(site, "s", 0)
    await site.sources.publish("s", file, 20_000.0)
    assert await take(feed, len(LINES)) == LINES
    assert feed.local
    assert feed.publisher == site.id
    assert feed.bytes_received == sum(map(len, LINES))
    batch = await feed.receive(1)
    assert batch.end
    assert not batch.messages
    assert site.node.agent.counters["sent"] == 0


async def test_remote_delivery_is_complete_and_announced(world: World, file: Path) -> None:
    vm = Vm()
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await there.sources.publish("s", file, 10_000.0)
    [entry] = await here.directory.lookup(Kind.SOURCE, "s")
    assert entry.record.body["messages"] == len(LINES)
    feed = vm.attach(here, "s", 0)
    got = await take(feed, 500)
    [subscriber] = there.sources.subscribers()
    assert (subscriber.subscriber, subscriber.node) == (vm.id.eid, here.id)
    assert subscriber.rate_bytes_s > 0
    assert got + await take(feed, len(LINES)) == LINES
    assert not feed.local
    assert feed.publisher == there.id
    # Batches, not a bundle a message.
    assert there.node.agent.counters["sent"] < len(LINES) / 10


async def test_who_may_not_read_is_told_by_the_publisher(world: World, file: Path) -> None:
    world.members.grants[0] = Grant(Role.RUN)
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await there.sources.publish("s", file, None)
    feed = Vm().attach(here, "s", 0)
    with trio.fail_after(PATIENCE_S), pytest.raises(PeerError, match=r"denied by .*node0.*observe"):
        await feed.receive(100)
    assert there.sources.counters["denied"] == 1
    assert there.sources.subscribers() == []


async def test_a_source_that_is_published_later_is_found(world: World, file: Path) -> None:
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    feed = Vm().attach(here, "s", 0)
    with trio.move_on_after(0.2):
        await feed.receive(100)
    assert feed.publisher is None
    await there.sources.publish("s", file, None)
    assert await take(feed, len(LINES)) == LINES


async def test_a_partition_delays_and_loses_nothing(world: World, file: Path) -> None:
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await there.sources.publish("s", file, 3000.0)
    feed = Vm().attach(here, "s", 0)
    got = await take(feed, 300)
    world.cut(0, 1)
    await trio.sleep(0.3)
    world.connect(0, 1)
    assert got + await take(feed, len(LINES)) == LINES


async def test_a_killed_publisher_goes_on_where_it_was(world: World, file: Path) -> None:
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await there.sources.publish("s", file, 50.0)
    feed = Vm().attach(here, "s", 0)
    got = await take(feed, 20)
    await world.stop(1)
    there = await world.start(1)
    world.connect(0, 1)
    got += await take(feed, 20)
    # It did not begin again, and it paces: nobody asked it to.
    assert there.sources.publications.served["s"].core.head < len(LINES)
    await there.sources.publish("s", file, None)
    assert got + await take(feed, len(LINES)) == LINES


async def test_a_killed_host_attaches_again(world: World, file: Path) -> None:
    vm = Vm()
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await there.sources.publish("s", file, 5000.0)
    got = await take(vm.attach(here, "s", 0), 300)
    await world.stop(0)
    here = await world.start(0)
    world.connect(0, 1)
    feed = vm.attach(here, "s", len(got))
    assert got + await take(feed, len(LINES)) == LINES


async def test_a_vm_moves_to_its_source_and_the_old_host_is_cut_off(
    world: World, file: Path
) -> None:
    vm = Vm()
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await there.sources.publish("s", file, 5000.0)
    old = vm.attach(here, "s", 0)
    got = await take(old, 300)
    vm.move(1)
    new = vm.attach(there, "s", len(got))
    got += await take(new, 300)
    assert new.local
    await old.aclose()  # its last words are late, and change nothing
    await until(lambda: there.sources.counters["late"] > 0)
    assert got + await take(new, len(LINES)) == LINES
    assert [s.node for s in there.sources.subscribers()] == [there.id]


async def test_a_vm_moves_away_and_a_stale_copy_is_told(world: World, file: Path) -> None:
    vm, stale = Vm(), Vm()
    stale.move(1)
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await here.sources.publish("s", file, 5000.0)
    vm.move(1)
    vm.move(0)
    got = await take(vm.attach(here, "s", 0), 100)
    copy = stale.attach(there, "s", 0)
    with trio.fail_after(PATIENCE_S), pytest.raises(PeerError, match="higher epoch"):
        await copy.receive(100)
    assert got == LINES[: len(got)]


async def test_a_local_feed_is_cut_off_by_a_higher_epoch(world: World, file: Path) -> None:
    vm = Vm()
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await here.sources.publish("s", file, 200.0)
    old = vm.attach(here, "s", 0)
    got = await take(old, 10)
    vm.move(1)
    new = vm.attach(there, "s", len(got))
    got += await take(new, 10)
    assert got == LINES[: len(got)]
    with trio.fail_after(PATIENCE_S), pytest.raises(PeerError, match="higher epoch"):
        await take(old, len(LINES))


async def test_back_pressure_a_reader_that_stops_stops_the_producer(
    world: World, tmp_path: Path
) -> None:
    file = tmp_path / "long"
    file.write_bytes((b"x" * 999 + b"\n") * 2000)
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await there.sources.publish("s", file, 20_000.0)
    feed = Vm().attach(here, "s", 0)
    await take(feed, 1)
    core = there.sources.publications.served["s"].core
    await until(lambda: core.head > 260)
    head = 0
    while core.head != head:  # it comes to a stop
        head = core.head
        await trio.sleep(0.1)
    assert head < 600
    assert len(await take(feed, 2000, 50_000)) > 1900


async def test_a_second_subscriber_gets_all_from_the_first_message_on(
    world: World, file: Path
) -> None:
    site = await world.start(0)
    await site.sources.publish("s", file, 20_000.0)
    first = Vm().attach(site, "s", 0)
    await take(first, 500)
    second = site.sources.attach(site.id.service("tap"), 1, "s", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take, first, len(LINES))
        assert await take(second, len(LINES)) == LINES


async def test_who_does_not_hold_the_vm_is_refused(world: World, file: Path) -> None:
    vm = Vm()
    publisher, thief = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await publisher.sources.publish("s", file, None)
    feed = vm.attach(thief, "s", 0)  # node 0 holds it, not node 1
    await until(lambda: publisher.node.agent.counters.total() > 0)
    await until(lambda: thief.sources.counters["sent"] > 0)
    for message in _forgeries(vm):
        await thief.node.agent.send(publisher.id.service("sources"), encode(message))
    await until(lambda: publisher.sources.counters["received"] >= 5)
    assert not publisher.sources.subscribers()
    assert feed.bytes_received == 0


def _forgeries(vm: Vm) -> list[Subscribe | Ack]:
    eid, chain = vm.id.eid, vm.ownership.pack()
    return [
        Subscribe(Key("s", eid, Fence(2, 1)), 1, 0, 0, chain),
        Subscribe(Key("s", member(0)[0].node_id.service("tap"), Fence(1, 1)), 1, 0, 0, b""),
        Subscribe(Key("s", Eid("dtn://elsewhere/x"), Fence(1, 1)), 1, 0, 0, b""),
        Ack(Key("s", eid, Fence(1, 1)), 5),
    ]


async def test_data_counts_only_from_the_publisher_that_was_asked(world: World, file: Path) -> None:
    vm = Vm()
    here, there, liar = await world.start(0), await world.start(1), await world.start(2)
    world.connect(0, 1)
    world.connect(0, 2)
    await there.sources.publish("s", file, 2000.0)
    feed = vm.attach(here, "s", 0)
    got = await take(feed, 10)
    key = Key("s", vm.id.eid, Fence(1, 1))
    forged = Data(key, len(got) + 1, tuple(b"forged" for _ in range(3000)), True)
    seen = here.sources.counters["received"]
    await liar.node.agent.send(here.id.service("sources"), encode(forged))
    await until(lambda: here.sources.counters["received"] > seen)
    assert got + await take(feed, len(LINES)) == LINES


async def test_publishing_again_keeps_the_numbers_or_is_refused(
    world: World, file: Path, tmp_path: Path
) -> None:
    site = await world.start(0)
    await site.sources.publish("s", file, 10.0)
    await site.sources.publish("s", file, 20.0)
    other = tmp_path / "other"
    other.write_bytes(b"else")
    with pytest.raises(UsageError, match="already published"):
        await site.sources.publish("s", other, 20.0)
    with pytest.raises(UsageError, match="above 0"):
        await site.sources.publish("t", other, 0.0)
    with pytest.raises(UsageError, match="1 to 200 bytes"):
        await site.sources.publish("", other, None)
    await site.sources.unpublish("s")
    with pytest.raises(UsageError, match="not published"):
        await site.sources.unpublish("s")
    await site.sources.publish("s", other, None)


async def test_a_file_that_changes_stops_its_source_until_it_is_put_back(
    world: World, file: Path
) -> None:
    site = await world.start(0)
    await site.sources.publish("s", file, 2000.0)
    feed = Vm().attach(site, "s", 0)
    got = await take(feed, 50)
    source = site.sources.publications.served["s"]
    good = file.read_bytes()
    file.write_bytes(good.upper())
    with trio.move_on_after(0.3):
        await take(feed, len(LINES))
    assert "changed since" in str(source.trouble)
    assert got == LINES[: len(got)]


async def test_a_publication_whose_file_is_gone_at_start_is_named(world: World, file: Path) -> None:
    site = await world.start(0)
    await site.sources.publish("s", file, None)
    await world.stop(0)
    file.unlink()
    site = await world.start(0)
    assert "cannot read" in site.sources.publications.broken["s"]
    with pytest.raises(UsageError, match="cannot read"):
        await site.sources.publish("s", file, None)
    await site.sources.unpublish("s")
    assert not site.sources.publications.broken


async def test_attaching_twice_ends_the_first_feed(world: World, file: Path) -> None:
    site = await world.start(0)
    await site.sources.publish("s", file, None)
    vm = Vm()
    first = vm.attach(site, "s", 0)
    await take(first, 5)
    second = vm.attach(site, "s", 5)
    with pytest.raises(UsageError, match="attached to s again"):
        await first.receive(10)
    assert (await take(second, 1))[0] == LINES[5]
    await second.aclose()
    with pytest.raises(UsageError, match="closed"):
        await second.receive(10)
    await until(lambda: not site.sources.subscribers())


async def test_unpublishing_ends_local_feeds_and_a_bad_chain_ends_only_its_feed(
    world: World, file: Path
) -> None:
    site = await world.start(0)
    await site.sources.publish("s", file, 100.0)
    feed = Vm().attach(site, "s", 0)
    await take(feed, 2)
    bad = site.sources.attach(Vm().id.eid, 1, "t", 0, b"no chain")
    await site.sources.publish("t", file, None)
    with trio.fail_after(PATIENCE_S), pytest.raises(WireError):
        await bad.receive(10)
    await site.sources.unpublish("s")
    with trio.fail_after(PATIENCE_S), pytest.raises(UsageError, match="any more"):
        await take(feed, len(LINES))


@pytest.mark.parametrize("publisher", [0, 1])
async def test_a_host_that_lost_count_of_its_attachments_attaches_above_them(
    world: World, file: Path, publisher: int
) -> None:
    vm = Vm()
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    sources = (here, there)[publisher].sources
    await sources.publish("s", file, None)
    sources.publications.served["s"].core.subscribe(
        vm.id.eid, here.id, Fence(1, 1 << 40), serial=1, acknowledged=0, have=0, now=0.0
    )
    assert await take(vm.attach(here, "s", 0), len(LINES)) == LINES


async def test_a_file_that_is_back_is_served_again(
    world: World, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publications, "REOPEN_EVERY_S", 0.05)
    site = await world.start(0)
    await site.sources.publish("s", file, None)
    await world.stop(0)
    file.rename(file.with_suffix(".away"))
    site = await world.start(0)
    feed = Vm().attach(site, "s", 0)
    file.with_suffix(".away").rename(file)
    assert await take(feed, len(LINES)) == LINES
