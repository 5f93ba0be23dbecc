"""The bench of the mesh in its smallest form: it runs, and its seed decides what it finds."""

from __future__ import annotations

from bench import mesh_faults, mesh_gossip, mesh_lookups
from bench.mesh_stock import ask
from bench.mesh_world import DHT_ALONE, Parts
from bench.rows import Row

LOOKUPS = mesh_lookups.Plan(5, losses=(0.0, 0.3), gets=4, joins=1, steady_s=2.0, settle_s=5.0)
GOSSIP = mesh_gossip.Plan(
    6, kills=1, news=1, under_loss_s=((0.1, 20.0),), steady_s=5.0, settle_s=10.0
)


def _decided(rows: list[Row]) -> list[tuple[object, object]]:
    return [(one["name"], one["value"]) for one in rows if "processor" not in one["name"]]


def test_the_same_seed_gives_the_same_look_ups() -> None:
    first, second = (mesh_lookups.rows(mesh_lookups.measure(LOOKUPS, 3), None) for _ in range(2))
    assert _decided(first) == _decided(second)
    found = {one["name"]: one["value"] for one in first}
    assert found["DHT, N=5, loss 0%: gets that found it"] == 100
    assert found["DHT, N=5, loss 0%: get p99"] >= 0.02, "a round trip takes 20 ms at least"


def test_a_failure_is_found_and_nobody_else_called_dead() -> None:
    found = mesh_gossip.measure(GOSSIP, 3)
    assert 0.5 < found.detected_s[0] < 60
    assert found.false_deaths[0.1][1] == 0
    assert found.bytes_per_s > 0


def test_halves_know_their_own_machines_and_heal() -> None:
    plan = mesh_faults.Plan(4, Parts(), apart_s=75.0, losses=(0.0,), sample=6, settle_s=10.0)
    found = mesh_faults.heal(plan, 3)
    assert found.own_fresh == 100
    assert found.other_stale == 100
    assert len(found.healed_s[0.0]) == 6


def test_records_survive_three_in_ten() -> None:
    found = mesh_faults.kill(mesh_faults.Plan(10, DHT_ALONE, settle_s=10.0), 3)
    assert len(found.seconds) == found.asked == 10


def test_the_stock_package_runs_on_a_clock_that_jumps() -> None:
    said = ask("lookups", n=6, seed=3, gets=6, joins=1, steady=5, loss=[0.0])
    assert all(found for found, _, _ in said["gets"]["0.0"])
    assert len(said["joins_s"]) == 1
