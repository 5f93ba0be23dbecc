"""The guest library's own test programs as images, and what each says where it runs.

What a program says under KVM has to be what it says under TCG on this machine: faults, signals,
system calls and timers take other ways through the processor there.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import trio

from radics_mesh.vmm.build import build_image, build_kernel, compile_program
from radics_mesh.vmm.ends import End, Exited
from radics_mesh.vmm.frames import Hello
from radics_mesh.vmm.launch import Launch, launch
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.outputs import Log, Output
from radics_mesh.vmm.tools import GUEST_LIB

CHECKOUT = GUEST_LIB.parent
TRAVELLER = CHECKOUT / "tests" / "kvm" / "programs" / "traveller.cpp"
# Those whose output is the same each time.
SAME = (
    *("hello", "threads", "files", "plenty", "uncaught", "cornered", "timers", "waiting"),
    *("jailed", "signals", "memory", "overflow", "processor"),
)
SHM = Path("/dev/shm")
_MEMORY_BYTES = 64 << 20
_DEADLINE_S = 60.0
_STDERR = 1


def built(source: Path, directory: Path, arch: str) -> Path:
    """The program's image. What is compiled stays until a source of it is another one."""
    build_kernel(arch)
    library = GUEST_LIB / "build" / arch / "libradics.a"
    parts = [source, library, *sorted((GUEST_LIB / "include").iterdir())]
    key = hashlib.sha256(b"\0".join(part.read_bytes() for part in parts)).hexdigest()[:16]
    binary = directory / f"{source.stem}-{key}"
    if not binary.exists():
        for old in directory.glob(f"{source.stem}-*"):
            old.unlink()
        unfinished = directory / f".{source.stem}"
        compile_program([source], unfinished, arch=arch)
        unfinished.replace(binary)
    image = directory / f"{source.stem}.img"
    build_image([binary], image, arch=arch)
    image.chmod(0o444)
    return image


def source(name: str) -> Path:
    (path,) = (CHECKOUT / "tests" / "guest" / "programs").glob(f"{name}.c*")
    return path


async def said(image: Path, accelerator: str) -> str:
    """All that it writes, and how it ends, in a QEMU as a node starts it."""
    words: list[str] = []
    with tempfile.TemporaryDirectory(prefix="radics-") as name:
        hello = Hello(image.stem, "dtn://vm.x/", "host", "dtn://host/", argv=(f"/{image.stem}",))
        place = Launch(Path(name), SHM, image, _MEMORY_BYTES, accelerator, hello)
        machine = await launch(place)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(machine.run)
            with trio.move_on_after(_DEADLINE_S):
                await _listen(machine, words)
            if machine.ended is None:
                await machine.kill()
                await _listen(machine, words)
    return "".join(words)


async def _listen(machine: Machine, words: list[str]) -> None:
    async for event in machine.events:
        if isinstance(event, Output):
            await machine.acknowledge(event.number)
            words.append(_written(event))
        elif isinstance(event, Exited):  # why it did may name an address, which is by chance
            words.append(f"ended {event.how} {event.status}")
        elif isinstance(event, End):
            words.append(str(event))


def _written(output: Output) -> str:
    if isinstance(output.body, Log) and output.body.level <= _STDERR:
        return output.body.text.decode("utf-8", "replace")
    return ""
