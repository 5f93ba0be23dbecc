"""Breadth-first over every state, with its invariants and the way to one that breaks them.

A state is a tuple of small numbers: one for each node, then what is in flight, then what is common.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from radics_mesh.ids import Digest
from radics_mesh.ownership import born
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_state import Tenure
from tests.exploration.bundles import Bundles
from tests.exploration.handoff import Handoffs
from tests.exploration.mailroom import Mailroom, Room
from tests.exploration.node import Shell
from tests.exploration.world import (
    ABSENT,
    NODES,
    Bounds,
    Common,
    Guest,
    Interned,
    Line,
    Memory,
    Node,
    Outcome,
    State,
    Violation,
)

_DEEPEST = 1000


@dataclass(frozen=True)
class Explored:
    states: int
    transitions: int
    depth: int


class Model:
    """Everything within the bounds, with `machine` and `room` as the code under test."""

    def __init__(
        self,
        bounds: Bounds,
        machine: type[Handoff] = Handoff,
        *,
        shell: type[Shell] = Shell,
        room: type[Room] = Room,
    ) -> None:
        self.bounds = bounds
        self._machine = machine
        self._handoffs = Handoffs(machine)
        self._mailroom = Mailroom(room)
        self._shell = shell(bounds, self._handoffs, self._mailroom)
        self._bundles = Bundles(self._shell)
        self._flights: Interned[frozenset[int]] = Interned()
        self._acts: dict[tuple[int, int, int], list[Outcome]] = {}
        self._hears: dict[tuple[int, int, int], list[Outcome]] = {}
        self._meets: dict[tuple[int, int, int, int], list[Outcome]] = {}
        self._posted: dict[tuple[int, tuple[int, ...]], int] = {}
        self._lost: dict[int, list[tuple[int, int]]] = {}
        self._live: dict[int, int] = {}
        self._numbers: dict[State, int] = {}
        self._states: list[State] = []
        # Who was first to lead there, and where each one leads without a crash or a user.
        self._parents = array("I")
        self._ways = array("I")
        self._ways_from = array("Q", [0])

    # --- the walk -------------------------------------------------------------------------------

    def explore(self) -> Explored:
        """Visit all; Violation if an invariant breaks."""
        self._visit(self._first(), 0)
        transitions = 0
        for here, state in enumerate(self._states):  # grows
            ways = set()
            for label, helps, broken, after in self._after(state):
                transitions += 1
                if broken:
                    raise Violation(broken, (*self._trail(here), label))
                there = self._numbers.get(after)
                if there is None:
                    there = self._visit(after, here)
                    self._check_live(after, there)
                if helps:
                    ways.add(there)
            self._ways.extend(sorted(ways))
            self._ways_from.append(len(self._ways))
        self._check_ways()
        return Explored(len(self._states), transitions, len(self._trail(len(self._states) - 1)))

    def _visit(self, state: State, parent: int) -> int:
        number = self._numbers[state] = len(self._states)
        self._states.append(state)
        self._parents.append(parent)
        return number

    def _check_live(self, state: State, number: int) -> None:
        branches = self._branches(state[: self.bounds.nodes])
        if not self._shell.was_set_back(state[-1]) and len(set(branches)) < len(branches):
            raise Violation("two live", self._trail(number))

    def _branches(self, nodes: State) -> list[int]:
        """Of the guests that execute."""
        return [branch for node in nodes if (branch := self._branch(node)) != ABSENT]

    def _branch(self, node: int) -> int:
        live = self._live.get(node)
        if live is None:
            live = self._live[node] = self._shell.live(node)
        return live

    def _check_ways(self) -> None:
        """From every state one can be reached in which the guest is live and nothing is owed.

        Swept from the back, since most ways lead to later states; what is left is swept again.
        """
        good = bytearray(len(self._states))
        left, before = list(range(len(self._states) - 1, -1, -1)), -1
        while left and len(left) != before:
            before = len(left)
            left = [number for number in left if not self._leads(number, good)]
        if left:
            raise Violation("no way on", self._trail(left[-1]))

    def _leads(self, number: int, good: bytearray) -> bool:
        ways = self._ways[self._ways_from[number] : self._ways_from[number + 1]]
        good[number] = self._is_done(self._states[number]) or any(good[way] for way in ways)
        return bool(good[number])

    def _is_done(self, state: State) -> bool:
        *nodes, _, common = state
        live = len(self._branches(tuple(nodes)))
        if self._shell.was_set_back(common):  # the only copy of its state may be gone with the disk
            return live <= 1
        if live != 1:
            return False
        return any(self._shell.is_done(node, common) for node in nodes)

    # --- what can happen next -------------------------------------------------------------------

    def _first(self) -> State:
        chain = born(NODES[0], "vm", Digest.of(b"image"), b"n" * 16)
        holder = self._handoffs.intern(self._machine.born(chain, NODES[0]).tenure)
        other = self._handoffs.intern(Tenure(chain.vm_id))
        nodes = [Node(other, other)] * self.bounds.nodes
        nodes[0] = Node(holder, holder, Guest(True, Memory(0)), mailbox=self._mailroom.empty)
        bounds = self.bounds
        common = Common(
            version=0,
            lines=(Line(0, 0),),
            ceased=frozenset(),
            kept=None,
            copied=None,
            moves=bounds.moves,
            crashes=bounds.crashes,
            power_losses=bounds.power_losses,
            checkpoints=bounds.checkpoints,
            copies=bounds.copies,
            recoveries=bounds.recoveries,
            set_backs=bounds.set_backs,
            full_disks=bounds.full_disks,
            attempts=(0,) * bounds.nodes,
            sent=frozenset(),
            outside=frozenset(range(bounds.messages)),
        )
        numbers = [self._shell.nodes.number(node) for node in nodes]
        flight = self._flights.number(frozenset())
        return (*numbers, flight, self._shell.commons.number(common))

    def _after(self, state: State) -> Iterator[tuple[str, bool, str, State]]:
        count = self.bounds.nodes
        flight, common = state[count], state[count + 1]
        for who in range(count):
            key = (who, state[who], common)
            outcomes = self._acts.get(key)
            if outcomes is None:
                outcomes = self._acts[key] = self._shell.acts(*key)
            yield from self._composed(state, who, outcomes)
        for letter, without in self._losses(flight):
            yield "lose", True, "", (*state[:count], without, common)
            who = self._shell.letters.values[letter].to
            key = (letter, state[who], common)
            outcomes = self._hears.get(key)
            if outcomes is None:
                outcomes = self._hears[key] = self._shell.hears(*key)
            yield from self._composed(state, who, outcomes)
        if self.bounds.messages:
            yield from self._bundles.after(state)
        if self.bounds.recoveries or self.bounds.set_backs:
            yield from self._meetings(state)

    def _meetings(self, state: State) -> Iterator[tuple[str, bool, str, State]]:
        for who in range(self.bounds.nodes):
            for other in range(self.bounds.nodes):
                key = (who, state[who], state[-1], state[other])
                outcomes = self._meets.get(key)
                if outcomes is None:
                    outcomes = self._meets[key] = self._shell.meets(*key) if other != who else []
                yield from self._composed(state, who, outcomes)

    def _composed(
        self, state: State, who: int, outcomes: list[Outcome]
    ) -> Iterator[tuple[str, bool, str, State]]:
        count = self.bounds.nodes
        before, behind, flight = state[:who], state[who + 1 : count], state[count]
        for label, node, common, posts, helps, started, broken in outcomes:
            watched = started != ABSENT and not self._shell.was_set_back(common)
            if watched and started in self._branches((*before, *behind)):
                broken = "two live"
            after = self._post(flight, posts) if posts else flight
            yield label, helps, broken, (*before, node, *behind, after, common)

    def _losses(self, flight: int) -> list[tuple[int, int]]:
        """Each letter, and what is in flight without it."""
        known = self._lost.get(flight)
        if known is None:
            letters = self._flights.values[flight]
            known = self._lost[flight] = [
                (letter, self._flights.number(letters - {letter})) for letter in sorted(letters)
            ]
        return known

    def _post(self, flight: int, posts: tuple[int, ...]) -> int:
        """A network that is full loses the new letter: one of the losses that can happen."""
        known = self._posted.get((flight, posts))
        if known is None:
            letters = set(self._flights.values[flight])
            for letter in posts:
                if len(letters) < self.bounds.in_flight:
                    letters.add(letter)
            known = self._posted[flight, posts] = self._flights.number(frozenset(letters))
        return known

    # --- for people -----------------------------------------------------------------------------

    def _trail(self, number: int) -> tuple[str, ...]:
        """The labels of the shortest way there."""
        labels = []
        while number:
            parent = self._parents[number]
            wanted = self._states[number]
            labels.append(
                next(
                    label
                    for label, _, _, after in self._after(self._states[parent])
                    if after == wanted
                )
            )
            number = parent
        return tuple(reversed(labels))
