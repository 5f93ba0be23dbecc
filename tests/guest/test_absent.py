"""What no guest can do fails with an errno, and says why, once."""

from __future__ import annotations

from collections.abc import Callable

from tests.guest.channel_host import Host
from tests.guest.conftest import Guest
from tests.guest.plain import plain_status, run_plain
from tests.guest.seen import World

REASONS = [
    "fork is not possible in a RaDiCS guest: one program a VM",
    "exec is not possible in a RaDiCS guest: one program a VM",
    "sockets are not possible in a RaDiCS guest: see radics.h for messages",
]
ONCE = [
    "fork -1 Function not implemented",
    "exec -1 Function not implemented",
    "socket -1 Address family not supported by protocol",
]
SAID = [*ONCE, *ONCE, "pair -1", "spawn 1", "system 32512", "popen 1"]


def test_on_the_console(guest: Callable[[str], Guest]) -> None:
    done = run_plain(guest("absent").image, 16)
    lines = done.stdout.decode().splitlines()
    assert [line for line in lines if line.startswith("radics: ")] == [
        f"radics: {reason}" for reason in REASONS
    ]
    assert [line for line in lines if not line.startswith("radics: ")] == SAID
    assert done.returncode == plain_status(0)


def test_in_the_log(guest: Callable[[str], Guest]) -> None:
    world = World()
    with Host(guest("absent").image, world, memory_mb=16) as host:
        host.until(lambda: world.exit is not None)
    assert world.stdout.decode().splitlines() == SAID
    assert [text for _, text in world.logs] == [f"{reason}\n" for reason in REASONS]
