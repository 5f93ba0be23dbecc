"""Peers as a scenario sees them: real processes with a state directory and a port each."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import trio

from radics_mesh.control import ControlClient
from radics_mesh.errors import MeshError, UsageError

HOST = "127.0.0.1"
_UP_WITHIN_S = 60.0
Found = TypeVar("Found")


# Below those that systems give to who asks for any port, so that nobody gets one of a peer that is
# down for the moment.
_PORTS = range(20_000, 32_000)
# What this process has reserved.
_reserved: list[socket.socket] = []


def free_port() -> int:
    """A port that is free for both TCP and UDP, and stays a peer's as long as this process lives,
    whoever else uses this function, and however often the peer ends and begins."""
    for port in random.sample(_PORTS, 200):
        # A name, in the same network namespace as the ports, that ends with its holder.
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0radics-port-{port}")
            with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                tcp.bind((HOST, port))
                udp.bind((HOST, port))
        except OSError:
            name.close()
            continue
        _reserved.append(name)
        return port
    raise UsageError("no port is free for both TCP and UDP")


async def until(found: Callable[[], Awaitable[Found | None]]) -> Found:
    """What `found` finds, once it does: another process has no event that we could wait for."""
    while True:
        result = await found()
        if result is not None:
            return result
        await trio.sleep(0.03)


class Peer:
    """One peer on this machine. It is started as a user would start it, by the command `within`
    if there is one (which enters a network namespace, say).
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.within: tuple[str, ...] = ()
        self.host = HOST
        self.state = directory / name
        self.port = free_port()
        self.client = ControlClient(self.state)
        self.log = directory / f"{name}.log"
        self._arguments: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    async def start(self, *arguments: str) -> None:
        """Start it and wait until it answers; UsageError with its last words when it does not.

        Without arguments: as it was started the last time.
        """
        if arguments:
            self._arguments = list(arguments)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self.within,
                    *(sys.executable, "-m", "radics_mesh", "join"),
                    *("--state", str(self.state), "--name", self.name, "--listen", self.address),
                    *self._arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        with trio.move_on_after(_UP_WITHIN_S):
            while self._process.poll() is None:
                try:
                    await self.call("nodes")
                except MeshError:
                    await trio.sleep(0.05)
                else:
                    return
        raise UsageError(f"peer {self.name} did not come up:\n{self.last_words()}")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def call(self, request: str, **params: object) -> dict[str, Any]:
        return await self.client.call(request, **params)

    async def vm(self, name: str) -> dict[str, Any] | None:
        """The row of a VM that this peer hosts; None if it hosts none of that name."""
        rows: list[dict[str, Any]] = (await self.call("ps"))["vms"]
        return next((row for row in rows if row["name"] == name and row["local"]), None)

    def sigkill(self) -> None:
        """What a power switch does to a process."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.sigkill()

    def last_words(self, lines: int = 15) -> str:
        if not self.log.exists():
            return "(it said nothing)"
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])


async def stop_all(peers: Sequence[Peer]) -> None:
    """End the peers and the VMs on them; also when a scenario failed half way."""
    with trio.CancelScope(shield=True):
        for peer in peers:
            with trio.move_on_after(10):
                await _stop_vms(peer)
            peer.stop()
            _end_qemus(peer.state)


async def _stop_vms(peer: Peer) -> None:
    """End what runs there; what has ended already says so, and that is all right."""
    with suppress(MeshError):
        for row in (await peer.call("ps"))["vms"]:
            with suppress(UsageError):
                if row["local"]:
                    await peer.call("stop", name=row["name"])


def _end_qemus(state: Path) -> None:
    """Those of a node that was killed, and not started again, wait for it for good."""
    for process in psutil.process_iter(["name"]):
        if not process.info["name"].startswith("qemu-system"):
            continue
        with suppress(OSError, psutil.Error):
            # Its output goes to a file of the VM, or of the pool.
            if Path(f"/proc/{process.pid}/fd/1").readlink().is_relative_to(state):
                process.kill()
