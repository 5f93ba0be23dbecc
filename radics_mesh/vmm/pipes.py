"""The line between a guest's console and the node: two named pipes that QEMU holds open.

Not a socket: QEMU's virtconsole drops what its character device cannot take at once, and a Unix
socket is full after some 280 small writes (each is charged 768 bytes). A pipe packs them densely,
and one of a megabyte takes all that a guest may send before it is acknowledged. Between two node
processes the line keeps what was on it; the channel's hello puts both sides in step again.

QEMU opens both ends of both pipes, so the line never breaks while QEMU lives.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

_NAME = "guest"
_FROM_GUEST_BYTES = (1 << 20, 1 << 19, 1 << 18)
# A stream's window and more. QEMU takes 4 KiB at a time, and each time it would wake up a writer
# who waits for room.
_TO_GUEST_BYTES = (1 << 18,)
_READ_BYTES = 1 << 20


@contextmanager
def create(directory: Path, user: tuple[int, int] | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    """New pipes in `directory`, which becomes QEMU's `user`'s (uid, gid; None: our own).

    Gives the path for QEMU's command line and the descriptors that QEMU must inherit: the
    directory, by which the path leads past others that QEMU may not enter, and an end of the
    guest's pipe, which keeps its capacity.
    """
    remove(directory)
    directory.mkdir(mode=0o700)
    for name in (f"{_NAME}.in", f"{_NAME}.out"):
        os.mkfifo(directory / name, 0o600)
        if user is not None:
            os.chown(directory / name, *user)
    if user is not None:
        os.chown(directory, *user)
    opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        held = os.open(f"{_NAME}.out", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=opened)
        try:
            _widen(held, _FROM_GUEST_BYTES)
            yield f"/proc/self/fd/{opened}/{_NAME}", (opened, held)
        finally:
            os.close(held)
    finally:
        os.close(opened)


def _widen(descriptor: int, capacities_bytes: tuple[int, ...]) -> None:
    for capacity in capacities_bytes:
        with suppress(OSError):  # over the user's or the system's limit
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, capacity)
            return


def remove(directory: Path) -> None:
    for name in (f"{_NAME}.in", f"{_NAME}.out"):
        (directory / name).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        directory.rmdir()


class Pipes:
    """The node's ends. Closing them leaves the guest as it is."""

    def __init__(self, directory: Path) -> None:
        """OSError when there are none."""
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._from_guest = os.open(directory / f"{_NAME}.out", os.O_RDONLY | flags)
        try:
            # For reading too, so that opening it waits for nobody and writing never fails.
            self._to_guest = os.open(directory / f"{_NAME}.in", os.O_RDWR | flags)
            _widen(self._to_guest, _TO_GUEST_BYTES)
        except BaseException:
            os.close(self._from_guest)
            raise

    async def receive(self) -> bytes:
        """What the guest has said; waits for something. Empty: QEMU has closed its end."""
        while True:
            await trio.lowlevel.wait_readable(self._from_guest)
            with suppress(BlockingIOError):
                return os.read(self._from_guest, _READ_BYTES)

    def rest(self) -> bytes:
        """The last words of a guest whose QEMU is gone."""
        said = bytearray()
        with suppress(BlockingIOError):
            while data := os.read(self._from_guest, _READ_BYTES):
                said += data
        return bytes(said)

    async def send(self, data: bytes) -> None:
        """Waits while the guest takes nothing."""
        view = memoryview(data)
        while view := view[self.write(view) :]:
            await trio.lowlevel.wait_writable(self._to_guest)

    def write(self, data: bytes | memoryview) -> int:
        """As much as there is room for now; how much that was."""
        try:
            return os.write(self._to_guest, data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        for descriptor in (self._from_guest, self._to_guest):
            trio.lowlevel.notify_closing(descriptor)
            os.close(descriptor)
