"""Park, kill QEMU with SIGKILL, start warm in a new one: the world must not notice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.guest.channel_host import Host, journey
from tests.guest.conftest import Guest
from tests.guest.plain import plain_status
from tests.guest.seen import World
from tests.guest.wire import PARK, frame

Build = Callable[[str], Guest]


def numbers(n: int) -> tuple[list[str], list[tuple[str, bytes]]]:
    """What wanderer prints and sends for the first n multiples of 7."""
    total, lines, sent = 0, [], []
    for i in range(1, n + 1):
        total = (total * 31 + i * 7) % 2**64
        lines.append(f"{i} {total}")
        if i % 10 == 0:
            sent.append(("dtn://check/", f"{i} {total}".encode()))
    return lines, sent


def test_a_busy_program_moves_many_times(guest: Build) -> None:
    rng, world, n = random.Random(11), World(), 90
    lines, sent = numbers(n)
    published = moves = 0
    with journey(guest("wanderer").image, world) as move:
        host = move()
        while published < n:
            for _ in range(min(rng.randint(1, 24), n - published)):
                published += 1
                world.publish(1, b"%d" % (published * 7))
            host.run_for(rng.random() * 0.05)
            host = move()
            moves += 1
            host.until_ready()
            assert host.state == 2
        world.publish(1, b"", end=True)
        assert host.finish() == plain_status(0)
    assert moves >= 6
    assert world.stdout.decode().splitlines() == [*lines, "broken 0 played 1"]
    assert world.sent == sent
    assert world.done[1] == n + 1


def test_time_over_moves(guest: Build) -> None:
    world, moves = World(), 3
    with journey(guest("clockwork").image, world, args=("clockwork", "10")) as move:
        host = move()
        for i in range(moves):
            host.until_printed(b"tick %d\n" % (2 * i))
            host = move()
        before = time.time()
        host.finish()
    assert world.stdout.decode().splitlines() == [*(f"tick {i}" for i in range(10)), "good 1"]
    wall, name, epoch, _ = world.stderr.decode().split()
    assert before - 2 <= int(wall) <= time.time() + 2
    assert (name, epoch) == (f"host{moves}", str(moves + 1))


def test_memory_stands_still_once_parked(guest: Build) -> None:
    world = World()
    with Host(guest("wanderer").image, world) as host:
        world.publish(1, b"7")
        host.until(lambda: world.stdout == b"1 7\n")
        host.ask_park()
        host.until(lambda: host.parked is not None)
        assert host.parked == host.memory
        first = host.pages()
        for _ in range(2):
            host.parked = None
            host.until(lambda: host.parked is not None)  # it is said again, in case it was lost
            assert host.pages() == first


def test_two_lives_from_one_snapshot_differ_in_chance_only(guest: Build) -> None:
    past = World()
    with Host(guest("clockwork").image, past, args=("clockwork", "4")) as host:
        host.until(lambda: b"tick 1" in past.stdout)
        snapshot = host.park()
    ends = []
    for _ in range(2):
        world = World(received=past.received, stdout=bytearray(past.stdout))
        with Host(guest("clockwork").image, world, snapshot=snapshot, epoch=2) as host:
            host.finish()
        assert world.stdout.endswith(b"tick 2\ntick 3\ngood 1\n")
        ends.append(world.stderr.split()[-1])
    assert ends[0] != ends[1]


def test_parked_with_its_first_breath(guest: Build) -> None:
    world = World()
    with journey(guest("clockwork").image, world, args=("clockwork", "1")) as move:
        host = move()
        host.write(frame(PARK, (77).to_bytes(8, "little")))
        host.until(lambda: host.parked is not None)
        assert world.received == 0
        move().finish()
    assert world.stdout == b"tick 0\ngood 1\n"


def test_asked_to_park_by_somebody_who_has_not_said_hello(guest: Build) -> None:
    world = World()
    with journey(guest("clockwork").image, world, args=("clockwork", "1")) as move:
        host = move(hello=False)
        host.write(b"\0" + frame(PARK, (77).to_bytes(8, "little")))
        host.say_hello()
        host.until_ready()
        assert host.parked is None
        move().finish()
    assert world.stdout == b"tick 0\ngood 1\n"


def test_parked_again_and_again_before_it_can_breathe(guest: Build) -> None:
    world = World()
    with journey(guest("wanderer").image, world) as move:
        host = move()
        host.until(lambda: bool(world.subscribed))
        for i in range(5):
            world.publish(1, b"%d" % (7 * i + 7))
            host = move()
            host.ask_park()  # goes out in one breath with the hello
        world.publish(1, b"", end=True)
        move().finish()
    lines, _ = numbers(5)
    assert world.stdout.decode().splitlines() == [*lines, "broken 0 played 1"]


def test_what_comes_with_the_hello_wakes_a_waiting_program(guest: Build) -> None:
    """Else it wakes a second later, always; that it once takes long says something of the host."""
    assert any(answers_at_once(guest("talker").image) for _ in range(9))


def answers_at_once(image: Path) -> bool:
    world = World()
    with journey(image, world, args=("talker", "echo")) as move:
        host = move()
        host.until_ready()
        host = move(hello=False)
        host.run_for(0.05)
        world.publish(0, b"at once")
        host.say_hello()
        host.state = 2  # feed it without waiting for the answer
        host.turn()
        started = time.monotonic()
        host.until(lambda: bool(world.sent))
        took_s = time.monotonic() - started
        world.publish(0, b"stop")
        host.finish()
    assert world.sent == [("dtn://source/", b"echo at once")]
    return took_s < 0.9


def test_parked_with_a_full_window(guest: Build) -> None:
    world = World()
    options = {"args": ("talker", "flood", "30"), "acknowledge": False}
    with journey(guest("talker").image, world, **options) as move:
        host = move()
        host.until(lambda: len(world.sent) >= 9)
        for _ in range(2):
            host = move()
            host.until_ready()
        host.acknowledge = True
        host.finish()
    assert [len(payload) for _, payload in world.sent] == [65536, 100, 100] * 10


def test_parked_while_its_exit_is_not_yet_durable(guest: Build) -> None:
    world = World()
    options = {"args": ("talker", "count", "2"), "acknowledge": False}
    with journey(guest("talker").image, world, **options) as move:
        host = move()
        host.until(lambda: world.exit is not None)
        host = move()
        host.acknowledge = True
        assert host.finish() == plain_status(5)
    assert world.stdout == b"count 0\ncount 1\n"


def test_another_cpu_is_refused(guest_x86_64: Build) -> None:
    image, world = guest_x86_64("wanderer").image, World()
    with Host(image, world) as host:
        host.until(lambda: bool(world.subscribed))
        snapshot = host.park()
    with Host(image, world, snapshot=snapshot, cpu="Nehalem") as host:
        host.until(lambda: host.panic is not None)
        assert host.panic is not None
        assert "CPU" in host.panic
        host.wait()
        assert host.state is None


def test_every_armv8_processor_is_as_good(guest_aarch64: Build) -> None:
    """The program was told of what all of them have, so none is refused."""
    cpus, world = iter(("cortex-a72", "cortex-a53", "max", "neoverse-n1")), World()
    with journey(guest_aarch64("clockwork").image, world, args=("clockwork", "7")) as move:
        host = move(cpu=next(cpus))
        for i, cpu in enumerate(cpus):
            host.until_printed(b"tick %d\n" % (2 * i))
            host = move(cpu=cpu)
        host.finish()
    assert world.stdout.decode().splitlines() == [*(f"tick {i}" for i in range(7)), "good 1"]


def test_another_amount_of_memory_is_refused(guest: Build) -> None:
    world = World()
    with Host(guest("wanderer").image, world, memory_mb=32) as host:
        host.until(lambda: bool(world.subscribed))
        snapshot = host.park()
    with Host(guest("wanderer").image, world, snapshot=snapshot, memory_mb=64) as host:
        host.until(lambda: host.panic is not None)
        assert host.panic is not None
        assert "memory" in host.panic


# Where it waits, and what it says when its wait is over.
PLACES = {
    "run": "ran",
    "handler": "handled",
    "sleep": "slept",
    "boottime": "together",
    "pipe": "read",
    "poll": "polled",
    "select": "selected",
    "epoll": "waited",
    "eventfd": "counted",
    "condition": "woken",
    "join": "joined",
    "sigsuspend": "suspended",
    "sigwait": "awaited",
    "receive": "received",
    "receive with a limit": "late",
    "gone": "last",
}


@pytest.mark.parametrize("place", PLACES)
def test_parked_wherever_it_is(guest: Build, place: str) -> None:
    world = World()
    with journey(guest("everywhere").image, world, args=("everywhere", place)) as move:
        host = move()
        host.until_printed(b"waiting\n")
        host = move()
        world.publish(0, b"go")
        if place == "receive":
            world.publish(1, b"order")
        assert host.finish() == plain_status(0)
    assert world.stdout.decode().splitlines() == ["waiting", PLACES[place]]


def test_only_the_wall_clock_shows_how_long_it_was_parked(guest: Build) -> None:
    world = World()
    with journey(guest("everywhere").image, world, args=("everywhere", "clock")) as move:
        move().until_printed(b"waiting\n")
        host = move(ahead_s=3600)
        world.publish(0, b"go")
        host.finish()
    assert world.stdout == b"waiting\nstood\n"


@pytest.mark.parametrize("place", ["wall sleep", "wall futex", "wall timer", "wall timerfd"])
def test_who_waits_for_a_time_of_day_goes_by_the_new_hosts_clock(guest: Build, place: str) -> None:
    world = World()
    with journey(guest("everywhere").image, world, args=("everywhere", place)) as move:
        host = move()
        host.until_printed(b"waiting\n")
        host = move(ahead_s=-7200)
        host.run_for(0.05)
        assert world.stdout == b"waiting\n"
        assert move(ahead_s=3600).finish() == plain_status(0)
    assert b"WRONG" not in world.stdout


def test_the_first_random_numbers_after_a_warm_start_are_fresh(guest: Build) -> None:
    past = World()
    with Host(guest("everywhere").image, past, args=("everywhere", "chance")) as host:
        host.until_printed(b"waiting\n")
        snapshot = host.park()
    seen = set()
    for _ in range(2):
        world = World(received=past.received, stdout=bytearray(past.stdout))
        world.publish(0, b"go")
        with Host(guest("everywhere").image, world, snapshot=snapshot, epoch=2) as host:
            host.finish()
        seen.add(bytes(world.stdout))
    assert len(seen) == 2


def test_a_host_of_version_1_0_is_not_told_what_changed(guest: Build) -> None:
    world = World()
    with Host(guest("everywhere").image, world, args=("everywhere", "pipe"), minor=0) as host:
        host.until_printed(b"waiting\n")
        host.park()
        assert host.changed is None
