"""First light: a running unikernel is pulled to its data over a mesh of three peers.

    A ── B ── C      A and C reach each other only through B.

C publishes real text, a line a message. A word count, written in C++, is built and started on A,
two hops from its data. The scheduler pulls it to C while it counts. While it is on its way, B is
killed with SIGKILL and comes back three seconds later; the bundles for it wait and arrive. At the
end the counts must equal those of one process that reads the same text.

All figures are wall clock on one machine, guests under the accelerator that is named.
Exit status 0 only if every check holds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from radics_mesh.errors import MeshError
from radics_mesh.vmm.build import build_image
from scenarios.peers import Peer, stop_all, until

ROOT = Path(__file__).resolve().parent.parent
LICENSES = Path("/usr/share/common-licenses")
MORE = Path("/usr/share/doc")
TEXT_BYTES = 2_000_000
LASTS_S = 48.0
OUTAGE_S = 3.0
TELL_EVERY_S = 6.0
GIVE_UP_S = 240.0
SOURCE, PROGRAM, SERVICE = "text", "wordcount", "report"
EACH_SIDE_AT_LEAST = 0.2


def say(text: str) -> None:
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {text}", flush=True)


BEGAN = time.monotonic()


def gather_text(path: Path) -> int:
    """The licences, then copyright files, up to TEXT_BYTES; the number of lines."""
    files = [*sorted(LICENSES.glob("*")), *sorted(MORE.glob("*/copyright"))]
    taken, seen = bytearray(), set[Path]()
    for file in files:
        real = file.resolve()
        if real in seen or not real.is_file() or len(taken) >= TEXT_BYTES:
            continue
        seen.add(real)
        text = real.read_bytes()
        taken += text if text.endswith(b"\n") else text + b"\n"
    path.write_bytes(taken)
    return taken.count(b"\n")


@dataclass
class Report:
    """What the word count said at its end: its bundles' parts, put together."""

    hosts: Counter[str] = field(default_factory=Counter)
    words: Counter[bytes] = field(default_factory=Counter)
    messages: int = 0
    parts: dict[int, bytes] = field(default_factory=dict)
    total: int = 0

    def take(self, payload: bytes) -> bool:
        """One part; True when all are there. A part that comes twice is an error of ours."""
        head, _, body = payload.partition(b"\n")
        label, _, position = head.partition(b" ")
        number, _, total = position.partition(b"/")
        if label != b"part" or int(number) in self.parts:
            raise MeshError(f"an unexpected report: {payload[:60]!r}")
        self.parts[int(number)], self.total = body, int(total)
        return len(self.parts) == self.total

    def read(self) -> None:
        for line in b"".join(self.parts[n] for n in sorted(self.parts)).splitlines():
            fields = line.split()
            if fields[0] == b"host" and len(fields) == 6:
                self.hosts[fields[1].decode()] += int(fields[3])
                self.messages += int(fields[3])
            else:
                self.words[fields[0]] += int(fields[1])


@dataclass
class Sample:
    """Network bytes that the three peers have sent, at a moment; where the VM runs; how many lines
    were published by then (once all are, what is sent is the report)."""

    at: float
    sent: int
    host: str | None
    published: int


class Run:
    """One run of the scenario, and what it saw."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.a, self.b, self.c = (Peer(name, directory) for name in ("A", "B", "C"))
        self.report = Report()
        self.samples: list[Sample] = []
        self._sent = {"A": 0, "B": 0, "C": 0}
        self._sent_before_restart = {"A": 0, "B": 0, "C": 0}
        self.killed = False
        self.waited_bundles = 0

    @property
    def peers(self) -> tuple[Peer, Peer, Peer]:
        return self.a, self.b, self.c

    async def start_mesh(self) -> None:
        """B founds the mesh and invites; A and C know only B."""
        near_b = ("--neighbours", self.a.address, "--neighbours", self.c.address)
        await self.b.start(*near_b)
        token = (await self.b.call("invite", uses=2, hours=1.0))["token"]
        for peer in (self.a, self.c):
            await peer.start("--invite", token, "--neighbours", self.b.address)
        say(f"three peers run: A {self.a.address} -- B {self.b.address} -- C {self.c.address}")

    async def start_work(self, text: Path, lines: int, image: Path) -> None:
        rate = lines / LASTS_S
        await self.c.call("publish", name=SOURCE, file=str(text), rate=rate)
        say(f"C publishes {lines} lines, {text.stat().st_size} bytes, as {SOURCE!r}")
        own = (await self.a.call("status"))["node"]["id"]
        await self.a.call(
            "run",
            image=str(image),
            name=PROGRAM,
            sources=[SOURCE],
            arguments=[f"dtn://{own}/{SERVICE}"],
            memory_bytes=32 << 20,
        )
        say(f"{PROGRAM} runs on A, two hops from its data")

    async def collect(self) -> None:
        """Wait for the report at A. Taking the next part removes the last one from A's store."""
        async with aclosing(self.a.client.stream("recv", service=SERVICE)) as items:
            async for received in items:
                if self.report.take(received["payload"]):
                    break
        self.report.read()
        say(f"the report has arrived at A: {len(self.report.parts)} bundles")

    async def watch(self) -> None:
        """Sample traffic and whereabouts twice a second."""
        while True:
            host: str | None = None
            published = 0
            for peer in self.peers:
                try:
                    status = await peer.call("status")
                except MeshError:
                    continue
                self._count(peer.name, int(status["node"]["bytes_out"]))
                rows = [r for r in status["vms"] if r["name"] == PROGRAM and r["local"]]
                if rows and rows[0]["state"] == "running":
                    host = peer.name
                own = [row for row in status["sources"] if row["name"] == SOURCE and row["local"]]
                published = own[0]["messages"] if own else published
                if self.killed:
                    self.waited_bundles = max(self.waited_bundles, status["bundles"]["stored"])
            sent = sum(self._sent.values()) + sum(self._sent_before_restart.values())
            self.samples.append(Sample(time.monotonic(), sent, host, published))
            await trio.sleep(0.5)

    def _count(self, name: str, sent: int) -> None:
        if sent < self._sent[name]:  # the peer was restarted and counts from zero again
            self._sent_before_restart[name] += self._sent[name]
        self._sent[name] = sent

    async def tell(self, lines: int) -> None:
        """A word every few seconds, so that nobody wonders whether it hangs."""
        while True:
            await trio.sleep(TELL_EVERY_S)
            now = self.samples[-1]
            where = f"counts on {now.host}" if now.host else "is on its way"
            say(f"{now.published} of {lines} lines published; {PROGRAM} {where}")

    async def cut_the_way(self) -> None:
        """Kill B as soon as the VM is on its way, and bring it back."""
        await until(lambda: self._row(self.a, "moving"))
        say(f"{PROGRAM} is on its way; B, the only way, is killed with SIGKILL")
        self.b.sigkill()
        self.killed = True
        await trio.sleep(OUTAGE_S)
        await self.b.start()
        self.killed = False
        say(f"B is back after {OUTAGE_S:.0f} s")

    async def _row(self, peer: Peer, *states: str) -> dict[str, Any] | None:
        row = await peer.vm(PROGRAM)
        return row if row is not None and row["state"] in states else None

    async def started(self) -> dict[str, Any]:
        """Wait until the guest on A has said its first word; its row."""
        return await until(lambda: self._row(self.a, "running"))

    async def moved(self) -> None:
        """Wait until C runs the VM."""
        await until(lambda: self._row(self.c, "running", "exited"))
        say(f"{PROGRAM} runs on C, beside its data")


def traffic(samples: list[Sample], host: str, lines: int) -> float | None:
    """Bytes a second sent by all peers together while the VM counted on `host`."""
    there = [s for s in samples if s.host == host and s.published < lines]
    # The first seconds on a host still carry the start or the move itself.
    there = [s for s in there if s.at >= there[0].at + 3.0] if there else []
    if len(there) < 2 or there[-1].at == there[0].at:
        return None
    return (there[-1].sent - there[0].sent) / (there[-1].at - there[0].at)


def expected(text: Path) -> Counter[bytes]:
    """The same count by one process: ASCII white space separates words, as C++'s >> does."""
    return Counter(text.read_bytes().split())


async def play(directory: Path) -> bool:
    """The whole scenario in `directory`; True if every check holds."""
    text, image = directory / "text", directory / "wordcount.img"
    lines = gather_text(text)
    say(f"building {PROGRAM}.img from examples/wordcount.cpp, then starting three peers")
    built = time.monotonic()
    build_image([ROOT / "examples" / "wordcount.cpp"], image)
    say(f"built {PROGRAM}.img: {image.stat().st_size} bytes, {time.monotonic() - built:.1f} s")
    run = Run(directory)
    facts: Facts | None = None
    try:
        with trio.move_on_after(GIVE_UP_S):
            facts = await act(run, text, lines, image)
    except MeshError as error:
        say(f"failed: {error}")
    finally:
        await stop_all(run.peers)
    if facts is not None:
        return conclude(run, facts)
    say("the scenario did not end as it should")
    for peer in run.peers:
        print(f"--- last words of {peer.name}\n{peer.last_words()}")
    return False


async def act(run: Run, text: Path, lines: int, image: Path) -> Facts:
    await run.start_mesh()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.watch)
        await run.start_work(text, lines, image)
        first = await run.started()
        nursery.start_soon(run.cut_the_way)
        nursery.start_soon(run.tell, lines)
        async with trio.open_nursery() as ends:
            ends.start_soon(run.collect)
            ends.start_soon(run.moved)
        nursery.cancel_scope.cancel()
    at_a, at_c = await run.a.call("status"), await run.c.call("status")
    return Facts(
        text=text,
        image=image,
        lines=lines,
        boot_s=first["boot_s"],
        left=next(move for move in at_a["moves"] if move["name"] == PROGRAM),
        came=next(row for row in at_c["vms"] if row["name"] == PROGRAM),
        accelerator=at_a["node"]["accelerator"],
    )


@dataclass(frozen=True)
class Facts:
    """What is known when all has arrived: from it the verdict is computed."""

    text: Path
    image: Path
    lines: int
    boot_s: float | None
    left: dict[str, Any]
    came: dict[str, Any]
    accelerator: str


def conclude(run: Run, facts: Facts) -> bool:
    """Print what happened; whether every check holds."""
    report, counted = run.report, expected(facts.text)
    share = {host: count / max(1, report.messages) for host, count in report.hosts.items()}
    before, after = (traffic(run.samples, host, facts.lines) for host in ("A", "C"))
    lost = sum((counted - report.words).values())
    twice = sum((report.words - counted).values())
    rows = [
        ("words", f"{report.words.total()} counted, {counted.total()} in the text"),
        ("lost, twice", f"{lost}, {twice}"),
        ("messages", f"{report.messages} of {facts.lines}"),
        *((f"counted on {host}", f"{part:.0%}") for host, part in sorted(share.items())),
        ("moves", f"{facts.came['moves']}"),
        ("network before", _rate(before)),
        ("network after", _rate(after)),
        ("downtime", f"{_ms(facts.left['answered_s'])}, of it {_ms(facts.left['pause_s'])} on A"),
        ("snapshot", f"{facts.left['snapshot_bytes']} bytes; sent {facts.left['sent_bytes']}"),
        ("image", f"{facts.image.stat().st_size} bytes"),
        ("boot", f"{_ms(facts.boot_s)} from the order to start to the guest's first word"),
        ("waiting while B was down", f"{run.waited_bundles} bundles at most on one node"),
        ("accelerator", facts.accelerator),
    ]
    print()
    for name, value in rows:
        print(f"  {name:<26} {value}")
    checks = {
        "counts are equal": report.words == counted and report.messages == facts.lines,
        "it was moved once": facts.came["moves"] == 1,
        "each side counted at least 20 %": set(share) == {"A", "C"}
        and min(share.values()) >= EACH_SIDE_AT_LEAST,
        "bundles waited for B": run.waited_bundles > 0,
        "less network after the move": before is not None and after is not None and after < before,
    }
    print()
    for name, holds in checks.items():
        print(f"  {'yes' if holds else 'NO '}  {name}")
    return all(checks.values())


def _ms(seconds: float | None) -> str:
    return "not measured" if seconds is None else f"{seconds * 1000:.0f} ms"


def _rate(bytes_s: float | None) -> str:
    return "not measured" if bytes_s is None else f"{bytes_s / 1000:.1f} kB/s, all peers together"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave states and logs here")
    keep: Path | None = parser.parse_args().keep
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        return 0 if trio.run(play, keep) else 1
    with tempfile.TemporaryDirectory(prefix="radics-first-light-") as directory:
        return 0 if trio.run(play, Path(directory)) else 1


if __name__ == "__main__":
    sys.exit(main())
