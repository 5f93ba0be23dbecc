"""A bad link between two network namespaces: so many bits a second, so many packets lost.

    python -m bench.link PID PID [--rate BIT_S] [--loss SHARE] [--delay S] [--seed N]

Between the network namespaces of two processes it puts a TUN device each, 10.77.0.1 and 10.77.0.2,
and hands IP packets across: each waits for those before it at the rate of the link, then for its
delay; some are lost, by a seeded generator; what finds QUEUE_BYTES before it is dropped, as by a
router. It stands for `tc netem`, which not every kernel has. Says "up", and for each SIGUSR1 a line
of JSON: what went across so far. SIGTERM ends it. Needs root.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import signal
import struct
import subprocess
import time
from dataclasses import dataclass, field

ADDRESSES = ("10.77.0.1", "10.77.0.2")
QUEUE_BYTES = 64 << 10
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_MTU = 1500


@dataclass
class Direction:
    """Packets one way."""

    into: int
    rate: float
    loss: float
    delay_s: float
    chance: random.Random
    free_at: float = 0.0
    waiting: list[tuple[float, int, bytes]] = field(default_factory=list)
    packets: int = 0
    carried: int = 0
    lost: int = 0
    dropped: int = 0

    def take(self, packet: bytes, now: float) -> None:
        self.packets += 1
        backlog = max(0.0, self.free_at - now) * self.rate / 8
        if backlog > QUEUE_BYTES:
            self.dropped += 1
            return
        # A packet that is lost has used the link all the same.
        self.carried += len(packet)
        self.free_at = max(now, self.free_at) + len(packet) * 8 / self.rate
        if self.chance.random() < self.loss:
            self.lost += 1
            return
        heapq.heappush(self.waiting, (self.free_at + self.delay_s, self.packets, packet))

    def give(self, now: float) -> None:
        while self.waiting and self.waiting[0][0] <= now:
            os.write(self.into, heapq.heappop(self.waiting)[2])


def enter(pid: int) -> None:
    """Make a process' network namespace ours. (os.setns is of Python 3.12.)"""
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def tun(pid: int, own: str, peer: str) -> int:
    """A device in the namespace of a process, up."""
    enter(pid)
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH14x", b"tun0", _IFF_TUN | _IFF_NO_PI))
    for (
        words
    ) in f"link set lo up|link set tun0 mtu {_MTU} up|addr add {own} peer {peer} dev tun0".split(
        "|"
    ):
        subprocess.run(["ip", *words.split()], check=True)
    return descriptor


def run(ends: dict[int, Direction], stop: list[int]) -> None:
    while not stop:
        now = time.monotonic()
        for direction in ends.values():
            direction.give(now)
        due = [direction.waiting[0][0] for direction in ends.values() if direction.waiting]
        wait_s = min([0.1, *(max(0.0, at - now) for at in due)])
        for readable in select.select(list(ends), [], [], wait_s)[0]:
            ends[readable].take(os.read(readable, 65536), time.monotonic())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pids", nargs=2, type=int)
    parser.add_argument("--rate", type=float, default=1e6)
    parser.add_argument("--loss", type=float, default=0.1)
    parser.add_argument("--delay", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    one = tun(options.pids[0], *ADDRESSES)
    other = tun(options.pids[1], *reversed(ADDRESSES))
    ends = {
        source: Direction(
            into, options.rate, options.loss, options.delay, random.Random(options.seed + source)
        )
        for source, into in ((one, other), (other, one))
    }

    def tell(*_: object) -> None:
        told = [
            {"packets": d.packets, "bytes": d.carried, "lost": d.lost, "dropped": d.dropped}
            for d in ends.values()
        ]
        print(json.dumps(told), flush=True)

    signal.signal(signal.SIGUSR1, tell)
    print("up", flush=True)
    run(ends, stop)


if __name__ == "__main__":
    main()
