"""A guest's channel for bench/guest.py: round trip, throughput, and the console's own limits.

The host is the node's own (`vmm.machine`), the guest is bench/guests/channel.c: what is measured
is a program's message from system call to event, encoded, checked and acknowledged both ways. The
limit is QEMU's virtio-console with buffers that nobody looks into, read and written by a loop.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import statistics
import struct
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import trio

from radics_mesh.vmm import abi
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.frames import Hello, Message
from radics_mesh.vmm.launch import Launch, launch
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.outputs import Output, Send, Subscribe
from radics_mesh.vmm.probe import kernel

GUESTS = Path(__file__).parent / "guests"
SHM = Path("/dev/shm")
MESSAGE_BYTES = 60000  # two of them fit into a stream's window
_ROUND_TRIPS = 200
_FLOOD_BYTES = 48 << 20
_RAW_BYTES = 256 << 20


@dataclass(frozen=True)
class Speed:
    """MB a second, and processor time of each side in ns a byte: what binds is the larger one."""

    mb_s: float
    host_ns: float
    guest_ns: float


def cpu_s(pid: int, name: str = "") -> float:
    """Processor time so far of a process's threads, or of those whose names begin so."""
    used = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if (task / "comm").read_text().startswith(name):
                used += int((task / "schedstat").read_text().split()[0])
    return used / 1e9


class _Guest:
    """A machine whose sends to .../end are waited for, and everything acknowledged."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._number = 1
        self._ended = trio.Event()
        self.subscribed = trio.Event()

    async def attend(self) -> None:
        async for event in self.machine.events:
            if not isinstance(event, Output):
                continue
            await self.machine.acknowledge(event.number)
            if isinstance(event.body, Subscribe):
                self.subscribed.set()
            elif isinstance(event.body, Send) and event.body.to == "dtn://host/end":
                self._ended.set()

    async def ask(self, *messages: Message) -> None:
        """Deliver them, and wait for the guest's word."""
        self._ended = trio.Event()
        await self.machine.deliver(1, self._number, messages)
        self._number += len(messages)
        await self._ended.wait()


@contextlib.asynccontextmanager
async def _running(folder: Path) -> AsyncIterator[_Guest]:
    image = folder / "channel.img"
    build_image([GUESTS / "channel.c"], image)
    image.chmod(0o444)
    directory = folder / "vm"
    directory.mkdir()
    hello = Hello("bench", "dtn://vm.bench/", "here", "dtn://here/")
    machine = await launch(Launch(directory, SHM, image, 64 << 20, "tcg", hello))
    with trio.fail_after(300):
        async with trio.open_nursery() as nursery:
            guest = _Guest(machine)
            nursery.start_soon(guest.attend)
            await nursery.start(machine.run)
            await guest.subscribed.wait()
            yield guest
            await machine.kill()
            nursery.cancel_scope.cancel()


async def _timed(guest: _Guest, total_bytes: int, *messages: Message) -> Speed:
    pid = guest.machine.pid
    host, vm, began = time.process_time(), cpu_s(pid), time.perf_counter()
    await guest.ask(*messages)
    took = time.perf_counter() - began
    return Speed(
        total_bytes / took / 1e6,
        (time.process_time() - host) / total_bytes * 1e9,
        (cpu_s(pid) - vm) / total_bytes * 1e9,
    )


def _median(speeds: list[Speed]) -> Speed:
    return sorted(speeds, key=lambda speed: speed.mb_s)[len(speeds) // 2]


async def measure(folder: Path, rounds: int) -> tuple[float, Speed, Speed]:
    """Round trip in ms; throughput from the guest and to it."""
    count = _FLOOD_BYTES // MESSAGE_BYTES
    total = count * MESSAGE_BYTES
    body = os.urandom(MESSAGE_BYTES - 1)
    many = [Message(b"-" + body)] * (count - 1) + [Message(b"l" + body)]
    send = Message(b"s".ljust(8, b"\0") + struct.pack("<QQ", count, MESSAGE_BYTES))
    assert abi.MESSAGE_MAX >= MESSAGE_BYTES
    async with _running(folder) as guest:
        trips = []
        for _ in range(_ROUND_TRIPS):
            began = time.perf_counter()
            await guest.ask(Message(b"e"))
            trips.append((time.perf_counter() - began) * 1e3)
        out = [await _timed(guest, total, send) for _ in range(rounds)]
        into = [await _timed(guest, total, *many) for _ in range(rounds)]
    return statistics.median(trips), _median(out), _median(into)


# --- the console alone ---


def console_limit(folder: Path, *, out: bool) -> float:
    """MB a second that QEMU's virtio-console moves when nobody looks at the bytes."""
    size, depth = (65536, 4) if out else (4096, 16)
    image = _console(folder, out=out, size=size, depth=depth)
    with _console_running(folder, image) as (to_guest, from_guest):
        return _pull(to_guest, from_guest) if out else _push(to_guest, from_guest)


def _console(folder: Path, *, out: bool, size: int, depth: int) -> Path:
    elf, flat = folder / "console.elf", folder / "console.bin"
    define = {"OUT": int(out), "SIZE": size, "DEPTH": depth, "TOTAL": f"{_RAW_BYTES}u"}
    subprocess.run(
        (
            *(
                "gcc",
                "-m32",
                "-O2",
                "-ffreestanding",
                "-fno-pic",
                "-no-pie",
                "-nostdlib",
                "-static",
            ),
            *("-fno-asynchronous-unwind-tables", "-Wl,--build-id=none", "-Wl,-Ttext=0x100000"),
            *("-Wl,-N", "-Wl,-e,console", "-Wl,--no-warn-rwx-segments"),
            *(f"-D{name}={value}" for name, value in define.items()),
            *("-o", elf, GUESTS / "console.c"),
        ),
        check=True,
    )
    sections = ("-j", ".text", "-j", ".rodata", "-j", ".data")
    subprocess.run(("objcopy", "-O", "binary", *sections, elf, flat), check=True)
    image = folder / "console.img"
    image.write_bytes(kernel(flat.read_bytes()))
    return image


@contextlib.contextmanager
def _console_running(folder: Path, image: Path) -> Iterator[tuple[int, int]]:
    """To it and from it: the host's ends of its pipes."""
    line = folder / "console"
    for end in ("in", "out"):
        os.mkfifo(f"{line}.{end}")
    descriptors = [os.open(f"{line}.{end}", os.O_RDWR) for end in ("in", "out")]
    for descriptor in descriptors:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 1 << 20)
    process = subprocess.Popen(
        (
            *("qemu-system-x86_64", "-M", "microvm,acpi=off", "-accel", "tcg", "-m", "16"),
            *("-nodefaults", "-no-user-config", "-display", "none", "-kernel", image),
            *("-global", "virtio-mmio.force-legacy=false"),
            *("-device", "virtio-serial-device,max_ports=1"),
            *("-chardev", f"pipe,id=ch,path={line}", "-device", "virtconsole,chardev=ch"),
        ),
        stdin=subprocess.DEVNULL,
    )
    try:
        yield descriptors[0], descriptors[1]
    finally:
        process.kill()
        process.wait()
        for descriptor in descriptors:
            os.close(descriptor)
        for end in ("in", "out"):
            Path(f"{line}.{end}").unlink()


def _pull(to_guest: int, from_guest: int) -> float:
    # Half a pipe ahead, one byte for 64 KiB: a full pipe loses bytes.
    os.write(to_guest, b"." * 8)
    began, got, allowed = time.perf_counter(), 0, 0
    while got < _RAW_BYTES:
        got += len(os.read(from_guest, 1 << 20))
        if got // 65536 > allowed:
            os.write(to_guest, b"." * (got // 65536 - allowed))
            allowed = got // 65536
    return got / (time.perf_counter() - began) / 1e6


def _push(to_guest: int, from_guest: int) -> float:
    piece = bytes(1 << 18)

    def write() -> None:
        sent = 0
        while sent < _RAW_BYTES:
            sent += os.write(to_guest, piece)

    began = time.perf_counter()
    with _beside(write):
        os.read(from_guest, 1)
    return _RAW_BYTES / (time.perf_counter() - began) / 1e6


@contextlib.contextmanager
def _beside(work: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()
