"""Routing modules in simulation: delivery, delay and copies, against an optimum nobody can beat.

`.venv/bin/python -m bench.routing` prints a table, with --json rows for programs. All figures are
of a simulation: real agents with their stores, signatures and routing modules on a mock clock,
links in memory (bench.routing_world says what is real). Time is simulated time.

The optimum is the earliest arrival in the time-expanded graph of the meetings, each bundle as if it
were alone: no other bundle in its way, no full buffer. No module can deliver more, or earlier. The
contact plan knows the meetings as they will be; link state knows which links are up now, everywhere
and at once; the others know what they are told when nodes meet.

Buffers are finite: a full node lets go of copies that it has handed on (as `join --evict` does),
and refuses what does not fit then, also of its own applications. "Transfers" are bundles that
crossed a link and were new there, for each bundle that was asked for: the copies made of it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import logging
import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import structlog

from bench.routing_mobility import MODELS, Meeting, Scenario
from bench.routing_world import (
    DELAY_S,
    START,
    MakeTable,
    Outcome,
    Sending,
    SimulatedClock,
    World,
    nodes,
)
from bench.rows import Row, row
from radics_mesh.clock import Monotonic, Wall
from radics_mesh.dtn.routes.contact_plan import Contact, ContactPlan
from radics_mesh.dtn.routes.direct import Direct
from radics_mesh.dtn.routes.epidemic import Epidemic
from radics_mesh.dtn.routes.module import Module
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.routes.planned import Planned
from radics_mesh.dtn.routes.prophet import Parameters, Prophet
from radics_mesh.dtn.routes.routing import NeighbourGraph, StaticRoutes
from radics_mesh.dtn.routes.spray import Spray
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.ids import NodeId

COPIES = 8
# A bundle on the wire is its payload and about this much: primary block, signature, chain, age.
WIRE_BYTES = 450
# Before a planned contact is over the answer must have come back.
_MARGIN_S = 4 * DELAY_S


@dataclass(frozen=True)
class Load:
    """Bytes, seconds, bytes a second. A buffer holds `buffer_bundles` of these bundles."""

    nodes: int = 16
    bundles: int = 120
    duration_s: float = 5400.0
    lifetime_s: int = 2700
    payload_bytes: int = 5000
    bytes_per_s: float = 10_000.0
    buffer_bundles: int = 40

    @property
    def quota_bytes(self) -> int:
        return self.buffer_bundles * (self.payload_bytes + WIRE_BYTES)


def sendings(scenario: Scenario, load: Load, random: Random) -> list[Sending]:
    """All of them end their lives before the run is over."""
    latest = scenario.duration_s - load.lifetime_s
    made = set()
    while len(made) < load.bundles:
        source, destination = random.sample(scenario.talkers, 2)
        made.add(Sending(random.uniform(0, latest), source, destination))
    return sorted(made, key=lambda one: one.at)


def optimum(scenario: Scenario, load: Load, sending: Sending) -> float:
    """The least delay that this bundle can have, alone; infinity: there is no way in its life."""
    needs_s = (load.payload_bytes + WIRE_BYTES) / load.bytes_per_s
    by_node: dict[int, list[Meeting]] = defaultdict(list)
    for one in scenario.meetings:
        by_node[one.one].append(one)
        by_node[one.other].append(one)
    best = {sending.source: sending.at}
    heap = [(sending.at, sending.source)]
    while heap:
        moment, node = heapq.heappop(heap)
        if node == sending.destination:
            delay_s = moment - sending.at
            return delay_s if delay_s < load.lifetime_s else math.inf
        for meeting in by_node[node]:
            sent = max(meeting.start, moment) + needs_s
            if sent > meeting.end or moment > best[node]:
                continue
            other = meeting.other if meeting.one == node else meeting.one
            if sent + DELAY_S < best.get(other, math.inf):
                best[other] = sent + DELAY_S
                heapq.heappush(heap, (sent + DELAY_S, other))
    return math.inf


# --- modules --------------------------------------------------------------------------------------


def _plan(scenario: Scenario, load: Load) -> ContactPlan:
    names = [node.text for node in nodes(scenario.nodes)]
    contacts = []
    for one in scenario.meetings:
        start, end = Wall(START + one.start), Wall(START + one.end - _MARGIN_S)
        if end > start:
            for sender, receiver in ((one.one, one.other), (one.other, one.one)):
                pair = names[sender], names[receiver]
                contacts.append(Contact(start, end, *pair, load.bytes_per_s, DELAY_S))
    return ContactPlan(tuple(contacts))


def _static(scenario: Scenario, number: int, names: Sequence[NodeId]) -> StaticRoutes:
    """What somebody would set up who knows how often each two nodes meet: least expected wait."""
    met: dict[tuple[int, int], int] = defaultdict(int)
    for one in scenario.meetings:
        met[one.one, one.other] += 1
        met[one.other, one.one] += 1
    routes = {}
    best, heap = {number: 0.0}, [(0.0, number, number)]
    while heap:
        wait, node, first = heapq.heappop(heap)
        if wait > best[node]:
            continue
        if node != number:
            routes[names[node]] = [names[first]]
        for (here, other), times in met.items():
            longer = wait + scenario.duration_s / times
            if here == node and longer < best.get(other, math.inf):
                best[other] = longer
                heapq.heappush(heap, (longer, other, other if node == number else first))
    return StaticRoutes(routes)


def tables(
    scenario: Scenario, load: Load
) -> dict[str, tuple[MakeTable, list[Callable[[int, int, bool], None]]]]:
    """By name: what makes a node's table, and who is told of meetings."""
    graphs: dict[int, NeighbourGraph] = {}
    up: set[tuple[int, int]] = set()

    def links(number: int, names: Sequence[NodeId], clock: SimulatedClock) -> RoutingTable:
        graphs[number] = NeighbourGraph(names[number])
        return RoutingTable(graphs[number])

    def told(one: int, other: int, begins: bool) -> None:
        names = nodes(scenario.nodes)
        for pair in ((one, other), (other, one)):
            (up.add if begins else up.discard)(pair)
        for changed in (one, other):
            now = {names[b]: 0.0 for a, b in up if a == changed}
            for graph in graphs.values():
                graph.update(names[changed], now)

    def simple(make: Callable[[int, Sequence[NodeId]], Module]) -> MakeTable:
        return lambda number, names, clock: RoutingTable(make(number, names))

    def spreading(make: Callable[[NodeId, Neighbours], Module]) -> MakeTable:
        def table(number: int, names: Sequence[NodeId], clock: SimulatedClock) -> RoutingTable:
            neighbours = Neighbours()
            return RoutingTable(make(names[number], neighbours), (), neighbours)

        return table

    plan = _plan(scenario, load)

    def planned(number: int, names: Sequence[NodeId]) -> Module:
        return Planned(names[number], plan, lambda name: None, _wall_at)

    parameters = Parameters(gamma=0.98, unit_s=30.0, typical_s=300.0)
    return {
        "contact plan": (simple(planned), []),
        "epidemic": (spreading(Epidemic), []),
        f"spray-and-wait, {COPIES} copies": (
            spreading(lambda own, neighbours: Spray(own, neighbours, COPIES)),
            [],
        ),
        "PRoPHET": (spreading(lambda own, known: Prophet(own, known, parameters)), []),
        "link state": (links, [told]),
        "static": (simple(lambda number, names: _static(scenario, number, names)), []),
        "direct": (simple(lambda number, names: Direct()), []),
    }


def _wall_at(now: Monotonic) -> Wall:
    return Wall(now + START)


# --- figures --------------------------------------------------------------------------------------


@dataclass
class Figures:
    """Over all seeds. Delays count a bundle that did not arrive with its whole life."""

    sent: int = 0
    delivered: int = 0
    delay_s: float = 0.0
    transfers: int = 0
    messages: int = 0
    refused: int = 0
    took_s: float = 0.0

    def add(self, outcome: Outcome, asked: Sequence[Sending], load: Load) -> None:
        delays = [outcome.delays.get(one, float(load.lifetime_s)) for one in asked]
        self.sent += len(asked)
        self.delivered += len(outcome.delays)
        self.delay_s += sum(delays)
        self.transfers += outcome.transfers
        self.messages += outcome.messages
        self.refused += outcome.refused_at_source

    @property
    def ratio(self) -> float:
        return self.delivered / self.sent

    @property
    def mean_delay_s(self) -> float:
        return self.delay_s / self.sent

    @property
    def per_bundle(self) -> float:
        return self.transfers / self.sent


def measure(model: str, seeds: Sequence[int], load: Load, only: str) -> dict[str, Figures]:
    found: dict[str, Figures] = defaultdict(Figures)
    for seed in seeds:
        random = Random(f"{model} {seed}")
        scenario = MODELS[model](random, load.nodes, load.duration_s)
        asked = sendings(scenario, load, random)
        best = {one: optimum(scenario, load, one) for one in asked}
        ideal = Outcome({one: delay for one, delay in best.items() if delay < math.inf})
        found["optimum"].add(ideal, asked, load)
        for name, (make_table, told) in tables(scenario, load).items():
            if only not in name:
                continue
            started = time.perf_counter()
            world = World(
                scenario,
                asked,
                make_table,
                payload_bytes=load.payload_bytes,
                quota_bytes=load.quota_bytes,
                bytes_per_s=load.bytes_per_s,
                lifetime_s=load.lifetime_s,
            )
            world.on_meeting = told
            outcome = world.run()
            early = [one for one in asked if outcome.delays.get(one, math.inf) < best[one] - 0.2]
            if early:
                raise AssertionError(f"{name} beat what cannot be beaten: {early[0]}")
            found[name].add(outcome, asked, load)
            found[name].took_s += time.perf_counter() - started
    return found


def rows(model: str, found: dict[str, Figures]) -> list[Row]:
    made = []
    best = found["optimum"]
    for name, one in found.items():
        is_plan = name == "contact plan"
        title = f"simulation, {model}, {name}"
        ratio = row(f"{title}: delivered", 100 * one.ratio, "%")
        if is_plan:  # a share that should be large, not a time that should be short
            ratio["aim"] = round(95 * best.ratio, 2)
            ratio["met"] = ratio["value"] >= ratio["aim"]
        made.append(ratio)
        aim = round(best.mean_delay_s * 1.05, 2) if is_plan else None
        made.append(row(f"{title}: mean delay", one.mean_delay_s, "simulated s", aim))
        if name != "optimum":
            made.append(row(f"{title}: transfers of a bundle", one.per_bundle, ""))
    return made


def table(model: str, found: dict[str, Figures]) -> str:
    lines = [
        f"simulation, {model}",
        f"  {'':27} {'delivered':>9} {'of optimum':>10} {'mean delay':>10} {'of optimum':>10}"
        f" {'transfers':>9} {'messages':>8} {'refused':>7}",
    ]
    best = found["optimum"]
    for name, one in found.items():
        lines.append(
            f"  {name:27} {one.ratio:9.1%} {one.ratio / best.ratio:10.1%}"
            f" {one.mean_delay_s:8.0f} s {one.mean_delay_s / best.mean_delay_s:10.1%}"
            f" {one.per_bundle:9.1f} {one.messages:8} {one.refused:7}"
        )
    return "\n".join(lines)


def main() -> int:
    quiet = structlog.make_filtering_bound_logger(logging.ERROR)  # full nodes refuse by the dozen
    structlog.configure(wrapper_class=quiet)
    load = Load()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", choices=sorted(MODELS), action="append")
    parser.add_argument("--only", default="", help="part of a module's name")
    parser.add_argument("--nodes", type=int, default=load.nodes)
    parser.add_argument("--bundles", type=int, default=load.bundles)
    parser.add_argument("--buffer", type=int, default=load.buffer_bundles, metavar="BUNDLES")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    load = Load(nodes=given.nodes, bundles=given.bundles, buffer_bundles=given.buffer)
    made = []
    for model in given.model or MODELS:
        found = measure(model, range(given.seeds), load, given.only)
        made += rows(model, found)
        if not given.json:
            print(table(model, found), flush=True)
    if given.json:
        print(json.dumps({"rows": made}))
    else:
        print(
            f"simulated: {load.nodes} nodes, {load.bundles} bundles of {load.payload_bytes} bytes"
            f" in {load.duration_s:.0f} s, life {load.lifetime_s} s, links {load.bytes_per_s:.0f}"
            f" bytes/s, buffers of {load.buffer_bundles} bundles, {given.seeds} seeds"
        )
    return 0 if all(one["met"] in (None, True) for one in made) else 1


if __name__ == "__main__":
    sys.exit(main())
