"""A small host for one guest, for tests only: QEMU, its RAM file, and the channel's other end.

Written against guest_lib/include/radics_abi.h alone, independently of radics_mesh.vmm, so that the
two sides check each other (wire, seen). Blocking, with a deadline on everything.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import socket
import struct
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.guest.plain import CPUS, PLAIN, VIRT, architecture, plain_status
from tests.guest.seen import Changed, World
from tests.guest.wire import (
    CHANGED,
    DATA,
    ERROR_BACK,
    HELLO,
    HELLO_ACK,
    OUT,
    OUT_ACK,
    PANIC,
    PARK,
    PARKED,
    REPLIES,
    STACKS,
    STACKS_BACK,
    STAGE,
    STDIN,
    STREAM,
    Reader,
    frame,
    text,
    uncobs,
)
from tests.patience import PATIENCE_S

LOW_BYTES = 1 << 20
PAGE = 4096
DEADLINE_S = PATIENCE_S
PARK_NONCE = 77


class Host:
    """One QEMU with one guest in it. `acknowledge=False` never confirms an output."""

    def __init__(
        self,
        image: Path,
        world: World,
        *,
        memory_mb: int = 32,
        snapshot: dict[int, bytes] | None = None,
        args: tuple[str, ...] = ("program",),
        env: tuple[str, ...] = (),
        sources: tuple[str, ...] = (),
        name: str = "here",
        epoch: int = 1,
        acknowledge: bool = True,
        cpu: str = "",
        hello: bool = True,
        ahead_s: int = 0,
        paused: bool = False,
        major: int = 1,
        minor: int = 1,
        branch: int = 0,
        checkpoint: tuple[int, int] = (0, 0),
        stdin: bool = False,
    ) -> None:
        self.image, self.world, self.memory = image, world, memory_mb << 20
        self.args, self.env, self.sources = args, env, sources
        self.name, self.epoch, self.acknowledge = name, epoch, acknowledge
        self.major, self.minor, self.branch = major, minor, branch
        self.checkpoint, self.stdin = checkpoint, stdin
        self.guest_version: tuple[int, int] | None = None
        self.checkpoint_wanted = 0
        self.kinds: dict[int, tuple[int, str]] = {}
        self.errors: list[tuple[int, int, int, str]] = []
        self.ahead_ns = ahead_s * 10**9  # by how much the clock on the wall is wrong here
        self.state: int | None = None
        self.parked: int | None = None
        self.panic: str | None = None
        self.known = 0  # the stage whose changes we have
        self.changed: Changed | None = None  # the last report that came in whole
        self.continued: float | None = None  # when a warm start was let go
        self.acked = world.received
        self._input = bytearray()
        self._output = bytearray()
        self._fed: dict[int, int] = {}
        self._nonce = 0
        self.stacks: dict[int, bytes] = {}
        self.threads = -1
        self._stacks_nonce = 1000
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        self.ram_path = self.folder / "ram"
        self._start(cpu, waiting=paused or snapshot is not None)
        if snapshot is not None:
            self._restore(snapshot)
        self.channel = self._connect("ch")
        if hello:
            self.say_hello()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *exc: object) -> None:
        self.kill()
        self._stack.close()

    # --- QEMU ---

    @property
    def architecture(self) -> str:
        return architecture(self.image)

    @property
    def is_x86(self) -> bool:
        return self.architecture == "x86_64"

    def _start(self, cpu: str, waiting: bool) -> None:
        cpu = cpu or CPUS[self.architecture]
        ram = f"memory-backend-file,id=ram,size={self.memory},mem-path={self.ram_path},share=on"
        self.process = subprocess.Popen(
            (
                *(PLAIN if self.is_x86 else VIRT),
                *("-M", "memory-backend=ram", "-cpu", cpu, "-m", f"{self.memory >> 20}"),
                *("-object", ram),
                *("-kernel", str(self.image), "-serial", f"file:{self.folder / 'serial'}"),
                *("-global", "virtio-mmio.force-legacy=false"),
                *("-device", "virtio-serial-device,max_ports=1"),
                *("-chardev", f"socket,id=ch,path={self.folder / 'ch'},server=on,wait=off"),
                *("-device", "virtconsole,chardev=ch"),
                *("-monitor", f"unix:{self.folder / 'mon'},server=on,wait=off"),
                *(("-S",) if waiting else ()),
            ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self._stack.callback(self.kill)

    def _connect(self, name: str) -> socket.socket:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(str(self.folder / name))
            except OSError:
                sock.close()
                assert time.monotonic() < deadline, "QEMU opened no socket"
                assert self.process.poll() is None, "QEMU ended"
                time.sleep(0.002)  # a new process: nothing to wait on but the file system
                continue
            self._stack.callback(sock.close)
            sock.setblocking(False)
            return sock

    def monitor(self, command: str) -> None:
        with self._connect("mon") as monitor:
            monitor.setblocking(True)
            monitor.settimeout(DEADLINE_S)
            self._until_prompt(monitor)
            monitor.sendall(command.encode() + b"\n")
            self._until_prompt(monitor)

    @staticmethod
    def _until_prompt(monitor: socket.socket) -> None:
        seen = b""
        while not seen.endswith(b"(qemu) "):
            data = monitor.recv(4096)
            assert data
            seen += data

    def _restore(self, snapshot: dict[int, bytes]) -> None:
        self.monitor("info status")  # QEMU has loaded everything when it answers
        with self.ram_path.open("r+b") as file, mmap.mmap(file.fileno(), self.memory) as ram:
            ram[LOW_BYTES:] = bytes(self.memory - LOW_BYTES)
            for index, page in snapshot.items():
                ram[index * PAGE : (index + 1) * PAGE] = page
        self.monitor("cont")
        self.continued = time.monotonic()

    def read(self, numbers: Iterable[int]) -> dict[int, bytes]:
        """These pages as they are now."""
        with self.ram_path.open("rb") as file:
            return {n: os.pread(file.fileno(), PAGE, n * PAGE) for n in numbers}

    def pages(self) -> dict[int, bytes]:
        """All of RAM above its first MiB that is not zero, by number from RAM's start."""
        found = {}
        with self.ram_path.open("rb") as file:
            fd, at = file.fileno(), LOW_BYTES
            while at < self.memory:
                try:
                    at = os.lseek(fd, at, os.SEEK_DATA)
                except OSError:
                    break
                page = os.pread(fd, PAGE, at)
                if any(page):
                    found[at // PAGE] = page
                at += PAGE
        return found

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE_S)

    def wait(self) -> int:
        """QEMU's exit status, as `plain_status`."""
        status = self.process.wait(DEADLINE_S)
        return status if self.is_x86 else plain_status(status)

    def serial(self) -> bytes:
        return (self.folder / "serial").read_bytes()

    # --- the channel ---

    def say_hello(self) -> None:
        self._nonce += 1
        body = struct.pack(
            "<HHQQQQ",
            *(
                self.major,
                self.minor,
                self._nonce,
                self.epoch,
                time.time_ns() + self.ahead_ns,
                self.acked,
            ),
        ) + os.urandom(32)
        body += text("vm") + text("dtn://vm/") + text(self.name) + text(f"dtn://{self.name}/")
        for words in (self.args, self.env, self.sources):
            body += struct.pack("<H", len(words)) + b"".join(text(word) for word in words)
        if self.minor:
            body += struct.pack("<IQIB", self.branch, *self.checkpoint, self.stdin)
        self.write(b"\0" + frame(HELLO, body))

    def write(self, data: bytes) -> None:
        self._output += data

    def reconnect(self) -> None:
        self.channel.close()
        self._input.clear()
        self._output.clear()
        self._fed.clear()
        self.state = None
        self.channel = self._connect("ch")
        self.say_hello()

    def ask_park(self) -> None:
        self.write(frame(PARK, struct.pack("<QQ", PARK_NONCE, self.known)))

    def stage(self) -> Changed:
        """Ask what has changed since stage `known`; asked again when the answer was lost."""
        while True:
            nonce = int.from_bytes(os.urandom(8), "little") | 1
            self.write(frame(STAGE, struct.pack("<QQ", nonce, self.known)))
            with contextlib.suppress(AssertionError):
                self.until(partial(self._has, nonce), 2.0)
                assert self.changed is not None
                return self.changed

    def _has(self, nonce: int) -> bool:
        return self.changed is not None and self.changed.nonce == nonce and self.changed.whole

    def ask_stacks(self) -> list[bytes]:
        """The bodies of the frames that tell of every thread now."""
        self.stacks.clear()
        self.threads = -1
        self._stacks_nonce += 1
        self.write(frame(STACKS, struct.pack("<Q", self._stacks_nonce)))
        self.until(lambda: len(self.stacks) == self.threads)
        return [self.stacks[index] for index in range(self.threads)]

    def turn(self, timeout_s: float = 0.2) -> bool:
        """Once around: feed, write, read. False when QEMU has closed the channel."""
        self._feed()
        if self.acknowledge and self.acked < self.world.received:
            self.acked = self.world.received
            self.write(frame(OUT_ACK, struct.pack("<Q", self.acked)))
        writers = [self.channel] if self._output else []
        readable, writable, _ = select.select([self.channel], writers, [], timeout_s)
        try:
            if writable:
                del self._output[: self.channel.send(self._output[:65536])]
            data = self.channel.recv(1 << 18) if readable else None
        except ConnectionError:
            return False
        if data is None:
            return True
        *frames, rest = data.split(b"\0")
        for part in frames:
            self._input += part
            if self._input:
                self._frame(bytes(self._input))
            self._input.clear()
        self._input += rest
        return bool(data)

    def until(self, condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        deadline = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < deadline, f"{self.world}, state {self.state}"
            if not self.turn(min(0.2, deadline_s)):
                break
        assert condition(), f"the channel ended; {self.world}, panic {self.panic}"

    def until_ready(self) -> None:
        self.until(lambda: self.state is not None)

    def until_printed(self, text: bytes) -> None:
        self.until(lambda: text in self.world.stdout)

    def until_subscribed(self, source: str) -> int:
        """The stream."""
        self.until(lambda: source in self.world.subscribed.values())
        return next(n for n, name in self.world.subscribed.items() if name == source)

    def run_for(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and self.turn(left):
            pass

    def park(self) -> dict[int, bytes]:
        """Park, kill QEMU with SIGKILL, and return the snapshot."""
        self.until_ready()
        self.ask_park()
        self.until(lambda: self.parked is not None)
        self.kill()
        return self.pages()

    def finish(self) -> int:
        """To the program's end and QEMU's; QEMU's exit status."""
        self.until(lambda: self.world.exit is not None)
        while self.turn():
            pass
        return self.wait()

    def finish_with_mail(self, payload: bytes) -> int:
        """One last message, and the end."""
        self.world.publish(0, payload)
        return self.finish()

    def _feed(self) -> None:
        if self.state is None:
            return
        for stream, messages in self.world.messages.items():
            if stream and not self._takes(stream):
                continue
            done = self.world.done.get(stream, 0)
            at = self._fed.setdefault(stream, self.world.have.get(stream, 0))
            while at < len(messages):
                if sum(len(message[1]) + 64 for message in messages[done : at + 1]) > 131072:
                    break
                flags, payload, sender, to = messages[at]
                body = struct.pack("<HQHB", stream, at + 1, 1, flags)
                body += text(sender) + text(to) + struct.pack("<I", len(payload)) + payload
                self.write(frame(DATA, body))
                at += 1
            self._fed[stream] = at

    def _takes(self, stream: int) -> bool:
        reserved = self.minor > 0 and stream in (REPLIES, STDIN)
        return reserved or stream in self.world.subscribed or stream in self.world.served

    def _stacks(self, r: Reader) -> None:
        nonce, threads, index = r.take("Q"), r.take("H"), r.take("H")
        if nonce == self._stacks_nonce:
            self.stacks[index] = r.data
            self.threads = threads

    def _frame(self, encoded: bytes) -> None:
        raw = uncobs(encoded)
        if raw is None or len(raw) < 6 or zlib.crc32(raw[:-4]) != struct.unpack("<I", raw[-4:])[0]:
            return
        kind, r = raw[0], Reader(raw[2:-4])
        if kind == HELLO_ACK:
            self._answer(r)
        elif kind == STREAM:
            self._progress(r.take("H"), r)
        elif kind == OUT and self.state is not None:
            self._said(r)
        elif kind == STACKS_BACK:
            self._stacks(r)
        elif kind == CHANGED:
            self._report(r)
        else:
            self._noted(kind, r)

    def _noted(self, kind: int, r: Reader) -> None:
        if kind == PARKED:
            assert r.take("Q") == PARK_NONCE
            self.parked = r.take("Q")
        elif kind == PANIC:
            self.panic = r.text()
        elif kind == ERROR_BACK:
            self.errors.append((r.take("B"), r.take("B"), r.take("Q"), r.text()))

    def _said(self, r: Reader) -> None:
        closed = len(self.world.closed)
        if not self.world.output(r):
            self.state = None
            self.say_hello()  # which makes the guest go back
        for stream in self.world.closed[closed:]:
            self._fed.pop(stream, None)

    def _answer(self, r: Reader) -> None:
        self.guest_version = r.take("H"), r.take("H")
        if r.take("Q") != self._nonce or self.major != self.guest_version[0]:
            return
        self.state = r.take("B")
        assert r.take("Q") <= self.world.received + 1
        for _ in range(r.take("H")):
            stream, _source = r.take("H"), r.text()
            self._progress(stream, r)
            self._fed[stream] = self.world.have[stream]
        if self.guest_version < (1, 1):
            return
        self.checkpoint_wanted = r.take("Q")
        for _ in range(r.take("H")):
            stream, kind, name = r.take("H"), r.take("B"), r.text()
            self.kinds[stream] = kind, name
            self._progress(stream, r)
            self._fed[stream] = self.world.have[stream]

    def _report(self, r: Reader) -> None:
        nonce, since, pages, first, bits = *(r.take(c) for c in "QQII"), r.blob()
        assert pages * PAGE == self.memory
        if first == 0:
            self.changed = Changed(nonce, since)
        if self.changed is not None and self.changed.nonce == nonce:
            self.changed.add(pages, first, bits)

    def _progress(self, stream: int, r: Reader) -> None:
        have, done = r.take("Q"), r.take("Q")
        assert done <= have
        assert have >= self.world.have.get(stream, 0)
        assert done >= self.world.done.get(stream, 0)
        self.world.have[stream], self.world.done[stream] = have, done


@contextlib.contextmanager
def journey(image: Path, world: World, **options: Any) -> Iterator[Callable[..., Host]]:
    """Hands out hosts for one VM; each next one starts where the last one was parked."""
    hosts: list[Host] = []

    def move(**more: Any) -> Host:
        snapshot = hosts[-1].park() if hosts else None
        host = Host(
            image,
            world,
            snapshot=snapshot,
            epoch=len(hosts) + 1,
            name=f"host{len(hosts)}",
            **{**options, **more},
        )
        if hosts:
            hosts[-1].__exit__()
        hosts.append(host)
        return host

    try:
        yield move
    finally:
        for host in hosts:
            host.__exit__()
