"""The channel, with a host of the tests' own at its other end."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.guest.channel_host import Host
from tests.guest.conftest import Guest
from tests.guest.plain import plain_status
from tests.guest.seen import World
from tests.guest.wire import DATA, HELLO, OUT_ACK, PARK, STREAM, frame

Build = Callable[[str], Guest]


@pytest.fixture
def world() -> World:
    return World()


def host(guest: Build, world: World, *args: str, memory_mb: int = 32, **more: object) -> Host:
    image = guest("talker").image
    return Host(image, world, args=("talker", *args), memory_mb=memory_mb, **more)  # type: ignore[arg-type]


def test_knows_who_and_where_it_is(guest: Build, world: World) -> None:
    with host(guest, world, "about", env=("MOOD=good", "HOME=/"), sources=("a", "b c")) as h:
        assert h.finish() == plain_status(5)
        assert h.serial() == b""
    assert world.stdout == b"vm dtn://vm/ here dtn://here/ 1 [a] [b c] good\n"
    assert world.exit == (0, 5, "")


def test_waits_for_hello(guest: Build, world: World) -> None:
    with host(guest, world, "about", hello=False) as h:
        h.run_for(0.3)
        assert (h.state, world.received) == (None, 0)
        h.say_hello()
        h.finish()
        assert h.state == 0


def test_mailbox_and_answers(guest: Build, world: World) -> None:
    for i in range(300):
        world.publish(0, b"%d" % i * (i % 7))
    world.publish(0, b"stop")
    with host(guest, world, "echo") as h:
        h.finish()
    assert world.sent == [("dtn://source/", b"echo " + b"%d" % i * (i % 7)) for i in range(300)]
    assert world.done[0] == 301


def test_a_full_window_stops_the_program(guest: Build, world: World) -> None:
    with host(guest, world, "flood", "60", acknowledge=False) as h:
        h.until(lambda: len(world.sent) >= 9)
        h.run_for(0.3)
        assert sum(len(payload) for _, payload in world.sent) <= 262144
        assert world.exit is None
        h.acknowledge = True
        h.finish()
    assert [len(payload) for _, payload in world.sent] == [65536, 100, 100] * 20
    assert world.stdout == b"flooded\n"


def test_streams_are_bounded_and_end(guest: Build, world: World) -> None:
    sizes = [65536, 0, 1, 254, 255, 4096] * 10 + [13] * 3000
    for n in sizes:
        world.publish(1, bytes(n))
    world.publish(1, b"", end=True)
    with host(guest, world, "drink") as h:
        h.finish()
    assert world.stdout.decode() == f"{len(sizes)} {sum(sizes)} 11\n"


def test_errors(guest: Build, world: World) -> None:
    with host(guest, world, "errors") as h:
        h.until(lambda: world.stdout.count(b"\n") == 2)
        world.publish(0, b"too long")
        h.finish()
    assert world.stdout == b"11111111\n60\n18dtn://source/\n"
    assert [line for _, line in world.logs] == [
        "system call 449 (futex_waitv) is not implemented\n",
        "mind the gap",
    ]


def test_much_output_in_few_frames(guest: Build, world: World) -> None:
    with host(guest, world, "count", "20000") as h:
        h.finish()
    assert world.stdout == b"".join(b"count %d\n" % i for i in range(20000))
    assert world.received < 5000  # fewer by far, on a machine that has nothing else to do


def test_reconnection_repeats_and_loses_nothing(guest: Build, world: World) -> None:
    with host(guest, world, "count", "3000", "echo") as h:
        for i in range(5):
            h.until_ready()
            world.publish(0, b"%d" % i)
            h.run_for(0.02)
            h.reconnect()
        world.publish(0, b"stop")
        h.finish()
        assert h.state == 1
    assert world.stdout == b"".join(b"count %d\n" % i for i in range(3000))
    assert [payload for _, payload in world.sent] == [b"echo %d" % i for i in range(5)]


def test_output_without_acknowledgement_is_repeated_after_a_time(
    guest: Build, world: World
) -> None:
    with host(guest, world, "count", "1", "sleep", "60000", acknowledge=False) as h:
        h.until(lambda: world.stdout == b"count 0\n")
        world.received, world.stdout = 0, bytearray()
        h.until(lambda: world.stdout == b"count 0\n")


def test_exit_ends_without_acknowledgement(guest: Build, world: World) -> None:
    with host(guest, world, "about", acknowledge=False) as h:
        h.until(lambda: world.exit is not None)
        while h.turn():
            pass
        assert h.wait() == plain_status(5)


def test_dies_by_a_signal(guest: Build, world: World) -> None:
    with host(guest, world, "abort") as h:
        assert h.finish() == plain_status(128 + 6)
    assert world.exit is not None
    assert world.exit[:2] == (1, 6)


def test_out_of_memory_is_told(guest: Build, world: World) -> None:
    with host(guest, world, "touch", memory_mb=32) as h:
        h.finish()
    assert world.exit == (2, 9, "out of memory: it touched more than there is")


def test_hostile_program_on_the_channel(guest: Build, world: World) -> None:
    with Host(guest("hostile").image, world) as h:
        h.finish()
    assert world.stdout.endswith(b"alive\n")


def test_garbage_never_kills_the_guest(guest: Build, world: World) -> None:
    rng = random.Random(5)
    kinds = [HELLO, OUT_ACK, DATA, STREAM, 0, 0x7F, 0xFF]
    with host(guest, world, "echo") as h:
        for i in range(120):
            h.until_ready()
            noise = rng.randbytes(rng.choice([1, 7, 300, 5000, 80000]))
            form = rng.randrange(5)
            if form == 0:
                h.write(noise)
            elif form == 1:
                h.write(b"\0" + noise + b"\0")
            elif form == 2:
                h.write(frame(rng.choice(kinds), noise[: rng.choice([0, 3, 60, 60000])]))
            elif form == 3:  # a count that its body does not have
                h.write(frame(DATA, b"\0\0" + b"\xff" * 10 + noise[:20]))
            else:
                h.write(frame(PARK, b"")[:-3])
            if i % 10 == 9:
                h.reconnect()
        h.reconnect()
        world.publish(0, b"alive")
        world.publish(0, b"stop")
        h.finish()
    assert world.sent[-1] == ("dtn://source/", b"echo alive")


def test_partial_frames(guest: Build, world: World) -> None:
    world.publish(0, bytes(range(256)) * 20)
    world.publish(0, b"stop")
    with host(guest, world, "echo") as h:
        h.until_ready()
        h._feed()
        whole = bytes(h._output)
        h._output.clear()
        for at in range(0, len(whole), 97):
            h.write(whole[at : at + 97])
            h.turn(0.001)
        h.finish()
    assert world.sent == [("dtn://source/", b"echo " + bytes(range(256)) * 20)]
