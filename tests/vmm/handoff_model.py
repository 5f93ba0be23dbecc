"""A world of two nodes around the real hand-off code, small enough to visit every state.

Nondeterminism: any message in flight may be delivered (and stays: duplication, reordering) or lost;
clocks may fire whenever they are set; a node may crash after any single effect; a bounded number of
moves may be begun by whoever holds the VM. The real state machine is called once for each distinct
(tenure, input) and remembered, so that visiting a state costs only the walk.

A guest that goes live makes a new version of the VM's state, so starting from any snapshot but the
latest is seen as stale. A crash ends the node's process: what was not durable is gone, a guest that
executes goes on (its QEMU is another process), one that was parked and is on disk is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from radics_mesh.errors import PeerError
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import born
from radics_mesh.vmm.handoff import Handoff
from radics_mesh.vmm.handoff_messages import Message, Missing, Terms
from radics_mesh.vmm.handoff_state import (
    REPEAT_FIRST_S,
    Consider,
    Effect,
    Fetch,
    Forget,
    KillAndReap,
    Park,
    Persist,
    Phase,
    Send,
    SendBlob,
    Start,
    Tenure,
    Unpark,
)

TERMS = Terms("x86_64", "qemu64", 32 << 20, 1 << 20)
NODES = (Identity(b"A" * 32), Identity(b"B" * 32))
NAMES = {NODES[0].node_id: 0, NODES[1].node_id: 1}
NEVER = 1e9


class Violation(AssertionError):
    """An invariant does not hold; the text says which, `trail` how it came about."""


@cache
def snapshot_of(version: int) -> Digest:
    return Digest.of(b"version %d" % version)


@cache
def version_of(snapshot: Digest) -> int:
    return next(v for v in range(1000) if snapshot_of(v) == snapshot)


@dataclass(frozen=True)
class Blob:
    digest: Digest


class Letter(NamedTuple):
    to: int
    sender: int
    content: Message | Blob


class Node(NamedTuple):
    """`tenure` and `durable` are numbers of interned tenures; a guest is (executes, version)."""

    tenure: int
    durable: int
    guest: tuple[bool, int] | None
    disk: frozenset[Digest]


class World(NamedTuple):
    nodes: tuple[Node, Node]
    flight: frozenset[int]
    version: int
    moves: int
    crashes: int


class Model:
    """Every state that is reachable within the bounds, with `machine` as the code under test."""

    def __init__(
        self,
        machine: type[Handoff] = Handoff,
        *,
        moves: int = 2,
        crashes: int = 1,
        in_flight: int = 3,
        one_way: bool = False,
    ) -> None:
        self._machine = machine
        self._moves, self._crashes, self._in_flight = moves, crashes, in_flight
        self._one_way = one_way
        self._tenures: dict[Tenure, int] = {}
        self._tenure: list[Tenure] = []
        self._letters: dict[Letter, int] = {}
        self._letter: list[Letter] = []
        self._steps: dict[object, tuple[int, Sequence[Effect]]] = {}

    # --- the walk -------------------------------------------------------------------------------

    def explore(self) -> int:
        """Visit all; Violation if an invariant breaks. Returns the number of states."""
        first = self._first()
        seen = {first: 0}
        back: list[list[int]] = [[]]
        live = [self._is_live(first)]
        queue = [first]
        for world in queue:
            here = seen[world]
            for action, after in self._successors(world):
                there = seen.get(after)
                if there is None:
                    there = seen[after] = len(queue)
                    queue.append(after)
                    back.append([])
                    live.append(self._is_live(after))
                if action != "crash":
                    back[there].append(here)
        self._check_reachable(queue, back, live)
        return len(queue)

    def _check_reachable(
        self, worlds: list[World], back: list[list[int]], live: list[bool]
    ) -> None:
        """From every state, without any further crash, the guest can be live again."""
        queue = [number for number, is_live in enumerate(live) if is_live]
        reached = set(queue)
        for number in queue:
            fresh = [b for b in back[number] if b not in reached]
            reached.update(fresh)
            queue.extend(fresh)
        for number, world in enumerate(worlds):
            if number not in reached:
                raise Violation(f"no live state can follow: {self.describe(world)}")

    def _is_live(self, world: World) -> bool:
        live = [node.guest is not None and node.guest[0] for node in world.nodes]
        if all(live):
            raise Violation(f"two live: {self.describe(world)}")
        return any(live)

    def describe(self, world: World) -> str:
        nodes = [
            f"{self._tenure[n.tenure].phase}/{self._tenure[n.durable].phase} guest={n.guest}"
            for n in world.nodes
        ]
        flight = sorted(type(self._letter[i].content).__name__ for i in world.flight)
        return f"{nodes} {flight} version={world.version} moves={world.moves}"

    # --- what can happen next -------------------------------------------------------------------

    def _first(self) -> World:
        chain = born(NODES[0], "vm", Digest.of(b"image"), b"n" * 16)
        holder = self._intern(Handoff.born(chain, NODES[0]).tenure)
        other = self._intern(Tenure(chain.vm_id))
        return World(
            (
                Node(holder, holder, (True, 0), frozenset()),
                Node(other, other, None, frozenset()),
            ),
            frozenset(),
            0,
            self._moves,
            self._crashes,
        )

    def _successors(self, world: World) -> Iterator[tuple[str, World]]:
        for number in world.flight:
            yield "lose", world._replace(flight=world.flight - {number})
            yield from self._deliver(world, number)
        for who in (0, 1):
            yield from self._act(world, who)

    def _act(self, world: World, who: int) -> Iterator[tuple[str, World]]:
        node = world.nodes[who]
        tenure = self._tenure[node.tenure]
        if tenure.repeat_at is not None:
            yield from self._step(world, who, "repeat")
        if tenure.deadline is not None:
            yield from self._step(world, who, "timeout")
        if tenure.phase is Phase.STAGING:
            yield from self._step(world, who, "staged enough")
        if tenure.phase is Phase.FREEZING and node.guest and not node.guest[0]:
            snapshot = snapshot_of(node.guest[1])
            saved = _with_node(world, who, node._replace(disk=node.disk | {snapshot}))
            yield from self._step(saved, who, "parked", snapshot)
        if tenure.phase is Phase.HOLDING and node.guest and node.guest[0] and world.moves:
            begun = world._replace(moves=world.moves - 1)
            yield from self._step(begun, who, "offer")
            if self._one_way:
                yield from self._step(begun, who, "one way")
        if world.crashes:
            yield "crash", self._crash(world, who)

    def _deliver(self, world: World, number: int) -> Iterator[tuple[str, World]]:
        letter = self._letter[number]
        node = world.nodes[letter.to]
        if isinstance(letter.content, Blob):
            digest = letter.content.digest
            kept = _with_node(world, letter.to, node._replace(disk=node.disk | {digest}))
            yield from self._step(kept, letter.to, "stored", digest)
        else:
            yield from self._step(world, letter.to, "message", number)

    # --- one input to the real code, and its effects --------------------------------------------

    def _step(
        self, world: World, who: int, kind: str, argument: Digest | int | None = None
    ) -> Iterator[tuple[str, World]]:
        """The world after the input; and, while crashes are left, after a crash at each effect."""
        node = world.nodes[who]
        tenure, effects = self._transition(who, node.tenure, kind, argument)
        world = _with_node(world, who, node._replace(tenure=tenure))
        for effect in effects:
            world = self._apply(world, who, effect)
            if world.crashes:
                yield "crash", self._crash(world, who)
        yield kind, world

    def _transition(
        self, who: int, tenure: int, kind: str, argument: Digest | int | None
    ) -> tuple[int, Sequence[Effect]]:
        key = (who, tenure, kind, argument)
        known = self._steps.get(key)
        if known is None:
            handoff = self._machine(self._tenure[tenure], NODES[who])
            try:
                effects = self._call(handoff, who, kind, argument)
            except PeerError:
                handoff, effects = self._machine(self._tenure[tenure], NODES[who]), []
            known = self._steps[key] = (self._intern(handoff.tenure), effects)
        return known

    def _call(
        self, handoff: Handoff, who: int, kind: str, argument: Digest | int | None
    ) -> Sequence[Effect]:
        other = NODES[1 - who]
        inputs: dict[str, Callable[[], object]] = {
            "repeat": lambda: handoff._emit(*handoff.tick(REPEAT_FIRST_S)),
            "timeout": lambda: handoff._emit(*handoff.tick(NEVER)),
            "restore": lambda: handoff._emit(*handoff.restore(0)),
            "offer": lambda: handoff.offer(other.node_id, TERMS, 0),
            "one way": lambda: handoff.offer(
                other.node_id, TERMS, 0, key=other.public, one_way=True
            ),
            "staged enough": handoff.staged_enough,
            "parked": lambda: handoff.parked(_digest(argument), TERMS, 0),
            "stored": lambda: handoff.stored(_digest(argument)),
            "message": lambda: handoff._emit(*self._receive(handoff, argument)),
        }
        inputs[kind]()
        effects = list(handoff.take())
        for effect in [e for e in effects if isinstance(e, Consider)]:
            handoff.reserve(effect, 0, has_image=True)
            effects.remove(effect)
            effects.extend(handoff.take())
        return effects

    def _receive(self, handoff: Handoff, number: Digest | int | None) -> Sequence[Effect]:
        assert isinstance(number, int)
        letter = self._letter[number]
        assert not isinstance(letter.content, Blob)
        return handoff.receive(letter.content, NODES[letter.sender].node_id, 0)

    def _apply(self, world: World, who: int, effect: Effect) -> World:
        node = world.nodes[who]
        match effect:
            case Persist(tenure):
                return _with_node(world, who, node._replace(durable=self._intern(tenure)))
            case Send(to, message):
                return self._post(world, who, to, message)
            case SendBlob(to, digest, _):
                return self._post(world, who, to, Blob(digest)) if digest in node.disk else world
            case Fetch(source, digest):
                vm_id = self._tenure[node.tenure].vm_id
                return self._post(world, who, source, Missing(vm_id, digest))
            case Park():
                assert node.guest is not None
                return _with_node(world, who, node._replace(guest=(False, node.guest[1])))
            case KillAndReap():
                return _with_node(world, who, node._replace(guest=None))
            case Start(snapshot) | Unpark(snapshot):
                return self._start(world, who, snapshot)
            case Forget(snapshot):
                return _with_node(world, who, node._replace(disk=node.disk - {snapshot}))
            case _:
                return world

    def _post(self, world: World, who: int, to: NodeId, content: Message | Blob) -> World:
        """A network that is full loses the new message: one of the losses that can happen."""
        letter = Letter(NAMES[to], who, content)
        number = self._letters.setdefault(letter, len(self._letters))
        if number == len(self._letter):
            self._letter.append(letter)
        if number in world.flight or len(world.flight) >= self._in_flight:
            return world
        return world._replace(flight=world.flight | {number})

    def _start(self, world: World, who: int, snapshot: Digest | None) -> World:
        node = world.nodes[who]
        if snapshot is None:
            if node.guest is None:
                raise Violation(f"the state is lost: {self.describe(world)}")
            version = node.guest[1]
        elif snapshot not in node.disk:
            raise Violation(f"started from a snapshot that is not here: {self.describe(world)}")
        else:
            version = version_of(snapshot)
        if version != world.version:
            raise Violation(f"stale snapshot {version} of {world.version}: {self.describe(world)}")
        fresh = world.version + 1
        started = _with_node(world, who, node._replace(guest=(True, fresh)))
        started = started._replace(version=fresh)
        self._is_live(started)
        return started

    def _crash(self, world: World, who: int) -> World:
        """The node dies and comes back at once; what it then does is not interrupted again."""
        node = world.nodes[who]
        durable = self._tenure[node.durable]
        parked = node.guest is not None and not node.guest[0]
        guest = None if parked and durable.phase is Phase.FROZEN else node.guest
        tenure = node.durable
        world = world._replace(crashes=world.crashes - 1)
        world = _with_node(world, who, node._replace(tenure=tenure, guest=guest))
        for digest in sorted(node.disk):
            world = self._quietly(world, who, "stored", digest)
        world = self._quietly(world, who, "restore", None)
        node = world.nodes[who]
        if self._tenure[node.tenure].phase is not Phase.HOLDING or (node.guest and node.guest[0]):
            return world
        from_disk = None if node.guest else self._tenure[node.tenure].snapshot
        return self._start(world, who, from_disk)

    def _quietly(self, world: World, who: int, kind: str, argument: Digest | None) -> World:
        node = world.nodes[who]
        tenure, effects = self._transition(who, node.tenure, kind, argument)
        world = _with_node(world, who, node._replace(tenure=tenure))
        for effect in effects:
            world = self._apply(world, who, effect)
        return world

    def _intern(self, tenure: Tenure) -> int:
        if tenure.repeat_at is not None:
            tenure = replace(tenure, repeat_at=REPEAT_FIRST_S, repeat_s=REPEAT_FIRST_S)
        number = self._tenures.setdefault(tenure, len(self._tenures))
        if number == len(self._tenure):
            self._tenure.append(tenure)
        return number


def _with_node(world: World, who: int, node: Node) -> World:
    nodes = (node, world.nodes[1]) if who == 0 else (world.nodes[0], node)
    return world._replace(nodes=nodes)


def _digest(argument: Digest | int | None) -> Digest:
    assert isinstance(argument, Digest)
    return argument
