"""The flows of membership as a terminal shows them, with two real processes, one of them in 1970.

A makes a mesh and gives a token for one member that may read and run, of the owner lab. B, whose
clock was never set (libfaketime), joins with it. What its roles do not allow is refused; a second
stranger with the same token is, too. B writes to A while A is down, then its clock steps to now, by
more than 50 years: its message, its membership and what it knows are still there. A revokes B.

Every command is the one that a user types, and what it printed is checked. Exit status 0 only if
every check holds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from radics_mesh.dtn.handling.lifetimes import TICK_S
from radics_mesh.errors import UsageError
from scenarios.peers import Peer, stop_all, until

GIVE_UP_S = 180.0
_LIBRARY = "libfaketimeMT.so.1"
_1970, _NOW = "@1970-01-02 03:04:05", "+0"
_NODE = ("--no-scheduler", "--pool", "0", "--accelerator", "tcg")


class Failed(Exception):
    """A command printed something else than it should."""


class OwnTime:
    """A process's wall clock; its monotonic one stays as it is."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(_1970)

    def set(self, to: str) -> None:
        aside = self._file.with_suffix(".new")
        aside.write_text(f"{to}\n")
        aside.replace(self._file)

    @property
    def command(self) -> tuple[str, ...]:
        found = sorted(Path("/usr/lib").glob(f"*/faketime/{_LIBRARY}"))
        if not found:
            raise UsageError(f"no {_LIBRARY}; scripts/setup.sh installs Debian's faketime")
        return (
            "env",
            f"LD_PRELOAD={found[0]}",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_NO_CACHE=1",
            f"FAKETIME_TIMESTAMP_FILE={self._file}",
        )


class Terminal:
    """Runs commands on peers and shows them with what they print."""

    async def run(
        self, peer: Peer, line: str, *words: str, stdin: str = "", status: int = 0
    ) -> str:
        """What it printed, both streams; Failed when it ended otherwise."""
        shown = " ".join([line, *words])
        print(f"{peer.name}$ radics-mesh {shown}" + (f"  <<< {stdin!r}" if stdin else ""))
        done = await trio.run_process(
            [
                *(sys.executable, "-m", "radics_mesh", *line.split(), *words),
                *("--state", str(peer.state)),
            ],
            stdin=stdin.encode(),
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        text = (done.stdout + done.stderr).decode()
        print("".join(f"  {one}\n" for one in text.splitlines()), end="", flush=True)
        if done.returncode != status:
            raise Failed(f"{shown}: status {done.returncode} instead of {status}")
        return text

    async def until_shown(self, peer: Peer, line: str, wanted: str) -> str:
        """Until a command prints this, whatever it printed before; shown once."""

        async def look() -> str | None:
            done = await trio.run_process(
                [
                    *(sys.executable, "-m", "radics_mesh", *line.split()),
                    *("--state", str(peer.state)),
                ],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
            text = done.stdout.decode()
            return text if wanted in text else None

        text = await until(look)
        print(f"{peer.name}$ radics-mesh {line}")
        print("".join(f"  {one}\n" for one in text.splitlines()), end="", flush=True)
        return text


def check(text: str, *wanted: str) -> None:
    for one in wanted:
        if one not in text:
            raise Failed(f"{one!r} is not in what was printed")


def row(text: str, name: str) -> str:
    """The line of a table that is about that name."""
    return next((line for line in text.splitlines() if line.split()[:1] == [name]), "")


async def scene(directory: Path) -> None:
    a, b, c = (Peer(name, directory) for name in "ABC")
    terminal, time = Terminal(), OwnTime(directory / "time-of-B")
    b.within = time.command
    try:
        check(
            await terminal.run(a, "mesh init", "--name", "A", "--owner", "farm"),
            "made a new mesh",
        )
        await a.start(*_NODE)
        await _admit(terminal, a, b, c)
        await _roles_hold(terminal, a, b)
        await _time_steps(terminal, a, b, time)
        await _revoked(terminal, a, b)
    finally:
        await stop_all([a, b])


async def _admit(terminal: Terminal, a: Peer, b: Peer, c: Peer) -> None:
    given = ("--role", "observe", "--role", "run", "--owner", "lab")
    made = await terminal.run(a, "mesh invite", "--uses", "1", "--expires", "1h", *given, "--json")
    token = json.loads(made)["token"]
    print("B$ date -u; radics-mesh join --bootstrap A --invite TOKEN &   (its clock: 1970)")
    await b.start("--bootstrap", a.address, "--invite", token, *_NODE)
    shown = await terminal.until_shown(a, "mesh members", "lab")
    check(row(shown, "B"), "lab", "observe,run", " A ")
    check(row(shown, "A"), "farm", "all")
    again = await terminal.run(
        c, "join", "--name", "C", "--listen", c.address, "--invite", token, *_NODE, status=1
    )
    check(again, "this token is used up")


async def _roles_hold(terminal: Terminal, a: Peer, b: Peer) -> None:
    check(await terminal.run(b, "mesh invite", status=1), "does not let it invite")
    check(await terminal.run(b, "mesh revoke", "A", status=1), "role operate")
    check(await terminal.run(b, "mesh rotate", status=1), "operate")
    lines = b.state.parent / "lines"
    lines.write_text("1\n2\n")
    text = await terminal.run(b, "publish", "camera/door", "--file", str(lines), status=1)
    check(text, "does not give the role publish")
    text = await terminal.run(a, "mesh invite", "--role", "king", status=1)
    check(text, "no role 'king'")


async def _time_steps(terminal: Terminal, a: Peer, b: Peer, time: OwnTime) -> None:
    quality = (await b.call("status"))["node"]["time"]
    print(f"B's clock says 1970; the quality of its time: {quality}")
    if quality != "none":
        raise Failed("a clock in 1970 is taken for a right one")
    a.stop()
    print("A is down")
    message = (await terminal.run(b, "send", "A/inbox", stdin="from 1970")).strip()
    time.set(_NOW)
    print("B's clock steps to now")
    await trio.sleep(2 * TICK_S)  # what has outlived its lifetime goes at such ticks
    check(await terminal.run(b, "bundles"), message.rpartition(" ")[2])
    check(row(await terminal.run(b, "mesh members"), "B"), "lab")
    check(row(await terminal.run(b, "nodes"), "A"), "A")
    await a.start()
    print("A is up")
    got = await terminal.run(a, "recv", "inbox", "--count", "1", "--timeout", "100")
    check(got, "from 1970")
    await terminal.run(b, "send", "A/inbox", stdin="from now")
    got = await terminal.run(a, "recv", "inbox", "--count", "1", "--timeout", "100")
    check(got, "from now")


async def _revoked(terminal: Terminal, a: Peer, b: Peer) -> None:
    check(await terminal.run(a, "mesh revoke", "B", "--reason", "stolen"), "no member any more")
    check(row(await terminal.run(a, "mesh members"), "B"), "by A: stolen")
    await terminal.until_shown(a, "events", " is out of reach")
    check(await terminal.run(a, "events"), "A has revoked B: stolen")


def _attempt(name: str, work: Callable[[Path], Awaitable[None]]) -> int:
    with tempfile.TemporaryDirectory(prefix=f"radics-{name}-") as directory:

        async def bounded() -> None:
            with trio.fail_after(GIVE_UP_S):
                await work(Path(directory))

        try:
            trio.run(bounded)
        except (Failed, UsageError, trio.TooSlowError, subprocess.SubprocessError) as error:
            print(f"FAILED: {error or 'not done in time'}")
            for log in sorted(Path(directory).glob("*.log")):
                print(f"--- {log.name}\n" + log.read_text("utf-8", "replace")[-3000:])
            return 1
    print("every check holds")
    return 0


def main() -> int:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    return _attempt("membership", scene)


if __name__ == "__main__":
    sys.exit(main())
