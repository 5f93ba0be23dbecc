"""A program that checks itself is parked and started warm N times, at moments that a seed chooses.

    python -m tests.guest.parks 1000 --seed 7

Each step is one life in a QEMU of its own. What the world has seen at the end must be what it has
seen of a run that nobody disturbed. A failure names seed and step: the same seed gives the same
steps again (their moments are as far as a clock repeats itself the same).
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from radics_mesh.vmm.build import build_image, build_kernel, compile_program
from tests.guest.channel_host import HELLO, Host, World, frame

PROGRAM = Path(__file__).parent / "programs" / "traveller.c"
MEMORY_MB = 16
ORDERS, MAILBOX = 1, 0
_SETTLE_EVERY = 25  # parks between two looks at whether the parked memory stands still


@dataclass(frozen=True)
class Step:
    """What happens to the VM in one life, before it is parked."""

    kind: str
    moment_s: float
    orders: tuple[bytes, ...] = ()
    mail: tuple[bytes, ...] = ()


def plan(n: int, seed: int) -> list[Step]:
    """The steps of a journey; the same seed gives the same."""
    rng = random.Random(seed)
    steps: list[Step] = []
    kinds = {"run": 10, "at once": 3, "deaf": 1, "reconnected": 2, "torn": 1, "lost": 1}
    for number in range(n):
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        orders = [b"%d" % rng.randrange(1 << 40) for _ in range(rng.choice((0, 0, 1, 1, 2, 5)))]
        if kind == "deaf":
            orders.append(b"flood")
        mail = [b"mail %d.%d" % (number, i) for i in range(rng.choice((0, 0, 1, 2)))]
        moment = min(0.08, rng.expovariate(1 / 0.012))
        steps.append(Step(kind, moment, tuple(orders), tuple(mail)))
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


@dataclass
class Journey:
    """The VM between two lives: its memory, and what is durable of it outside."""

    image: Path
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

    def _host(self, world: World, **options: bool) -> Host:
        return Host(
            self.image,
            world,
            memory_mb=MEMORY_MB,
            snapshot=self.memory,
            name=f"host{self.parks}",
            epoch=self.parks + 1,
            **options,
        )

    def _in_a_host(self, step: Step, act: Callable[[Host, Step], None], world: World) -> None:
        _give(world, step)
        with self._host(world, acknowledge=step.kind != "deaf") as host:
            act(host, step)

    def _lost(self, host: Host, step: Step) -> None:
        """The host is gone in the middle of it all, and nothing of this life is left."""
        host.run_for(step.moment_s)

    def _parked(self, host: Host, step: Step) -> None:
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
    journey, started = Journey(image), time.monotonic()
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
    for what in sorted(expected.keys() | got.keys()):
        assert got.get(what) == expected.get(what), (
            f"seed {seed}: {what} differs\nundisturbed: {expected.get(what)}\nmoved: {got.get(what)}"
        )


def build(folder: Path) -> Path:
    binary, image = folder / "traveller", folder / "traveller.img"
    build_kernel()
    compile_program([PROGRAM], binary)
    build_image([binary], image)
    return image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        image = build(Path(folder))
        started = time.monotonic()
        try:
            travel(image, asked.n, asked.seed, tell=print)
        except AssertionError as error:
            print(f"FAILED: {error}")
            return 1
        seconds = time.monotonic() - started
    print(f"{asked.n} parks and warm starts, seed {asked.seed}: no difference ({seconds:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
