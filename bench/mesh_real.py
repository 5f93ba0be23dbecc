"""Thirty real nodes in network namespaces, and thirty agents of Debian's serf, on the wall clock.

    sudo .venv/bin/python -m bench.mesh_real [--n 30] [--json]

Each node is a namespace of its own with a veth to one bridge; all faults are made there: a node's
death is SIGKILL. `python -m radics_mesh join` runs with its usual settings, `serf agent` (Debian's
package serf, which only this bench needs) with its LAN profile. The table says what each noticed
and cost; it is no simulation, and this machine's. On one machine nothing is lost or delayed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import trio

from bench.mesh_figures import machine, progress, table
from bench.rows import Row, row
from radics_mesh.control import ControlClient
from radics_mesh.errors import MeshError

BRIDGE = "rbench0"
NETWORK = "10.213.7"
IDLE_S = 60.0
GIVEN_UP_S = 90.0
RSS_MB, CPU_PERCENT, TRAFFIC_BYTES_PER_S = 60.0, 1.0, 3000.0
DETECTED_S = 12.0


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, stdout=subprocess.DEVNULL)


class Namespaces:
    """Numbered namespaces on one bridge, as long as this is entered."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> Namespaces:
        self.__exit__()
        ip("link", "add", BRIDGE, "type", "bridge")
        ip("link", "set", BRIDGE, "up")
        for number in range(self._count):
            name, outer = self.name(number), f"rb{number}"
            ip("netns", "add", name)
            ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", outer, "master", BRIDGE, "up")
            ip("-n", name, "addr", "add", f"{self.host(number)}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        for line in listed.splitlines():
            if line.split()[0].startswith("rbench"):
                ip("netns", "del", line.split()[0])
        # A namespace goes when its last process has, and takes its link along, now or later.
        for link in sorted(Path("/sys/class/net").glob("rb*[0-9]")):
            subprocess.run(["ip", "link", "del", link.name], stderr=subprocess.DEVNULL)

    @staticmethod
    def name(number: int) -> str:
        return f"rbench{number}"

    @staticmethod
    def host(number: int) -> str:
        return f"{NETWORK}.{number + 1}"

    @staticmethod
    def cut(number: int, off: bool) -> None:
        ip("link", "set", f"rb{number}", "down" if off else "up")

    @staticmethod
    def sent_bytes(number: int) -> int:
        """Ethernet frames and all; what the bridge's side received is what the node sent."""
        return int(Path(f"/sys/class/net/rb{number}/statistics/rx_bytes").read_text())


@dataclass
class Agent:
    number: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pids(self) -> list[psutil.Process]:
        root = psutil.Process(self.process.pid)
        return [root]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Result:
    rss_mb: float = 0.0
    rss_worst_mb: float = 0.0
    cpu_percent: float = 0.0
    bytes_per_s: float = 0.0
    known_to_all_s: float | None = None
    detected_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    false_deaths: int = 0


class Ours:
    name = "radics"

    def __init__(self, spaces: Namespaces, path: Path) -> None:
        self._spaces, self._path = spaces, path
        self._invite = ""

    def start(self, number: int) -> Agent:
        state, log = self._path / f"{number}", self._path / f"{number}.log"
        command = [sys.executable, "-m", "radics_mesh", "join", "--state", str(state)]
        command += ["--name", f"n{number}", "--listen", f"{self._spaces.host(number)}:5050"]
        if number:
            command += ["--bootstrap", f"{self._spaces.host(0)}:5050", "--invite", self._token()]
        return _spawn(number, command, log)

    def _token(self) -> str:
        """One for all."""
        if not self._invite:
            command = [sys.executable, "-m", "radics_mesh", "invite", "--uses", "1000"]
            command += ["--state", str(self._path / "0")]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            self._invite = next(w for w in done.stdout.split() if w.startswith("radics1-"))
        return self._invite

    def alive(self, number: int) -> set[str]:
        """Whom a node believes to be there, itself included."""
        client = ControlClient(self._path / f"{number}")
        try:
            answer = trio.run(client.call, "peers")
        except MeshError:
            return set()  # it has only just been started
        return {f"n{number}"} | {
            peer["name"] for peer in answer["peers"] if peer["state"] in ("alive", "suspect")
        }


class Serf:
    name = "serf"

    def __init__(self, spaces: Namespaces, path: Path) -> None:
        self._spaces, self._path = spaces, path

    def start(self, number: int) -> Agent:
        host, log = self._spaces.host(number), self._path / f"serf{number}.log"
        command = ["serf", "agent", f"-node=n{number}", f"-bind={host}:7946"]
        command += ["-rpc-addr=127.0.0.1:7373", "-profile=lan", "-log-level=err"]
        if number:
            command += [f"-join={self._spaces.host(0)}:7946"]
        return _spawn(number, command, log)

    def alive(self, number: int) -> set[str]:
        command = [
            "ip",
            "netns",
            "exec",
            Namespaces.name(number),
            "serf",
            "members",
            "-format=json",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            return set()
        members = json.loads(done.stdout)["members"]
        return {one["name"] for one in members if one["status"] == "alive"}


def _spawn(number: int, command: Sequence[str], log: Path) -> Agent:
    inside = ["ip", "netns", "exec", Namespaces.name(number), *command]
    with log.open("wb") as out:
        process = subprocess.Popen(inside, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    return Agent(number, process, log)


System = Ours | Serf


def until(holds: Callable[[], bool], given_up_s: float = GIVEN_UP_S) -> float | None:
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > given_up_s:
            return None
        time.sleep(0.2)
    return time.monotonic() - started


def observe(system: System, count: int, kills: int) -> Result:
    result, agents = Result(), {}
    try:
        started = time.monotonic()
        for number in range(count):
            agents[number] = system.start(number)
            if number == 0:
                until(lambda: "n0" in system.alive(0))
        watchers = [0, count // 2, count - 1]
        everybody = {f"n{number}" for number in range(count)}
        if until(lambda: all(system.alive(w) | {f"n{w}"} >= everybody for w in watchers), 180):
            result.known_to_all_s = time.monotonic() - started
        progress(f"{system.name}: {count} agents, all known after {result.known_to_all_s} s")
        time.sleep(20)
        _idle(agents, result)
        progress(f"{system.name}: idle")
        for victim in range(1, 1 + kills):
            agents.pop(victim).kill()
            gone = f"n{victim}"
            took = until(lambda gone=gone: all(gone not in system.alive(w) for w in watchers))  # type: ignore[misc]
            result.detected_s.append(GIVEN_UP_S if took is None else took)
            progress(f"{system.name}: {gone} gone after {took} s")
        living = {f"n{number}" for number in agents}
        result.false_deaths = sum(len(living - system.alive(w) - {f"n{w}"}) for w in watchers)
    finally:
        for agent in agents.values():
            agent.process.send_signal(signal.SIGTERM)
        for agent in agents.values():
            try:
                agent.process.wait(20)
            except subprocess.TimeoutExpired:
                agent.kill()
    return result


def _idle(agents: dict[int, Agent], result: Result) -> None:
    """Nothing happens for a minute: memory, processor and bytes of each agent alone."""
    processes = [process for agent in agents.values() for process in agent.pids]
    cpu = sum(sum(process.cpu_times()[:2]) for process in processes)
    sent = sum(Namespaces.sent_bytes(number) for number in agents)
    started = time.monotonic()
    time.sleep(IDLE_S)
    took_s = time.monotonic() - started
    rss = [process.memory_info().rss / 1e6 for process in processes]
    result.rss_mb, result.rss_worst_mb = statistics.median(rss), max(rss)
    used = sum(sum(process.cpu_times()[:2]) for process in processes) - cpu
    result.cpu_percent = 100 * used / took_s / len(agents)
    sent = sum(Namespaces.sent_bytes(number) for number in agents) - sent
    result.bytes_per_s = sent / took_s / len(agents)


def rows(count: int, ours: Result | None, serf: Result | None) -> list[Row]:
    def both(name: str, unit: str, aim: float | None, of: Callable[[Result], float]) -> Row:
        peer = f"{of(serf):.2f}" if serf else ""
        value = of(ours) if ours else float("nan")
        return row(f"{count} processes: {name}", value, unit, aim, peer)

    return [
        both("all known to the watchers after", "s", None, lambda r: r.known_to_all_s or -1),
        both("memory of one, median", "MB RSS", RSS_MB, lambda r: r.rss_mb),
        both("memory of one, most", "MB RSS", RSS_MB, lambda r: r.rss_worst_mb),
        both("idle processor of one", "% of a core", CPU_PERCENT, lambda r: r.cpu_percent),
        both(
            "sent by one, frames and all", "bytes/s", TRAFFIC_BYTES_PER_S, lambda r: r.bytes_per_s
        ),
        both("death known, median", "s", None, lambda r: statistics.median(r.detected_s)),
        both("death known, worst", "s", DETECTED_S, lambda r: max(r.detected_s)),
        both("living ones called dead", "", 0, lambda r: r.false_deaths),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--n", type=int, default=30)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--only", choices=("radics", "serf"))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("ip") is None:
        sys.exit("this bench makes network namespaces: it needs root and iproute2")
    found: dict[str, Result] = {}
    place = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=place, prefix="mesh-real-") as path:
        for kind in (Ours, Serf):
            if given.only not in (None, kind.name):
                continue
            if kind is Serf and shutil.which("serf") is None:
                progress("no serf here (apt-get install serf): its column stays empty")
                continue
            with Namespaces(given.n) as spaces:
                found[kind.name] = observe(kind(spaces, Path(path)), given.n, given.kills)
    made = rows(given.n, found.get("radics"), found.get("serf"))
    if given.json:
        print(json.dumps({"rows": made}))
    else:
        print(table(f"wall clock, real processes in namespaces; peer: serf; {machine()}", made))
    return 0 if all(one["met"] in (None, True) for one in made) else 1


if __name__ == "__main__":
    sys.exit(main())
