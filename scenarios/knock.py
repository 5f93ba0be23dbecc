"""A knock on the wire: whoever is not admitted gets no more than it brings.

Two real processes in a network namespace of their own, and tshark on its loopback. B knocks at A
and waits; somebody without the mesh key sends A datagrams. Then A lets B in. Until that moment, in
no conversation may more bytes have come from A than went to it, at any time; the datagrams get no
answer at all.

Exit status 0 only if every check holds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import trio

from radics_mesh.errors import MeshError, UsageError
from scenarios.peers import HOST, Peer, stop_all, until
from scenarios.usb_stick import ALONE

GIVE_UP_S = 120.0
_FIELDS = ("frame.time_epoch", "tcp.srcport", "tcp.dstport", "tcp.len", "udp.srcport")
_UDP_FIELDS = ("udp.dstport", "udp.length", "udp.payload")
UDP_HEADER_BYTES = 8
STRANGE = 200


@dataclass(frozen=True)
class Packet:
    """One with a payload. `at`: seconds since 1970."""

    at: float
    kind: str
    source: int
    destination: int
    size: int
    payload: str = ""


class Capture:
    """tshark on the loopback, from `start` to `stop`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process: subprocess.Popen[str] | None = None

    async def start(self) -> None:
        self._process = subprocess.Popen(
            ["tshark", "-q", "-i", "lo", "-w", str(self._path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        # It says that it captures a moment before it does; the file's header is written when it is.
        await until(self._begun)

    async def _begun(self) -> bool | None:
        return True if self._path.exists() and self._path.stat().st_size else None

    def stop(self) -> list[Packet]:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)
        return [one for one in map(_packet, self._lines()) if one is not None]

    def _lines(self) -> list[str]:
        fields = [word for name in (*_FIELDS, *_UDP_FIELDS) for word in ("-e", name)]
        done = subprocess.run(
            ["tshark", "-r", str(self._path), "-T", "fields", *fields],
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.splitlines()


def _packet(line: str) -> Packet | None:
    at, tcp_from, tcp_to, tcp_bytes, udp_from, udp_to, udp_bytes, payload = line.split("\t")
    if tcp_from and int(tcp_bytes):
        return Packet(float(at), "tcp", int(tcp_from), int(tcp_to), int(tcp_bytes))
    if udp_from:
        size = int(udp_bytes) - UDP_HEADER_BYTES
        return Packet(float(at), "udp", int(udp_from), int(udp_to), size, payload)
    return None


def most_ahead(packets: list[Packet], port: int) -> tuple[int, int, int]:
    """Bytes to the port and from it, all conversations together, and by how many bytes it was
    ever ahead of another end in any of them."""
    into: defaultdict[tuple[str, int], int] = defaultdict(int)
    out: defaultdict[tuple[str, int], int] = defaultdict(int)
    ahead = 0
    for one in packets:
        if one.destination == port:
            into[one.kind, one.source] += one.size
        elif one.source == port:
            other = (one.kind, one.destination)
            out[other] += one.size
            ahead = max(ahead, out[other] - into[other])
    return sum(into.values()), sum(out.values()), ahead


async def scene(directory: Path) -> bool:
    a, b = Peer("A", directory), Peer("B", directory)
    capture = Capture(directory / "knock.pcap")
    knocking: subprocess.Popen[bytes] | None = None
    try:
        await a.start("--no-scheduler")
        await capture.start()
        with b.log.open("ab") as log:
            knocking = subprocess.Popen(
                [
                    *(sys.executable, "-m", "radics_mesh", "join", "--bootstrap", a.address),
                    *("--state", str(b.state), "--name", b.name, "--listen", b.address),
                    "--no-scheduler",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        print("B$ radics-mesh join --bootstrap A")
        code = await until(lambda: _code(a))
        _be_strange(a.port)
        await trio.sleep(2)
        approved = time.time()
        await a.call("approve", code=code, roles=[], owner="")
        print(f"A$ radics-mesh approve {code}")
        await until(lambda: _is_in(b))
        await trio.sleep(1)
    finally:
        if knocking is not None:
            knocking.terminate()
            knocking.wait(20)
        await stop_all([a])
    return _judge(capture.stop(), a.port, approved)


async def _code(peer: Peer) -> str | None:
    knocks = (await peer.call("knocks"))["knocks"]
    return str(knocks[0]["code"]) if knocks else None


async def _is_in(peer: Peer) -> bool | None:
    try:
        return True if len((await peer.call("nodes"))["nodes"]) == 2 else None
    except MeshError:
        return None


def _be_strange(port: int) -> None:
    """Datagrams from somebody without the mesh key."""
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.bind((HOST, 0))
        for number in range(STRANGE):
            stranger.sendto(os.urandom(20 + number * 7), (HOST, port))


def _judge(packets: list[Packet], port: int, approved: float) -> bool:
    before = [one for one in packets if one.at < approved]
    came, went, ahead = most_ahead(before, port)
    print(f"before approval: {came} bytes to A, {went} from A; A ahead by {ahead} at most")
    udp = [one for one in before if one.kind == "udp" and one.source == port]
    strange = [one for one in before if one.kind == "udp" and one.destination == port]
    print(f"datagrams of strangers: {len(strange)}; answers: {len(udp)}")
    after = [one for one in packets if one.at >= approved]
    print(f"after approval: {sum(one.size for one in after if one.source == port)} bytes from A")
    checks = {
        "no conversation ever got more than it brought": ahead <= 0,
        "the knock is in the capture": came > 0 and went > 0,
        "strangers' datagrams are in the capture, and get no answer": (
            len(strange) == STRANGE and not udp
        ),
        "the answer came with the approval": any(one.source == port for one in after),
    }
    for what, holds in checks.items():
        print(f"  {'ok' if holds else 'NO'}: {what}")
    return all(checks.values())


async def _run() -> bool:
    with tempfile.TemporaryDirectory() as directory, trio.fail_after(GIVE_UP_S):
        return await scene(Path(directory))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not shutil.which("tshark"):
        raise UsageError("tshark is not installed; make setup installs it on Debian")
    if not given.inside:
        again = [*ALONE, sys.executable, "-m", "scenarios.knock", "--inside"]
        return subprocess.run(again, check=False).returncode
    return 0 if trio.run(_run) else 1


if __name__ == "__main__":
    sys.exit(main())
