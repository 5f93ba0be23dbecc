"""One node with a real process, whose disk forgets on power loss what was not synced."""

from __future__ import annotations

import os
import random
import shutil
import signal
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from radics_mesh.control import ControlClient
from radics_mesh.errors import MeshError
from radics_mesh.vmm.process import Process
from tests.faults.zygote import Zygote
from tests.power_loss.disk import Disk, read_recording
from tests.power_loss.page import Page

UP_WITHIN_S = 20.0
GUEST_MEMORY_BYTES = 64 << 20
# Written by QEMU itself, or of no content: not in the recording.
_NOT_RECORDED = frozenset({"stderr", "lock"})


class RecordingError(Exception):
    """The recording is not what was done to the directory: nothing that is built on it counts."""


class DownError(Exception):
    """A node cannot be started with what is on its disk."""


@dataclass
class Node:
    """`place` is on a tmpfs; `neighbours`: addresses of those that it may talk with."""

    name: str
    place: Path
    host: str
    port: int
    zygote: Zygote
    neighbours: list[str] = field(default_factory=list)
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.state = self.place / "state"
        self.ram = self.place / "ram"
        self.log = self.place / "log"
        self.recording = self.place / "recording"
        self.client = ControlClient(self.state)
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.ram.mkdir(exist_ok=True)
        self.page = Page(self.place / "page")
        self.power_losses = 0
        self._disk = Disk()
        self._read_bytes = 0
        self._process: Process | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    # --- its process ----------------------------------------------------------------------------

    async def start(self) -> None:
        """Until it answers."""
        self.page.spare()
        if not self.recording.exists():
            self._take_for_safe()
        pid = self.zygote.fork(
            name=self.name,
            state=self.state,
            ram=self.ram,
            log=self.log,
            recording=self.recording,
            page=self.page.path,
            listen=self.address,
            neighbours=self.neighbours,
            memory_bytes=GUEST_MEMORY_BYTES,
            settings=dict(self.settings),
        )
        self._process = Process(pid, os.pidfd_open(pid))
        with trio.fail_after(UP_WITHIN_S):
            while self.is_alive:
                if await self.ask("nodes") is not None:
                    return
                await trio.sleep(0.02)
        raise DownError(f"{self.name} does not start:\n{self._last_words()}")

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    @property
    def is_alive(self) -> bool:
        return self._process is not None and _is_alive(self._process.pid)

    async def ended(self) -> None:
        """Until its process is gone."""
        if self._process is not None:
            await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL to the node alone: its guests go on."""
        if self._process is not None:
            self._process.signal()
            await self._process.wait()
            self._process = None

    def pause(self) -> None:
        if self._process is not None:
            self._process.signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._process is not None:
            self._process.signal(signal.SIGCONT)

    async def ask(self, request: str, **params: object) -> dict[str, Any] | None:
        """None when it says no or nothing."""
        with suppress(MeshError, OSError, trio.BrokenResourceError):
            return await self.client.call(request, **params)
        return None

    async def row(self, name: str) -> dict[str, Any] | None:
        """The row of a VM that it hosts."""
        answer = await self.ask("ps")
        rows = answer["vms"] if answer else []
        return next((row for row in rows if row["name"] == name and row["local"]), None)

    # --- power ----------------------------------------------------------------------------------

    async def power_off(self, torn: random.Random | None) -> None:
        """Node and guests end at once; what was not on the medium is gone, or torn."""
        await self.kill()
        for pid in list(self.qemus()):
            with suppress(ProcessLookupError):
                qemu = Process(pid, os.pidfd_open(pid))
                qemu.signal()
                await qemu.wait()
        shutil.rmtree(self.ram)
        self.ram.mkdir()
        self.power_losses += 1
        self._catch_up()
        self._check_recording()
        left = self._disk.after_power_loss(torn)
        _empty(self.state)
        for name, (content, mode) in left.items():
            path = Path(name)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.write_bytes(content)
            path.chmod(mode)
        self._take_for_safe()

    def alter(self, path: Path, content: bytes) -> None:
        """What the medium does to a file while the node is down, synced or not."""
        self._catch_up()
        path.write_bytes(content)
        self._disk.hold(str(path), content)

    def copy_state(self, to: Path) -> None:
        """The medium's copy; the node is down."""
        self._catch_up()
        shutil.copytree(self.state, to, ignore=_no_special_files)

    async def put_back(self, copy: Path) -> None:
        """Another medium is put in: an earlier copy of it."""
        await self.power_off(None)
        _empty(self.state)
        shutil.copytree(copy, self.state, dirs_exist_ok=True)
        self._take_for_safe()

    def qemus(self) -> Iterator[int]:
        """Its QEMUs, seen from outside."""
        return qemus_below(self.place)

    def _take_for_safe(self) -> None:
        """All that is in the directory now is on the medium."""
        self._disk = Disk()
        for path, mode in _regular(self.state):
            self._disk.hold(str(path), path.read_bytes(), mode)
        self.recording.write_bytes(b"")
        self._read_bytes = 0

    def _catch_up(self) -> None:
        with self.recording.open("rb") as file:
            file.seek(self._read_bytes)
            content = file.read()
        self._read_bytes += len(content)
        for record in read_recording(content):
            self._disk.apply(record)

    def _check_recording(self) -> None:
        """RecordingError unless the recording makes of the first state exactly the present one."""
        modes = dict(_regular(self.state))
        there = {str(path): path.read_bytes() for path in modes if path.name not in _NOT_RECORDED}
        seen = {
            name: content
            for name, content in self._disk.seen().items()
            if Path(name).name not in _NOT_RECORDED and not name.endswith("-shm")
        }
        wrong = {n for n in there.keys() | seen.keys() if there.get(n) != seen.get(n)}
        wrong = {name for name in wrong if not name.endswith("-shm")}
        if wrong:
            raise RecordingError(f"{self.name}: recorded otherwise than done: {sorted(wrong)}")
        for path, mode in modes.items():
            self._disk.set_mode(str(path), mode)

    async def end(self) -> None:
        """It and its guests, and nothing stays."""
        await self.kill()
        end_qemus(self.place)
        self.page.close()


def qemus_below(place: Path) -> Iterator[int]:
    """Processes of QEMU that hold a file below a directory."""
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(OSError):
            is_qemu = Path(f"/proc/{pid}/comm").read_text().startswith("qemu-system")
            if is_qemu and any(name.startswith(f"{place}/") for name in _open_files(pid)):
                yield pid


def end_qemus(place: Path) -> None:
    for pid in list(qemus_below(place)):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _open_files(pid: int) -> Iterator[str]:
    for name in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):
            yield os.readlink(f"/proc/{pid}/fd/{name}")


def _regular(directory: Path) -> Iterator[tuple[Path, int]]:
    """Regular files below, with their modes."""
    for path in sorted(directory.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            yield path, stat.S_IMODE(mode)


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _no_special_files(directory: str, names: list[str]) -> list[str]:
    """Sockets and pipes do not last."""
    modes = {name: os.lstat(os.path.join(directory, name)).st_mode for name in names}
    return [n for n, m in modes.items() if not (stat.S_ISREG(m) or stat.S_ISDIR(m))]
