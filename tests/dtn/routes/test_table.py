"""Which module decides, what a configuration may say, and what neighbours tell each other."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.clock import Monotonic
from radics_mesh.codec import pack
from radics_mesh.config import Route
from radics_mesh.dtn.routes.allotted import Allotted
from radics_mesh.dtn.routes.choice import Surroundings, table_of
from radics_mesh.dtn.routes.digests import DIGEST_BYTES, digest
from radics_mesh.dtn.routes.messages import Summary
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.routes.routing import NeighbourGraph
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.dtn.wire.bundle import BundleId
from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import Eid, NodeId, VmId
from tests.dtn.routes.bundles import NOW, A, B, C, D, held
from tests.dtn.world import HandClock

LINKS = NeighbourGraph(A)


def table(*routes: str) -> RoutingTable:
    names = {"bee": B}.get
    around = Surroundings(A, LINKS, names, HandClock())
    return table_of([Route.parse(text) for text in routes], around)


def test_the_first_pattern_that_matches_decides() -> None:
    found = table("dtn://vm.*=links", f"{B.eid}alarm*=epidemic", f"dtn://{B.text}/*=direct")
    names = {
        VmId(b"v" * 20).eid: "links",
        B.service("alarm/fire"): "epidemic",
        B.service("in"): "direct",
        C.service("alarm"): "links",
        Eid("ipn:5.1"): "links",
    }
    assert {eid: found.of(eid).name for eid in names} == names
    assert found.spreads
    assert not table("*=direct").spreads


def test_talk_about_routing_goes_to_neighbours_only() -> None:
    assert table("*=epidemic").of(B.service("routing")).name == "direct"


def test_fixed_neighbours_by_name_or_id() -> None:
    module = table(f"*=static:bee,{C.text},nobody").of(D.eid)
    assert list(module.choose(held(D.eid), D, [C, B], NOW)) == [B, C]
    assert list(module.choose(held(D.eid), D, [D, B], NOW)) == [D]


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ("*", "not a route"),
        ("=direct", "not a route"),
        ("*=teleport", "teleport: no such module; there are direct, epidemic"),
        ("*=direct:x", "want NAME=NUMBER"),
        ("*=epidemic:a=1", "a: no such option"),
        ("*=static", "static needs neighbours"),
        ("*=spray:copies=0", "copies are 1 to"),
        ("*=spray:copies=1.5", "copies are 1 to"),
        ("*=prophet:gamma=2", "0 to 1"),
        ("*=plan", "plan needs a file"),
        ("*=plan:/nowhere/at/all", "nowhere"),
    ],
)
def test_routes_that_make_no_sense(route: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        table(route)


def test_one_module_cannot_be_two() -> None:
    with pytest.raises(UsageError, match="spray with two different"):
        table(f"{B.eid}*=spray:copies=2", "*=spray:copies=4")
    same = table(f"{B.eid}*=spray:copies=2", f"{C.eid}*=spray:copies=2")
    assert same.of(B.eid) is same.of(C.eid)


digests = st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)
summaries = st.builds(
    Summary,
    st.booleans(),
    st.lists(digests, max_size=5),
    st.lists(st.tuples(digests, st.integers(0, 1 << 40)), max_size=5),
    st.dictionaries(st.text(max_size=5), st.lists(st.integers(0, 9), max_size=3), max_size=3),
)


@given(summaries)
def test_what_is_told_is_what_is_heard(summary: Summary) -> None:
    assert Summary.parse(summary.pack()) == summary


@given(st.binary(max_size=60) | st.lists(st.integers(-9, 9) | st.binary(max_size=30)).map(pack))
def test_any_bytes_are_a_summary_or_an_error(data: bytes) -> None:
    try:
        Summary.parse(data)
    except WireError:
        return


def test_a_lie_about_lengths() -> None:
    whole = Summary(True, [], [(b"a" * DIGEST_BYTES, 5)]).pack()
    short = pack([1, True, b"", b"a" * DIGEST_BYTES, [], {}])
    assert Summary.parse(whole).arrived == [(b"a" * DIGEST_BYTES, 5)]
    for wrong in (short, pack([1, True, b"x", b"", [], {}]), pack([2, True, b"", b"", [], {}])):
        with pytest.raises(WireError):
            Summary.parse(wrong)


def test_no_copy_before_the_neighbour_has_spoken() -> None:
    known, one = Neighbours(), held(D.eid)
    assert known.lacks(B, one.bundle_id)  # not in contact: by way of a stick
    known.contact_up(B)
    assert not known.lacks(B, one.bundle_id)
    known.holds(B, [])
    assert known.lacks(B, one.bundle_id)
    known.holds(B, [digest(one.bundle_id)])
    assert not known.lacks(B, one.bundle_id)
    known.contact_down(B)
    assert known.lacks(B, one.bundle_id)


def test_what_has_arrived_is_forgotten_with_its_life() -> None:
    known, one = Neighbours(), held(D.eid)
    known.arrived(one.bundle_id, Monotonic(NOW + 10))
    part = BundleId(one.bundle_id.source, 1, one.bundle_id.sequence, 0, 5)
    assert known.has_arrived(one.bundle_id)
    assert known.has_arrived(part)
    assert known.all_arrived(NOW) == [(digest(one.bundle_id), 10.0)]
    assert not known.all_arrived(Monotonic(NOW + 11))
    assert not known.has_arrived(one.bundle_id)


def test_a_summary_that_comes_late_says_nothing_about_what_is_held() -> None:
    found, one = table("*=epidemic"), held(D.eid)
    late = Summary(False, [digest(one.bundle_id)], [(b"n" * DIGEST_BYTES, 50)])
    assert found.heard(B, late, NOW)
    assert not found.heard(B, late, NOW)
    found.contact_up(B, NOW)
    assert not found.of(D.eid).choose(one, D, [B], NOW)
    found.heard(B, Summary(False), NOW)
    assert list(found.of(D.eid).choose(one, D, [B], NOW)) == [B]


async def test_notes_about_copies(tmp_path: Path) -> None:
    path = tmp_path / "copies.db"
    one, other, third = (held(D.eid).bundle_id for _ in range(3))
    notes = Allotted(path)
    for what in (one, other, third):
        notes.note(what, 5)
    await notes.flushed()
    notes.note(one, 3)
    notes.note(other, None)
    notes.close()
    again = Allotted(path)
    assert again.left == {one: 3, third: 5}
    again.forget_others(lambda what: what == one)
    again.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT * FROM allotted").fetchall() == [(str(one), 3)]
    connection.close()


def test_damaged_notes_are_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "copies.db"
    path.write_bytes(b"not a database, and longer than a header of one" * 40)
    notes = Allotted(path)
    assert notes.left == {}
    notes.close()


def test_names_of_neighbours_may_become_known() -> None:
    names: dict[str, NodeId] = {}
    around = Surroundings(A, LINKS, names.get, HandClock())
    module = table_of([Route.parse("*=static:mule")], around).of(D.eid)
    assert not module.choose(held(D.eid), D, [B], NOW)
    names["mule"] = B
    assert list(module.choose(held(D.eid), D, [B], NOW)) == [B]


def test_what_one_of_a_group_has_is_wanted_by_others() -> None:
    found, one = table("*=epidemic"), held(Eid("dtn://group.all/news"))
    found.arrived(one)
    assert not found.is_needless(one)
    other = held(D.eid)
    found.arrived(other)
    assert found.is_needless(other)


async def test_notes_outlive_a_caller_that_is_cancelled(tmp_path: Path) -> None:
    one, notes = held(D.eid).bundle_id, Allotted(tmp_path / "copies.db")
    notes.note(one, 3)
    with trio.CancelScope() as scope:
        scope.cancel()
        await notes.flushed()
    await notes.flushed()
    with sqlite3.connect(tmp_path / "copies.db") as connection:
        assert connection.execute("SELECT copies FROM allotted").fetchall() == [(3,)]
    connection.close()
    notes.close()
