"""QEMUs of the guest's bench, one run at a time: what each of them gives for the figures."""

from __future__ import annotations

import contextlib
import statistics
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.guest_channel import cpu_s
from radics_mesh.vmm.image import loaded_pages
from tests.guest.channel_host import PAGE, Host
from tests.guest.seen import World

X86 = (
    *("qemu-system-x86_64", "-M", "microvm,acpi=off", "-accel", "tcg"),
    *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"),
    *("-name", "bench,debug-threads=on"),
)
AARCH64 = (
    *("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72", "-accel", "tcg"),
    *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"),
    *("-name", "bench,debug-threads=on"),
)
QEMU = {"x86_64": X86, "aarch64": AARCH64}
EMULATING = "CPU 0/TCG"  # the name of the thread that does
PATIENCE_S = 60

Sample = tuple[float, ...]


class Running:
    """A QEMU, and the lines of its serial console with the moments at which they came."""

    def __init__(self, process: subprocess.Popen[bytes], began: float) -> None:
        self.pid = process.pid
        self._process, self._began = process, began

    def line(self) -> tuple[str, float, float]:
        """The next one; seconds and QEMU's processor seconds since its start."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline().decode(errors="replace").rstrip()
        return text, time.perf_counter() - self._began, cpu_s(self.pid)

    def after(self, word: str) -> tuple[float, float]:
        """The moments of the first line that begins so."""
        while True:
            text, wall, cpu = self.line()
            if text.startswith(word):
                return wall, cpu
            if self._process.poll() is not None:
                raise RuntimeError(f"QEMU ended before it said {word}")


@contextlib.contextmanager
def running(
    arguments: Sequence[str | Path], *, arch: str = "x86_64", mb: int = 64
) -> Iterator[Running]:
    began = time.perf_counter()
    with subprocess.Popen(
        (*QEMU[arch], "-m", str(mb), *map(str, arguments)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield Running(process, began)
        finally:
            process.kill()


def by_turns(rounds: int, *measurements: Callable[[], Sample]) -> list[list[Sample]]:
    """So that what else the machine does hits all alike."""
    taken: list[list[Sample]] = [[] for _ in measurements]
    for _ in range(rounds):
        for samples, once in zip(taken, measurements, strict=True):
            samples.append(once())
    return taken


def middle(samples: Sequence[Sample]) -> list[float]:
    return [statistics.median(column) for column in zip(*samples, strict=True)]


def medians(rounds: int, *measurements: Callable[[], Sample]) -> list[list[float]]:
    return [middle(samples) for samples in by_turns(rounds, *measurements)]


# --- what is measured ---


def memory_mb(pid: int, guest_mb: int) -> tuple[float, float]:
    """QEMU's RSS, and how much of it is the guest's RAM."""
    total = ram = 0.0
    size = 0
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        word, _, rest = line.partition(":")
        if word == "Size":
            size = int(rest.split()[0])
        elif word == "Rss":
            resident = int(rest.split()[0]) / 1024
            total += resident
            ram += resident if size == guest_mb << 10 else 0
    return total, ram


def first_output(
    arguments: Sequence[str | Path], word: str, arch: str = "x86_64", mb: int = 64
) -> Sample:
    """ms from QEMU's start; its RSS in MB without the guest's RAM, and that RAM; its CPU's ms, and
    those of the emulating thread alone."""
    with running(arguments, arch=arch, mb=mb) as qemu:
        wall, cpu = qemu.after(word)
        emulating = cpu_s(qemu.pid, EMULATING)
        total, ram = memory_mb(qemu.pid, mb)
    return wall * 1e3, total - ram, ram, cpu * 1e3, emulating * 1e3


def entry(image: Path, arch: str = "x86_64") -> Sample:
    """ms from the kernel's first instruction to main; CPU ms of the emulating thread until then."""
    with running(("-kernel", image), arch=arch) as qemu:
        return float(qemu.line()[0]), cpu_s(qemu.pid, EMULATING) * 1e3


def sections(arguments: Sequence[str | Path]) -> Sample:
    """us of QEMU's processor time an operation, in the order of costs.c."""
    each = []
    with running(arguments, mb=128) as qemu:
        before: tuple[int, float] | None = None
        while True:
            text, _, cpu = qemu.line()
            words = text.split()
            if len(words) != 2 or words[0] not in (
                "call",
                "yield",
                "futex",
                "pipe",
                "fault",
                "end",
            ):
                continue
            if before is not None:
                each.append((cpu - before[1]) / before[0] * 1e6)
            if words[0] == "end":
                return tuple(each)
            before = int(words[1]), cpu


def work(arguments: Sequence[str | Path]) -> Sample:
    """Processor seconds that work.c takes."""
    with running(arguments, mb=128) as qemu:
        _, began = qemu.after("begin")
        _, _, ended = qemu.line()
    return (ended - began,)


def boots(image: Path, arch: str, kib: int) -> bool:
    """Whether the plain command says hello with so much memory."""
    arguments = (*QEMU[arch], "-m", f"{kib}K", "-kernel", str(image))
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=5)
        return done.stdout == b"hello\n"
    return False


def smallest_mb(image: Path, arch: str) -> float:
    low, high = 1024, 16384  # KiB; too few, enough
    while high - low > 128:
        middle = (low + high) // 2
        low, high = (low, middle) if boots(image, arch, middle) else (middle, high)
    return high / 1024


def loaded_bytes(elf: bytes) -> int:
    """What its segments have in the file."""
    table_at, size, count = struct.unpack_from("<Q14xHH", elf, 32)
    headers = (struct.unpack_from("<II6Q", elf, table_at + i * size) for i in range(count))
    return sum(header[5] for header in headers if header[0] == 1)


def park_once(image: Path) -> Sample:
    """Park request to PARKED in ms, `cont` to the hello's answer in ms, snapshot in KiB."""
    loaded = loaded_pages(image.read_bytes(), 32 << 20)
    with Host(image, World()) as host:
        host.until_ready()
        asked = time.monotonic()
        host.ask_park()
        host.until(lambda: host.parked is not None)
        park = (time.monotonic() - asked) * 1e3
        host.kill()
        pages = host.pages()
    own = [index for index, page in pages.items() if loaded.get(index) != page]
    with Host(image, World(), snapshot=pages) as host:
        host.until_ready()
        assert host.continued is not None
        warm = (time.monotonic() - host.continued) * 1e3
    return park, warm, len(own) * PAGE / 1024
