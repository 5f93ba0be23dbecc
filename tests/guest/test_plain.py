"""The plain command: a program's output and nothing else, and its exit status. One guest a
behaviour; where it can be, the same ELF file runs on this machine and must say the same."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest

from tests.guest.conftest import Guest
from tests.guest.plain import PLAIN, plain_status, run_plain, without_end
from tests.patience import PATIENCE_S

SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGSEGV, SIGTERM = 4, 5, 6, 7, 11, 15
SAME_AS_HERE = ["hello", "threads", "files", "plenty", "uncaught"]
SAME_AS_HERE += ["cornered", "timers", "waiting", "jailed"]


@pytest.mark.parametrize("name", SAME_AS_HERE)
def test_says_what_it_says_here(guest: Callable[[str], Guest], name: str) -> None:
    if name == "jailed" and not guest(name).is_native:
        check_jailed(run_plain(guest(name).image))
        return
    here, there = guest(name).natively(), run_plain(guest(name).image)
    status = here.returncode if here.returncode >= 0 else 128 - here.returncode
    said = without_end(there.stdout)
    assert (said != there.stdout) == (here.returncode < 0)
    if name == "hello":
        assert said.replace(b"to stderr\n", b"") == here.stdout
        assert b"to stderr\n" in said
    else:
        assert said.startswith(here.stdout)
        assert said[len(here.stdout) :] == here.stderr
    assert there.stderr == b""
    assert there.returncode == plain_status(status)


def check_jailed(done: subprocess.CompletedProcess[bytes]) -> None:
    """Of another processor than this one: other instructions are refused, but all of them."""
    *refused, last = done.stdout.splitlines()
    tried = [line for line in refused if line != b"1 1"]
    assert len(tried) > 25
    assert {line.split()[-1] for line in tried} <= {b"%d" % SIGSEGV, b"%d" % SIGILL}
    assert last == b"0 own new code let through"
    assert done.returncode == plain_status(0)


def test_clocks(guest: Callable[[str], Guest]) -> None:
    before = int(time.time())
    done = run_plain(guest("clocks").image)
    *lines, wall = done.stdout.decode().splitlines()
    assert lines == ["slept 1", "back 0", "long 1", "absolute 0", "counter 1"]
    assert before - 2 <= int(wall) <= time.time() + 2
    assert done.returncode == plain_status(0)


def test_without_a_battery_clock(guest_x86_64: Callable[[str], Guest]) -> None:
    """As QEMU's microvm is under KVM; the battery clock's ports then read as all ones."""
    plain = [word.replace("acpi=off", "acpi=off,rtc=off") for word in PLAIN]
    words = ("-serial", "stdio", "-m", "16", "-kernel", guest_x86_64("wall").image)
    done = subprocess.run([*plain, *words], capture_output=True, timeout=PATIENCE_S)
    assert int(done.stdout) in (0, 1)


FAULTS = {
    "x86_64": [
        "divide 8",
        f"illegal {SIGILL}",
        f"kernel text {SIGSEGV}",
        f"kernel data {SIGSEGV}",
        f"privileged {SIGSEGV}",
        f"port {SIGSEGV}",
    ],
    "aarch64": [
        f"break {SIGTRAP}",
        f"illegal {SIGILL}",
        f"kernel text {SIGSEGV}",
        f"kernel data {SIGSEGV}",
        f"privileged {SIGILL}",
        f"unaligned {SIGBUS}",
    ],
}


def test_signals(guest: Callable[[str], Guest]) -> None:
    done = run_plain(guest("signals").image)
    assert without_end(done.stdout).decode().splitlines() == [
        f"null {SIGSEGV}",
        "0x8",
        *FAULTS[guest("signals").arch],
        f"not canonical {SIGSEGV}",
        f"constant {SIGSEGV}",
        f"no code {SIGSEGV}",
        "10 1.25",
        "-1",
        "10",
        "0110",
        "-114",
        "exceptions still work",
    ]
    assert done.returncode == plain_status(128 + SIGTERM)


@pytest.mark.parametrize("memory_mb", [16, 64])
def test_memory_that_is_not_there(guest: Callable[[str], Guest], memory_mb: int) -> None:
    done = run_plain(guest("memory").image, memory_mb)
    assert done.stdout.decode().splitlines() == [
        "bad_alloc after more than 4 MB: 1",
        "cannot create std::vector larger than max_size()"
        if b"max_size" in done.stdout
        else "std::bad_alloc",
        "300000",
    ]
    assert done.returncode == plain_status(0)


def test_stack_overflow(guest: Callable[[str], Guest]) -> None:
    done = run_plain(guest("overflow").image)
    assert without_end(done.stdout) == b"down\n"
    assert b"touching 0x" in done.stdout
    assert b": its stack is full\n" in done.stdout
    assert done.returncode == plain_status(128 + SIGSEGV)


def test_hostile_system_calls(guest: Callable[[str], Guest]) -> None:
    done = run_plain(guest("hostile").image)
    assert done.stdout.endswith(b"alive\n")
    assert done.returncode == plain_status(0)


@pytest.mark.parametrize("memory_mb", [16, 128, 1024])
def test_memory_sizes(guest: Callable[[str], Guest], memory_mb: int) -> None:
    done = run_plain(guest("hello").image, memory_mb)
    assert done.returncode == plain_status(3)
    assert b"caught thrown" in done.stdout


def test_too_little_memory_says_so(guest: Callable[[str], Guest]) -> None:
    done = run_plain(guest("hello").image, 3)
    said = b"radics: 3072 KiB of memory are too few for this image" in done.stdout
    # On aarch64 it is QEMU that finds no room behind the image.
    assert said or b"Not enough space for DTB after kernel" in done.stderr


def test_image_is_small(guest: Callable[[str], Guest]) -> None:
    assert guest("hello").image.stat().st_size < 2.2e6
