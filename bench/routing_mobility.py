"""Who meets whom and when: three mobility models, seeded, as lists of contacts.

waypoint   everybody walks to a random place, and then to another one
buses      buses go round between villages by a timetable; villages never meet each other
community  as waypoint, but most places are in one's own quarter
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

# Metres, metres a second, seconds.
AREA_M = 1000.0
RANGE_M = 70.0
SPEED_MIN, SPEED_MAX = 1.0, 5.0
STEP_S = 1.0
STOP_S, LEG_S = 40.0, 140.0


@dataclass(frozen=True)
class Meeting:
    """Nodes `one` and `other` hear each other from `start` to `end`, seconds."""

    start: float
    end: float
    one: int
    other: int


@dataclass(frozen=True)
class Scenario:
    """`talkers`: the nodes that send and receive bundles."""

    name: str
    nodes: int
    talkers: tuple[int, ...]
    meetings: tuple[Meeting, ...]
    duration_s: float


Place = tuple[float, float]


class _Walker:
    def __init__(self, random: Random, pick: Callable[[], Place]) -> None:
        self._random = random
        self._pick = pick
        self.at = pick()
        self._goal = pick()
        self._speed = random.uniform(SPEED_MIN, SPEED_MAX)

    def step(self) -> None:
        left_m = math.dist(self.at, self._goal)
        step_m = self._speed * STEP_S
        if left_m <= step_m:
            self.at, self._goal = self._goal, self._pick()
            self._speed = self._random.uniform(SPEED_MIN, SPEED_MAX)
            return
        share = step_m / left_m
        (x, y), (gx, gy) = self.at, self._goal
        self.at = (x + (gx - x) * share, y + (gy - y) * share)


def _walk(walkers: list[_Walker], duration_s: float) -> tuple[Meeting, ...]:
    open_since: dict[tuple[int, int], float] = {}
    found = []
    pairs = list(itertools.combinations(range(len(walkers)), 2))
    for step in range(int(duration_s / STEP_S) + 1):
        now = step * STEP_S
        for pair in pairs:
            near = math.dist(walkers[pair[0]].at, walkers[pair[1]].at) < RANGE_M
            if near and now < duration_s:
                open_since.setdefault(pair, now)
            elif pair in open_since:
                found.append(Meeting(open_since.pop(pair), now, *pair))
        for walker in walkers:
            walker.step()
    found += (Meeting(since, duration_s, *pair) for pair, since in open_since.items())
    return tuple(sorted(found, key=lambda one: (one.start, one.end)))


def waypoint(random: Random, nodes: int, duration_s: float) -> Scenario:
    def anywhere() -> Place:
        return random.uniform(0, AREA_M), random.uniform(0, AREA_M)

    walkers = [_Walker(random, anywhere) for _ in range(nodes)]
    return Scenario("waypoint", nodes, tuple(range(nodes)), _walk(walkers, duration_s), duration_s)


def community(random: Random, nodes: int, duration_s: float) -> Scenario:
    """Four quarters; one place in ten is anywhere."""
    half = AREA_M / 2

    def of(quarter: int) -> Callable[[], Place]:
        x, y = half * (quarter % 2), half * (quarter // 2)

        def pick() -> Place:
            if random.random() < 0.1:
                return random.uniform(0, AREA_M), random.uniform(0, AREA_M)
            return x + random.uniform(0, half * 0.6), y + random.uniform(0, half * 0.6)

        return pick

    walkers = [_Walker(random, of(node % 4)) for node in range(nodes)]
    return Scenario("community", nodes, tuple(range(nodes)), _walk(walkers, duration_s), duration_s)


def buses(random: Random, nodes: int, duration_s: float) -> Scenario:
    """A quarter of the nodes are buses; each has a round of villages, and neighbouring rounds share
    one, where bundles wait for the other bus."""
    count = max(2, nodes // 4)
    villages = list(range(count, nodes))
    random.shuffle(villages)
    size = math.ceil(len(villages) / count)
    found = []
    for bus in range(count):
        start = bus * size
        stops = [villages[(start + nth) % len(villages)] for nth in range(size + 1)]
        now, at = random.uniform(0, STOP_S), 0
        while now + STOP_S < duration_s:
            found.append(Meeting(now, now + STOP_S, bus, stops[at % len(stops)]))
            now, at = now + STOP_S + LEG_S, at + 1
    meetings = tuple(sorted(found, key=lambda one: (one.start, one.end)))
    return Scenario("buses", nodes, tuple(sorted(villages)), meetings, duration_s)


MODELS: dict[str, Callable[[Random, int, float], Scenario]] = {
    "waypoint": waypoint,
    "buses": buses,
    "community": community,
}
