"""A node gets another address while it runs: it stays who it is, in session, and found.

Two real processes, each in a network namespace, with a cable between them. The address of B's
interface is replaced, as by a new lease. Printed is how long it takes until A has a session with B
at the new address, until B's record names it, and until a ping by bundles is answered both ways.

Exit status 0 only if all of that happens.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import trio

from scenarios.peers import Peer, stop_all, until
from scenarios.usb_stick import ALONE

GIVE_UP_S = 180.0
NET = "10.77.0."
OLD, NEW = f"{NET}2", f"{NET}9"


class Cable:
    """Between this namespace (10.77.0.1) and another one, which a process keeps alive."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        self.within = ("nsenter", "-t", str(self._holder.pid), "-n")

    async def lay(self) -> None:
        await until(self._is_apart)
        _ip("link", "add", "va", "type", "veth", "peer", "name", "vb")
        _ip("link", "set", "vb", "netns", str(self._holder.pid))
        _ip("addr", "add", f"{NET}1/24", "dev", "va")
        _ip("link", "set", "va", "up")
        self.beyond("addr", "add", f"{OLD}/24", "dev", "vb")
        for name in ("lo", "vb"):
            self.beyond("link", "set", name, "up")

    async def _is_apart(self) -> bool | None:
        """Whether the holder is in its namespace already."""
        other = Path(f"/proc/{self._holder.pid}/ns/net").readlink()
        return True if other != Path("/proc/self/ns/net").readlink() else None

    def beyond(self, *words: str) -> None:
        subprocess.run([*self.within, "ip", *words], check=True)

    def cut(self) -> None:
        self._holder.kill()
        self._holder.wait()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


async def scene(directory: Path) -> bool:
    cable = Cable()
    a, b = Peer("A", directory), Peer("B", directory)
    for peer in (a, b):
        peer.host = "0.0.0.0"
    b.within = cable.within
    try:
        await cable.lay()
        await a.start("--no-scheduler")
        token = (await a.call("invite"))["token"]
        await b.start("--invite", token, "--no-scheduler")
        await until(lambda: _host_of(a, "B", OLD))
        print(f"B is at {OLD}, in session with A", flush=True)
        cable.beyond("addr", "del", f"{OLD}/24", "dev", "vb")
        cable.beyond("addr", "add", f"{NEW}/24", "dev", "vb")
        began = time.monotonic()
        print(f"B's address is {NEW} now", flush=True)
        await until(lambda: _host_of(a, "B", NEW))
        print(f"  session with A at {NEW} after {time.monotonic() - began:.1f} s", flush=True)
        for one, other in ((a, "B"), (b, "A")):
            await until(partial(_answers, one, other))
            print(f"  {one.name} pings {other} after {time.monotonic() - began:.1f} s", flush=True)
    except trio.TooSlowError:
        return False
    finally:
        await stop_all([b, a])
        cable.cut()
    return True


async def _host_of(peer: Peer, name: str, host: str) -> bool | None:
    for row in (await peer.call("contacts"))["contacts"]:
        if row["node"] == name and host in row["address"] and row["state"] == "up":
            return True
    return None


async def _answers(peer: Peer, other: str) -> bool | None:
    command = [sys.executable, "-m", "radics_mesh", "ping", other, "--count", "1"]
    done = await trio.run_process(
        [*command, "--state", str(peer.state)], check=False, capture_stdout=True
    )
    return True if done.returncode == 0 else None


async def _run() -> bool:
    with tempfile.TemporaryDirectory() as directory, trio.move_on_after(GIVE_UP_S):
        return await scene(Path(directory))
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    if not parser.parse_args().inside:
        again = [*ALONE, sys.executable, "-m", "scenarios.lease", "--inside"]
        return subprocess.run(again, check=False).returncode
    return 0 if trio.run(_run) else 1


if __name__ == "__main__":
    sys.exit(main())
