"""A program that checks itself is parked and started warm N times, at moments that a seed chooses.

    python -m tests.guest.parks 1000 --seed 7 --arch aarch64

Each step is one life in a QEMU of its own. What the world has seen at the end must be what it has
seen of a run that nobody disturbed. In each life a second copy of the memory is kept up by nothing
but the pages that the guest says have changed; once it is parked, that copy must be its memory.

A failure names seed and step: the same seed gives the same steps again (their moments as exactly
as a clock repeats itself).
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from radics_mesh.vmm.architecture import ALL
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.image import loaded_pages
from tests.guest.channel_host import LOW_BYTES, PAGE, PARK_NONCE, Host
from tests.guest.seen import Changed, World
from tests.guest.wire import HELLO, frame

PROGRAM = Path(__file__).parent / "programs" / "traveller.c"
MEMORY_MB = 16
ORDERS, MAILBOX = 1, 0
FIRMWARE_PAGES = LOW_BYTES // PAGE
_SETTLE_EVERY = 25  # parks between two looks at whether the parked memory stands still


@dataclass(frozen=True)
class Step:
    """What happens to the VM in one life, before it is parked."""

    kind: str
    moment_s: float
    stages: tuple[bool, ...] = ()  # one each; whether its answer is heard
    orders: tuple[bytes, ...] = ()
    mail: tuple[bytes, ...] = ()


def plan(n: int, seed: int) -> list[Step]:
    """The steps of a journey; the same seed gives the same."""
    rng = random.Random(seed)
    steps: list[Step] = []
    kinds = {"run": 10, "at once": 3, "deaf": 1, "reconnected": 2, "torn": 1, "lost": 1}
    for number in range(n):
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        if number < 2:
            kind = "at once"  # before the program has begun
        orders = [b"%d" % rng.randrange(1 << 40) for _ in range(rng.choice((0, 0, 1, 1, 2, 5)))]
        if kind == "deaf":
            orders.append(b"flood")
        mail = [b"mail %d.%d" % (number, i) for i in range(rng.choice((0, 0, 1, 2)))]
        moment = min(0.08, rng.expovariate(1 / 0.012))
        stages = tuple(rng.random() < 0.7 for _ in range(rng.choice((0, 0, 1, 2, 4))))
        steps.append(Step(kind, moment, stages, tuple(orders), tuple(mail)))
    return steps


def seen(world: World) -> dict[str, object]:
    """What the order in which threads run has no say in."""
    by_receiver: dict[str, list[bytes]] = {}
    for to, payload in world.sent:
        by_receiver.setdefault(to, []).append(payload)
    return {
        "stdout": bytes(world.stdout).decode(errors="replace"),
        "stderr": bytes(world.stderr).decode(errors="replace"),
        "logs": world.logs,
        "exit": world.exit,
        **{to: [hash(payload) for payload in sent] for to, sent in by_receiver.items()},
    }


def undisturbed(image: Path, steps: list[Step]) -> dict[str, object]:
    """What the world sees of a VM that gets all messages and stays where it is."""
    world = World()
    for step in steps:
        _give(world, step)
    _end(world)
    with Host(image, world, memory_mb=MEMORY_MB) as host:
        host.finish()
    return seen(world)


def _give(world: World, step: Step) -> None:
    for payload in step.orders:
        world.publish(ORDERS, payload)
    for payload in step.mail:
        world.publish(MAILBOX, payload)


def _end(world: World) -> None:
    world.publish(ORDERS, b"", end=True)
    world.publish(MAILBOX, b"!")


class Copy:
    """A second copy of a VM's memory, of which only changed pages are ever read."""

    def __init__(self, memory: Mapping[int, bytes]) -> None:
        self.pages = dict(memory)
        self.known = 0

    def take(self, host: Host, changed: Changed) -> None:
        assert changed.since == self.known, "changes since another stage than we know"
        named = sorted(n for n in changed.pages if n >= FIRMWARE_PAGES)
        for number, content in host.read(named).items():
            if any(content):
                self.pages[number] = content
            else:
                self.pages.pop(number, None)

    def stage(self, host: Host, heard: bool) -> None:
        changed = host.stage()
        if heard:
            self.take(host, changed)
            self.known = host.known = changed.nonce

    def compare(self, memory: Mapping[int, bytes]) -> None:
        differ = sorted(
            number
            for number in self.pages.keys() | memory.keys()
            if self.pages.get(number) != memory.get(number)
        )
        assert not differ, f"changed pages that the guest did not name: {differ[:20]}"


@dataclass
class Journey:
    """The VM between two lives: its memory, and what is durable of it outside."""

    image: Path
    template: Mapping[int, bytes]
    world: World = field(default_factory=World)
    memory: dict[int, bytes] | None = None
    parks: int = 0

    def live(self, step: Step) -> None:
        """One life, from the memory that the last one left."""
        if step.kind == "lost" and self.memory is not None:
            self._in_a_host(step, self._lost, copy.deepcopy(self.world))
        self._in_a_host(step, self._parked, self.world)

    def finish(self) -> None:
        _end(self.world)
        with self._host(self.world) as host:
            host.finish()

    def _host(self, world: World, *, acknowledge: bool = True) -> Host:
        return Host(
            self.image,
            world,
            memory_mb=MEMORY_MB,
            snapshot=self.memory,
            name=f"host{self.parks}",
            epoch=self.parks + 1,
            acknowledge=acknowledge,
        )

    def _in_a_host(self, step: Step, act: Callable[[Host, Step], None], world: World) -> None:
        _give(world, step)
        with self._host(world, acknowledge=step.kind != "deaf") as host:
            act(host, step)

    def _lost(self, host: Host, step: Step) -> None:
        """The host is gone in the middle of it all, and nothing of this life is left."""
        host.run_for(step.moment_s)

    def _parked(self, host: Host, step: Step) -> None:
        copied = Copy(self.template if self.memory is None else self.memory)
        if step.stages:
            host.until_ready()
        for heard in step.stages:
            copied.stage(host, heard)
            host.run_for(step.moment_s / len(step.stages))
        match step.kind:
            case "at once":
                host.ask_park()  # in one breath with the hello: it has no time to run
            case "reconnected":
                host.run_for(step.moment_s)
                host.reconnect()
                host.run_for(step.moment_s / 2)
            case "torn":
                host.write(frame(HELLO, bytes(300))[:200])
                host.run_for(step.moment_s)
                host.reconnect()
            case _:
                host.run_for(step.moment_s)
        host.until_ready()
        host.ask_park()
        host.until(lambda: host.parked is not None)
        if self.parks % _SETTLE_EVERY == 0:
            self._stands_still(host)
        host.kill()
        self.memory = host.pages()
        assert host.changed is not None
        assert host.changed.nonce == PARK_NONCE
        copied.take(host, host.changed)
        copied.compare(self.memory)
        self.parks += 1

    def _stands_still(self, host: Host) -> None:
        first = host.pages()
        host.parked = None
        host.until(lambda: host.parked is not None)  # it is said again, in case it was lost
        assert host.pages() == first, "a parked VM's memory changed"


def travel(image: Path, n: int, seed: int, tell: Callable[[str], None] | None = None) -> None:
    """AssertionError that names seed and step when a moved VM is not what an unmoved one is."""
    steps = plan(n, seed)
    expected = undisturbed(image, steps)
    template = loaded_pages(image.read_bytes(), MEMORY_MB << 20)
    journey, started = Journey(image, template), time.monotonic()
    for number, step in enumerate(steps):
        try:
            journey.live(step)
            early = bytes(journey.world.stderr)
            assert not early, early.decode(errors="replace")
        except Exception as error:
            raise AssertionError(f"seed {seed}, step {number} ({step.kind}): {error}") from error
        if tell is not None and (number + 1) % 50 == 0:
            tell(f"{number + 1} of {n} parks, {time.monotonic() - started:.0f} s")
    try:
        journey.finish()
    except Exception as error:
        raise AssertionError(f"seed {seed}, after the last step: {error}") from error
    got = seen(journey.world)
    for what in sorted(expected.keys() | got.keys(), reverse=True):
        still, moved = expected.get(what), got.get(what)
        assert moved == still, f"seed {seed}: {what}\nundisturbed: {still}\nmoved: {moved}"


def build(folder: Path, arch: str) -> Path:
    image = folder / f"traveller.{arch}.img"
    build_image([PROGRAM], image, arch=arch)
    return image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--arch", default="x86_64", choices=sorted(ALL))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = build(Path(folder), asked.arch)
        started = time.monotonic()
        try:
            travel(image, asked.n, asked.seed, tell=partial(print, flush=True))
        except AssertionError as error:
            print(f"FAILED: {error}")
            return 1
        seconds = time.monotonic() - started
    told = f"{asked.n} parks and warm starts on {asked.arch}, seed {asked.seed}"
    print(f"{told}: no difference ({seconds:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
