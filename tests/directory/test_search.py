from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.dht import store
from radics_mesh.directory import search as search_module
from radics_mesh.knowledge import index
from radics_mesh.paths import Pattern
from radics_mesh.records import Kind
from tests.directory.world import all_names, mesh
from tests.members import Members


async def test_a_prefix_is_found_by_who_knows_nothing_of_it(
    members: Members, clock: MockClock
) -> None:
    """More nodes than hold a key, so that most have never seen these records."""
    nodes = await mesh(members, 11)
    await trio.sleep(5)
    for number, name in ((3, "camera/door"), (4, "camera/hall/attic"), (5, "clock")):
        await nodes[number].announce(Kind.SOURCE, name, {"rate": number})
    await nodes[6].announce(Kind.SOURCE, "camera/door", {"rate": 6})
    await trio.sleep(10)
    stranger = await members.start(50, bootstrap=[9])
    await trio.sleep(5)
    found = await stranger.search(Kind.SOURCE, Pattern.parse("camera/*"))
    told = [(e.record.subject, e.record.body["rate"], e.stale) for e in found.entries]
    assert sorted(told) == [
        ("camera/door", 3, False),
        ("camera/door", 6, False),
        ("camera/hall/attic", 4, False),
    ]
    assert (await all_names(stranger, "*", 100))[0].count("clock") == 1
    assert await all_names(stranger, "camera/hall/*", 100) == (["camera/hall/attic"], 1)
    assert await all_names(stranger, "clock/*", 100) == ([], 1)
    await nodes[4].withdraw(Kind.SOURCE, "camera/hall/attic")
    await trio.sleep(5)
    late = await members.start(51, bootstrap=[9])
    await trio.sleep(5)
    assert await all_names(late, "camera/hall/*", 100) == ([], 1)
    assert await all_names(late, "camera/*", 100) == (["camera/door"] * 2, 1)


async def test_many_names_come_in_pages_in_order(members: Members, clock: MockClock) -> None:
    a, b = await mesh(members, 2)
    names = [f"sensor/{number % 7}/{number:03}" for number in range(60)]
    for name in names:
        await a.announce(Kind.SOURCE, name, {"rate": 1})
    await trio.sleep(5)
    for limit in (7, 60, 1000):
        found, pages = await all_names(b, "sensor/*", limit)
        assert found == sorted(names)
        assert pages <= len(names) // limit + 2
    assert await all_names(b, "sensor/3/*", 100) == (
        [name for name in names if name.startswith("sensor/3/")],
        1,
    )


async def test_more_publishers_than_a_key_holds(
    members: Members, clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with smaller pages and keys, so that seven nodes are many."""
    monkeypatch.setattr(index, "SPLIT", 2)
    monkeypatch.setattr(index, "DESCEND", 2)
    monkeypatch.setattr(store, "KEY_MAX", 3)
    nodes = await mesh(members, 7)
    await trio.sleep(5)
    for number, node in enumerate(nodes):
        await node.announce(Kind.SOURCE, f"camera/{number:02}", {"rate": number})
    await trio.sleep(90)
    stranger = await members.start(50, bootstrap=[3])
    await trio.sleep(5)
    found, _ = await all_names(stranger, "camera/*", 100)
    assert found == [f"camera/{number:02}" for number in range(7)]


async def test_a_search_is_bounded_whatever_is_stated(members: Members, clock: MockClock) -> None:
    """A member states an index of names that there are not, in directories without end."""
    a, b, liar = await mesh(members, 3)
    await a.announce(Kind.SOURCE, "zoo", {"rate": 1})
    listed = [f"{number:03}" for number in range(100)]
    for directory in ("", "000/"):
        subject = index.page_subject(Kind.SOURCE, directory, "")
        names = [f"{name}/" for name in listed] if not directory else [*listed, "*", "/"]
        await liar.announce(Kind.INDEX, subject, {"names": names, "parts": 10**6})
    await trio.sleep(5)
    asked = b.counters["lookups_remote"]
    found = await b.search(Kind.SOURCE, Pattern.parse("*"))
    bound = search_module.DIRECTORIES_MAX + search_module.LOOKUPS_MAX + 200
    assert b.counters["lookups_remote"] - asked < bound
    assert [entry.record.subject for entry in found.entries] == ["zoo"]


async def test_alone_it_finds_what_it_knows(members: Members, clock: MockClock) -> None:
    [a, b] = await mesh(members, 2)
    await b.announce(Kind.SOURCE, "camera/door", {"rate": 1})
    await a.announce(Kind.SOURCE, "camera/attic", {"rate": 1})
    await trio.sleep(5)
    await members.kill(1)
    await trio.sleep(100)
    found = await a.search(Kind.SOURCE, Pattern.parse("camera/*"))
    assert [(e.record.subject, e.stale) for e in found.entries] == [
        ("camera/attic", False),
        ("camera/door", True),
    ]
