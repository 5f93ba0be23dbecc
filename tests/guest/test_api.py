"""Version 1.1 of the client API, with a host of the tests' own at the channel's other end."""

from __future__ import annotations

import errno
import random
import struct
from collections.abc import Callable

import pytest

from radics_mesh.vmm import abi
from tests.guest.channel_host import Host, journey
from tests.guest.conftest import Guest
from tests.guest.plain import run_plain
from tests.guest.seen import World
from tests.guest.wire import DATA, REPLIES, STDIN, frame

Build = Callable[[str], Guest]


@pytest.fixture
def world() -> World:
    return World()


def host(guest: Build, world: World, *args: str, **more: object) -> Host:
    image = guest("caller").image
    return Host(image, world, args=("caller", *args), memory_mb=16, **more)  # type: ignore[arg-type]


# --- requests and services ---


def test_a_request_gets_its_reply(guest: Build, world: World) -> None:
    with host(guest, world, "request", "60") as h:
        h.until(lambda: bool(world.requests))
        [(token, to, lifetime_s, payload)] = world.requests
        assert (to, lifetime_s, payload) == ("dtn://far/x", 61, b"ping")
        world.reply(token ^ 1, b"another's")
        world.publish(REPLIES, b"nonsense", to="~nonsense")
        world.reply(token, b"pong")
        world.reply(token, b"pong again")
        h.finish()
    assert world.stdout == b"dtn://far/x: 4 pong\ndone\n"
    assert world.done[REPLIES] == 4


def test_a_reply_that_an_old_host_took_for_mail_is_a_reply(guest: Build, world: World) -> None:
    with host(guest, world, "request", "60") as h:
        h.until(lambda: bool(world.requests))
        world.publish(0, b"mail")
        world.reply(world.requests[0][0], b"pong", stream=0)
        h.finish()
    assert world.stdout == b"dtn://far/x: 4 pong\ndone\n"
    assert (world.have[0], world.done[0]) == (2, 0)


def test_a_request_waits_over_moves_and_gets_one_reply(guest: Build, world: World) -> None:
    with journey(
        guest("caller").image, world, memory_mb=16, args=("caller", "request", "60")
    ) as go:
        first = go()
        first.until(lambda: bool(world.requests))
        second = go()
        second.until_ready()
        world.reply(world.requests[0][0], b"pong")
        world.reply(world.requests[0][0], b"pong")
        go().finish()
    assert len(world.requests) == 1
    assert world.stdout == b"dtn://far/x: 4 pong\ndone\n"


def test_a_request_that_nobody_answers_ends(guest: Build, world: World) -> None:
    with host(guest, world, "impatient") as h:
        h.finish()
    assert world.stdout == f"dtn://far/x: {-errno.ETIMEDOUT} \ndone\n".encode()
    assert world.requests[0][2] == 1


def test_many_requests_at_once_and_their_replies_in_any_order(guest: Build, world: World) -> None:
    order = list(range(20))
    random.Random(5).shuffle(order)
    with host(guest, world, "requests", "20") as h:
        h.until(lambda: len(world.requests) == 20)
        for i in order:
            world.reply(world.requests[i][0], b"<%d>" % i * (i + 1))
        h.finish()
    lines = world.stdout.decode().split("\n")
    assert lines[0] == f"0 {-errno.ENOENT} "
    assert sorted(lines[1:20]) == sorted(f"1 {i} " + f"<{i}>" * (i + 1) for i in range(1, 20))


def test_bad_requests_are_refused(guest: Build, world: World) -> None:
    with host(guest, world, "refused") as h:
        h.finish()
    wrong = (-errno.EINVAL, -errno.EMSGSIZE, -errno.EINVAL, -errno.ENOENT)
    assert world.stdout.decode().split("\n")[:2] == [
        " ".join(map(str, wrong)) + " ",
        f"64 {-errno.EAGAIN}",
    ]


def test_services_have_their_own_streams(guest: Build, world: World) -> None:
    with host(guest, world, "serve", hello=False) as h:
        # Mail for a service that came before the program served it.
        world.publish(0, b"early", sender="dtn://vm.a/~1", to="echo")
        world.publish(0, b"plain")
        h.say_hello()
        h.until(lambda: len(world.served) == 2)
        assert sorted(world.served.values()) == ["echo", "other"]
        echo, other = (
            next(k for k, v in world.served.items() if v == n) for n in ("echo", "other")
        )
        h.until_printed(b"mail< plain")
        world.publish(echo, b"hello", sender="dtn://vm.b/~2", to="echo")
        world.publish(other, b"hi", to="other")
        h.until_printed(b"other<other hi")
        h.until(lambda: len(world.sent) == 2)
        world.publish(0, b"stop")
        h.finish()
    assert world.stdout.startswith(b"1 1 1 %d\n" % -errno.EINVAL)
    assert b"echo<echo early\n" in world.stdout
    assert sorted(world.sent) == [("dtn://vm.a/~1", b"early"), ("dtn://vm.b/~2", b"hello")]


def test_services_are_told_to_the_next_host(guest: Build, world: World) -> None:
    with journey(guest("caller").image, world, memory_mb=16, args=("caller", "serve")) as go:
        go().until(lambda: len(world.served) == 2)
        echo = next(k for k, v in world.served.items() if v == "echo")
        world.publish(echo, b"one", sender="dtn://vm.b/~1", to="echo")
        second = go()
        second.until(lambda: len(world.sent) == 1)
        assert second.kinds[echo] == (1, "echo")
        assert {second.kinds[REPLIES][0], second.kinds[STDIN][0]} == {2, 3}
        world.publish(0, b"stop")
        go().finish()
    assert world.sent == [("dtn://vm.b/~1", b"one")]


# --- streams ---


def test_a_subscription_starts_where_it_is_told_and_can_be_closed(
    guest: Build, world: World
) -> None:
    world.messages[1] = [(0, b"never", "", "")] * 1000 + [(0, b"first", "", "")]
    with host(guest, world, "streams") as h:
        h.until_printed(b"first 1001")
        h.until(lambda: bool(world.closed))
        assert world.closed[0] == 1
        h.until(lambda: "three" in world.subscribed.values())
        h.until(lambda: world.subscribed.get(1) == "three")
        world.publish(1, b"third")
        h.finish()
    bad = -errno.EINVAL
    assert world.stdout.decode().split("\n")[:3] == [
        "1 2: first 1001",
        f"0 {bad} {bad} ",
        "third 1",
    ]


def test_a_closed_streams_number_is_kept_until_the_host_knows(guest: Build, world: World) -> None:
    """Or what is on its way to the old one would reach the new one."""
    with host(guest, world, "reuse", acknowledge=False) as h:
        h.until(lambda: world.exit is not None)
    assert world.stdout == b"1 2 \ndone\n"


# --- timers ---


def test_timers_are_messages(guest: Build, world: World) -> None:
    with host(guest, world, "timers") as h:
        h.finish()
    assert world.stdout.decode().split("\n")[:2] == [
        f"1 0 {-errno.ENOENT} 0 {-errno.ETIMEDOUT} ",
        f"64 {-errno.EAGAIN}",
    ]


def test_a_new_timer_wakes_a_thread_that_waits_already(guest: Build, world: World) -> None:
    with host(guest, world, "shared") as h:
        h.finish()
    assert world.stdout == b"a waiting thread saw timer 1\ndone\n"


def test_timers_go_on_over_a_move(guest: Build, world: World) -> None:
    with journey(guest("caller").image, world, memory_mb=16, args=("caller", "beats", "6")) as go:
        go().until_printed(b"beat 1\n")
        go().until_printed(b"beat 3\n")
        go().finish()
    assert world.stdout == b"".join(b"beat %d\n" % i for i in range(6)) + b"done\n"


# --- checkpoint, hints, key-value ---


def test_a_checkpoint_returns_when_the_host_says_so(guest: Build, world: World) -> None:
    with journey(guest("caller").image, world, memory_mb=16, args=("caller", "checkpoint")) as go:
        first = go()
        first.until(lambda: bool(world.checkpoints))
        first.until_ready()
        number = world.checkpoints[0]
        # Another host, which does not know of it, is told that it is still waited for.
        second = go()
        second.until_ready()
        assert second.checkpoint_wanted == number
        third = go(checkpoint=(number, 0))
        third.until_printed(b"checkpoint 0 in branch 0\n")
        assert third.checkpoint_wanted == 0
        world.publish(0, b"go")
        third.finish()
    assert world.stdout == b"before\ncheckpoint 0 in branch 0\ndone\n"


def test_a_checkpoint_that_failed_says_why(guest: Build, world: World) -> None:
    with host(guest, world, "checkpoint") as h:
        h.until(lambda: bool(world.checkpoints))
        h.checkpoint = (world.checkpoints[0], errno.ENOSPC)
        h.say_hello()
        h.finish_with_mail(b"go")
    assert f"checkpoint {-errno.ENOSPC} in branch 0\n".encode() in world.stdout


def test_a_program_that_was_set_back_to_its_checkpoint_is_told(guest: Build, world: World) -> None:
    with journey(guest("caller").image, world, memory_mb=16, args=("caller", "checkpoint")) as go:
        go().until(lambda: bool(world.checkpoints))
        go(branch=1).finish()
    assert world.stdout == b"before\ncheckpoint 1 in branch 1\ndone\n"


def test_hints_are_said(guest: Build, world: World) -> None:
    with host(guest, world, "hints") as h:
        h.finish()
    assert world.stdout == b"0 0 0 0 %d \ndone\n" % -errno.EINVAL
    assert world.hints == [(1, "text"), (2, "laptop"), (3, ""), (0, "")]


def test_keys_and_values(guest: Build, world: World) -> None:
    with host(guest, world, "kv") as h:
        h.finish()
    assert world.stdout.decode().split("\n") == [
        f"{-errno.ENOENT} 0 0 3 0 one",
        "0 8 4 12e b a",
        f"0 {-errno.ENOENT} {-errno.EINVAL} 0 {-errno.ENOSPC} {-errno.ENOSPC} 0 ",
        f"254 {-errno.ENOSPC} ",
        "done",
        "",
    ]


def test_keys_and_values_move(guest: Build, world: World) -> None:
    with journey(guest("caller").image, world, memory_mb=16, args=("caller", "kv-move")) as go:
        go().until_printed(b"put\n")
        world.publish(0, b"go")
        go().finish()
    assert world.stdout == b"put\ngot here\ndone\n"


# --- standard input ---


def test_standard_input_over_moves(guest: Build, world: World) -> None:
    text = bytes(random.Random(3).randbytes(200_000))
    options = {"memory_mb": 16, "args": ("caller", "cat"), "stdin": True}
    with journey(guest("caller").image, world, **options) as go:
        first = go()
        first.until_printed(b"ready 0\n")
        for at in range(0, len(text), 3001):
            world.publish(STDIN, text[at : at + 3001])
            world.publish(STDIN, b"")
        first.until(lambda: len(world.stdout) > 20_000)
        go().until(lambda: len(world.stdout) > 60_000)
        world.publish(STDIN, b"", end=True)
        go().finish()
    assert world.stdout == b"ready 0\n" + text + b"\n200000 bytes, 0, 0\ndone\n"


def test_standard_input_is_at_its_end_unless_it_is_fed(guest: Build, world: World) -> None:
    with host(guest, world, "cat") as h:
        h.finish()
    assert world.stdout == b"ready 1\n\n0 bytes, 0, 0\ndone\n"


def test_standard_input_can_be_polled(guest: Build, world: World) -> None:
    with host(guest, world, "poll", stdin=True) as h:
        h.until_printed(f"-1 {errno.EAGAIN}\n".encode())
        world.publish(STDIN, b"hello")
        h.finish()
    assert world.stdout == f"-1 {errno.EAGAIN}\n1 5\ndone\n".encode()


def test_epoll_waits_for_standard_input_over_moves(guest: Build, world: World) -> None:
    with journey(guest("listener").image, world, memory_mb=16, stdin=True) as go:
        first = go()
        first.until_printed(b"listening\n")
        world.publish(STDIN, b"one")
        first.until_printed(b"one\n")
        second = go()
        second.until_ready()
        world.publish(STDIN, b"two")
        second.until_printed(b"two\n")
        world.publish(STDIN, b"", end=True)
        second.finish()
    assert world.stdout == b"listening\none\ntwo\nend, then 9\n"


# --- C++ ---


def test_the_same_in_cpp(guest: Build, world: World) -> None:
    mesh = (
        b"node\tattic\tdtn://a/\taarch64\t4\t0.250\t1048576\t2\t-\t0.0\there\n"
        b"weather\twet\n"
        b"node\tshed\tdtn://b/\tx86_64\t2\t0.5\t0\t0\t0.0125\t7.5\t-\tand more\n"
        b"node\tcut\n"
        b"source\ttext\tshed\t3.0\n"
    )
    world.messages[1] = [(0, b"never", "", "")] * 41 + [(0, b"forty-two", "", "")]
    with Host(guest("loop").image, world, memory_mb=16) as h:
        h.until(lambda: bool(world.checkpoints))
        h.checkpoint = (world.checkpoints[0], 0)
        h.say_hello()
        h.until(lambda: bool(world.requests))
        world.reply(world.requests[0][0], b"pong")
        h.until(lambda: any(to == ":mesh" for _, to, _, _ in world.requests))
        world.reply(world.requests[-1][0], mesh)
        h.until(lambda: any(to == "dtn://far/z" for _, to, _, _ in world.requests))
        token = next(token for token, to, _, _ in world.requests if to == "dtn://far/z")
        world.reply(token, b"answer")
        service = next(iter(world.served))
        text = next(n for n, name in world.subscribed.items() if name == "text")
        world.publish(text, b"hello")
        world.publish(service, b"ab", sender="dtn://vm.a/~1", to="double")
        for said in (b"text hello", b"reply answer", b"none 1", b"three beats"):
            h.until_printed(said)
        h.until(lambda: bool(world.sent))
        assert world.sent == [("dtn://vm.a/~1", b"abab")]
        h.finish_with_mail(b"bye")
    lines = world.stdout.decode().splitlines()
    assert lines[:7] == [
        "25000100",
        "10 16777216",
        "pong 0",
        "42",
        "attic 0.25 -1 1",
        "shed 0.5 0.0125 0",
        "text of shed",
    ]
    assert lines[-2:] == ["bye", "end"]


# --- versions ---


def test_an_older_host_gets_what_it_knows_and_no_more(guest: Build, world: World) -> None:
    with host(guest, world, "old", minor=0) as h:
        h.finish()
        assert h.errors == []
    no = -errno.EOPNOTSUPP
    assert world.stdout.decode().split("\n")[:2] == [f"{no} " * 6 + "1 0 ", "1 0 "]
    assert world.sent == [("dtn://x/", b"still")]


def test_from_a_host_to_an_older_one_and_back(guest: Build, world: World) -> None:
    with journey(
        guest("caller").image, world, memory_mb=16, args=("caller", "request", "60")
    ) as go:
        go().until(lambda: bool(world.requests))
        go(minor=0).until_ready()
        go().until_ready()
        world.reply(world.requests[0][0], b"pong")
        go().finish()
    assert world.stdout == b"dtn://far/x: 4 pong\ndone\n"


def test_another_major_version_is_refused(guest: Build, world: World) -> None:
    with host(guest, world, "hints", major=2) as h:
        h.until(lambda: h.guest_version is not None)
        assert h.guest_version == (abi.ABI_MAJOR, abi.ABI_MINOR)
        h.until(lambda: bool(h.serial()))
        assert h.serial() == b"radics: the host speaks channel version 2, not 1\n"
        assert (h.state, world.received) == (None, 0)
        h.major = 1  # the node was replaced by a fitting one
        h.say_hello()
        h.finish()


# --- bad frames ---


def test_bad_frames_are_answered_with_errors(guest: Build, world: World) -> None:
    with host(guest, world, "serve") as h:
        h.until(lambda: len(world.served) == 2)
        bad = frame(0x77, b"?")
        h.write(bad)
        h.write(bad[:4] + bytes([bad[4] ^ 64]) + bad[5:])
        h.write(b"\x05\x01\0")
        h.write(frame(DATA, b"\x01"))
        h.write(frame(DATA, struct.pack("<HQH", 9, 1, 1) + bytes(9)))
        h.write(frame(DATA, struct.pack("<HQH", 0, 9, 1) + bytes(9)))
        h.write(frame(DATA, struct.pack("<HQH", 0, 1, 1) + b"\0\xff\xff"))
        h.until(lambda: len(h.errors) == 7)
        assert [error[:3] for error in h.errors] == [
            (2, 0x77, 1),
            (1, 0, 7),
            (1, 0, 1),
            (3, DATA, 0),
            (5, DATA, 9),
            (4, DATA, 1),
            (3, DATA, 1),
        ]
        assert h.errors[-1][3] == "7 so far"
        h.write(bad * 5000)  # told of a few only
        world.publish(0, b"stop")
        h.finish()
        assert len(h.errors) <= 16 + 30


def test_no_frame_breaks_the_guest(guest: Build, world: World) -> None:
    """Random bodies, cut and damaged frames: the guest counts, complains, and goes on serving."""
    chance = random.Random(7)
    data = struct.pack("<HQHB", 0, 1, 1, 0) + b"\1\0a\1\0b\4\0\0\0mail"
    with host(guest, world, "serve") as h:
        h.until(lambda: len(world.served) == 2)
        for _ in range(1500):
            kind = chance.choice((1, 3, 6, 7, 0x20, 0xFF))
            body = chance.randbytes(chance.randrange(60))
            if chance.random() < 0.3:
                kind, body = DATA, data[: chance.randrange(len(data))]
            raw = bytearray(frame(kind, body))
            if chance.random() < 0.3:
                raw[chance.randrange(len(raw))] = chance.randrange(256)
            h.write(bytes(raw))
        h.write(b"\0")
        echo = next(k for k, v in world.served.items() if v == "echo")
        world.publish(echo, b"still here", sender="dtn://vm.b/~2", to="echo")
        h.until(lambda: bool(world.sent))
        assert h.errors
        h.finish_with_mail(b"stop")
    assert world.sent == [("dtn://vm.b/~2", b"still here")]


def test_timers_without_a_host(guest: Build) -> None:
    done = run_plain(guest("caller").image, 16)
    assert done.stdout == b"done\n"
