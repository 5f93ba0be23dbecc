"""How a QEMU is started: its command line, what it may touch, who it runs as.

QEMU gets every file as an open descriptor (RAM, image, pipes, the listening socket, the lock), so
it needs no right to any directory and runs as nobody when the node is root. It is a session of its
own, so that it outlives the node; the node comes back to it over the same pipes and socket.

What a VM's directory holds (`Files`):
  lock           see radics_mesh.vmm.lock
  vm.json        where RAM and image are, for adoption
  channel/       the pipes to the guest, see radics_mesh.vmm.pipes
  qmp            Unix socket on which QEMU listens
  stderr         what QEMU said
"""

from __future__ import annotations

import grp
import json
import os
import platform
import pwd
import secrets
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trio

from radics_mesh.errors import CapacityError, GuestError, LinkError, UsageError, WireError
from radics_mesh.vmm import lock, pipes
from radics_mesh.vmm.architecture import Architecture
from radics_mesh.vmm.image import PAGE_BYTES, architecture_of
from radics_mesh.vmm.process import Process
from radics_mesh.vmm.qmp import Qmp

MEMORY_UNIT_BYTES = 1 << 20
MEMORY_MIN_BYTES = 2 << 20
UNPRIVILEGED_USER = "nobody"

# Guests of a few megabytes need little translated code; QEMU's default is up to a gigabyte.
_TCG_CACHE_MIB = 32
# Address space beyond the guest's RAM: measured 380 MB with that cache.
_ADDRESS_SPACE_BYTES = 1 << 30
_OPEN_FILES = 128
_STDERR_TAIL_BYTES = 2000
_QMP_DEADLINE_S = 20.0


@dataclass(frozen=True)
class Files:
    """Where one VM's QEMU has its things."""

    directory: Path
    ram: Path
    image: Path
    memory_bytes: int

    @property
    def lock(self) -> Path:
        return self.directory / "lock"

    @property
    def channel(self) -> Path:
        return self.directory / "channel"

    @property
    def stderr(self) -> Path:
        return self.directory / "stderr"

    @classmethod
    def name(cls, directory: Path, ram_directory: Path, image: Path, memory_bytes: int) -> Files:
        """Names for a new QEMU; its RAM file's is like no other."""
        if memory_bytes < MEMORY_MIN_BYTES or memory_bytes % MEMORY_UNIT_BYTES:
            raise UsageError("a VM's memory is a whole number of MiB, at least 2")
        ram = ram_directory / f"radics-{os.getuid()}-{secrets.token_hex(8)}.ram"
        return cls(directory, ram, image, memory_bytes)

    def write(self) -> None:
        """For `read` after the node's end. Not synced: no QEMU survives a power loss."""
        aside = self.directory / ".vm.json"
        content = {"ram": str(self.ram), "image": str(self.image), "memory": self.memory_bytes}
        aside.write_text(json.dumps(content))
        aside.replace(self.directory / "vm.json")

    @classmethod
    def read(cls, directory: Path) -> Files | None:
        try:
            content = json.loads((directory / "vm.json").read_text())
            ram, image = Path(content["ram"]), Path(content["image"])
            return cls(directory, ram, image, int(content["memory"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @property
    def architecture(self) -> Architecture:
        """Whose machine the image is for. UsageError when it cannot be read or is none."""
        return image_architecture(self.image)

    def stderr_tail(self) -> str:
        """The end of what QEMU said, for a message to people."""
        try:
            return self.stderr.read_bytes()[-_STDERR_TAIL_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def discard(self) -> None:
        """Remove the guest's memory and what only a running QEMU needs; the lock file stays."""
        _free(self.ram)
        pipes.remove(self.channel)
        for name in ("qmp", "vm.json"):
            (self.directory / name).unlink(missing_ok=True)


def _free(ram: Path) -> None:
    """Remove a guest's memory. The kernel takes tens of milliseconds to free what is large, once
    the last who has it open closes it: that is a thread here, for which nobody waits."""
    try:
        descriptor = os.open(ram, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    ram.unlink(missing_ok=True)
    threading.Thread(target=os.close, args=(descriptor,), name="frees memory").start()


def find(architecture: Architecture) -> str:
    """QEMU's path; UsageError with what to install."""
    path = shutil.which(architecture.binary)
    if path is None:
        raise UsageError(
            f"{architecture.binary} is missing, which {architecture.name} guests need: "
            f"install it (Debian: apt install {architecture.package})"
        )
    return path


@dataclass(frozen=True)
class Inheritance:
    """Open files that QEMU inherits, by number; `channel`: the pipes' path."""

    lock: int
    ram: int
    image: int
    qmp: int
    channel: str
    pipes: tuple[int, ...]

    @property
    def descriptors(self) -> tuple[int, ...]:
        return (self.lock, self.ram, self.image, self.qmp, *self.pipes)


def usable(accelerator: str, architecture: Architecture) -> str:
    """What a guest runs under on a host whose own guests run under `accelerator`."""
    return accelerator if architecture.name == platform.machine() else "tcg"


def arguments(
    architecture: Architecture,
    fds: Inheritance,
    memory_bytes: int,
    accelerator: str,
    *,
    paused: bool,
) -> list[str]:
    """The command line after the program's name.

    `/proc/self/fd/N` opens an inherited file again, past directories that QEMU may not enter.
    """
    memory = f"{memory_bytes // MEMORY_UNIT_BYTES}M"
    accel = f"tcg,tb-size={_TCG_CACHE_MIB}" if accelerator == "tcg" else accelerator
    ram = f"memory-backend-file,id=ram,size={memory},mem-path=/proc/self/fd/{fds.ram},share=on"
    return [
        *("-M", f"{architecture.machine},memory-backend=ram"),
        *("-accel", accel, "-cpu", architecture.cpu(accelerator)),
        *("-m", memory, "-object", ram),
        *("-kernel", f"/proc/self/fd/{fds.image}"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-global", "virtio-mmio.force-legacy=false"),
        *("-chardev", f"pipe,id=channel,path={fds.channel}"),
        *("-device", "virtio-serial-device,max_ports=1", "-device", "virtconsole,chardev=channel"),
        *("-chardev", f"socket,id=qmp,fd={fds.qmp},server=on,wait=off"),
        *("-mon", "chardev=qmp,mode=control"),
        *architecture.end,
        *("-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"),
        *(("-S",) if paused else ()),
    ]


async def start(files: Files, accelerator: str, *, paused: bool) -> Process:
    """Start a QEMU that holds the VM's lock. GuestError while another one lives.

    `accelerator`: for guests of this host's architecture; another's is emulated.
    `paused`: it loads the image, then waits for QMP's `cont`. CapacityError: no room for its RAM.
    """
    architecture = files.architecture
    program = find(architecture)
    accelerator = usable(accelerator, architecture)
    with ExitStack() as stack:
        held = lock.take(files.lock)
        if held is None:
            raise GuestError(f"a QEMU of {files.directory.name} is still alive")
        stack.callback(os.close, held)
        if (earlier := Files.read(files.directory)) is not None:
            earlier.discard()
        try:
            files.write()  # before there is a RAM file, which nobody would find after our end
            fds = _open(files, held, stack)
            options = arguments(architecture, fds, files.memory_bytes, accelerator, paused=paused)
            command = [*_limits(files.memory_bytes), program, *options]
            child = await trio.to_thread.run_sync(_spawn, command, fds.descriptors, files.stderr)
        except BaseException:
            files.discard()
            raise
    return Process.of_child(child)


def image_architecture(path: Path) -> Architecture:
    """UsageError when the image cannot be opened or is none."""
    try:
        with path.open("rb") as file:
            return architecture_of(file.read(PAGE_BYTES))
    except OSError as error:
        raise UsageError(f"cannot open the image {path}: {error.strerror}") from error
    except WireError as error:
        raise UsageError(f"{path}: {error}") from error


def _open(files: Files, held: int, stack: ExitStack) -> Inheritance:
    try:
        image = os.open(files.image, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"cannot open the image {files.image}: {error.strerror}") from error
    stack.callback(os.close, image)
    ram = _create_ram(files)
    stack.callback(os.close, ram)
    user, group, _ = _unprivileged()
    owner = None if user is None or group is None else (user, group)
    channel, ends = stack.enter_context(pipes.create(files.channel, owner))
    qmp = stack.enter_context(_listen(files.directory, "qmp"))
    return Inheritance(held, ram, image, qmp.fileno(), channel, ends)


def _create_ram(files: Files) -> int:
    room = os.statvfs(files.ram.parent)
    if room.f_bavail * room.f_frsize < files.memory_bytes:
        raise CapacityError(f"no room for {files.memory_bytes} bytes in {files.ram.parent}")
    descriptor = os.open(files.ram, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    os.ftruncate(descriptor, files.memory_bytes)
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED_USER)
        os.fchown(descriptor, user.pw_uid, user.pw_gid)
    return descriptor


def _spawn(
    command: Sequence[str], inherited: Sequence[int], stderr: Path
) -> subprocess.Popen[bytes]:
    user, group, groups = _unprivileged()
    with stderr.open("wb") as errors:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            pass_fds=inherited,
            start_new_session=True,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath)},
            user=user,
            group=group,
            extra_groups=groups,
        )


def _unprivileged() -> tuple[int | None, int | None, list[int] | None]:
    """User, group and more groups for QEMU: nobody when we are root, else who we are (None).

    /dev/kvm's group goes along, so that acceleration does not need root either.
    """
    if os.geteuid() != 0:
        return None, None, None
    groups: list[int] = []
    with suppress(KeyError):
        groups.append(grp.getgrnam("kvm").gr_gid)
    user = pwd.getpwnam(UNPRIVILEGED_USER)
    return user.pw_uid, user.pw_gid, groups


def _limits(memory_bytes: int) -> list[str]:
    """A command prefix: bounds for a QEMU that its guest has taken over.

    util-linux's prlimit sets them and becomes QEMU: without CAP_SYS_RESOURCE, as in a container,
    we could not limit a process of another user, and code between fork and exec is not safe here.
    """
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        return []
    return [
        prlimit,
        "--core=0",
        f"--nofile={_OPEN_FILES}",
        f"--as={memory_bytes + _ADDRESS_SPACE_BYTES}",
        f"--fsize={memory_bytes + MEMORY_UNIT_BYTES}",
    ]


@contextmanager
def _listen(directory: Path, name: str) -> Iterator[socket.socket]:
    (directory / name).unlink(missing_ok=True)
    with _short(directory) as short, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(f"{short}/{name}")
        listener.listen(4)
        yield listener


@contextmanager
def _short(directory: Path) -> Iterator[str]:
    """Another name for a directory, short enough for a Unix socket's 107 bytes."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


async def control(directory: Path, *, deadline_s: float = _QMP_DEADLINE_S) -> Qmp:
    """A negotiated QMP connection; LinkError: nobody listens, or answers in time."""
    try:
        with _short(directory) as short:
            qmp = Qmp(await trio.open_unix_socket(f"{short}/qmp"))
    except OSError as error:
        raise LinkError(f"QEMU does not listen: {error.strerror}") from error
    try:
        with trio.fail_after(deadline_s):
            await qmp.negotiate()
    except trio.TooSlowError as error:
        await trio.aclose_forcefully(qmp)
        raise LinkError("QEMU does not answer") from error
    except BaseException:
        await trio.aclose_forcefully(qmp)
        raise
    return qmp
