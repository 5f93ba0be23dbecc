"""The whole status screen in a real terminal (a pty), over the node's restart."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from radics_mesh.control import SOCKET_NAME, Answer, ControlServer
from tests import answers
from tests.patience import PATIENCE_S


@asynccontextmanager
async def node(state: Path, name: str) -> AsyncIterator[None]:
    """A control server whose status says that it is `name`; gone on leaving."""
    server = ControlServer(state / SOCKET_NAME)
    status = answers.status()
    status["node"]["name"] = name

    async def once() -> Answer:
        return dict(status)

    async def watch(interval_s: float) -> AsyncGenerator[Answer, None]:
        while True:
            yield dict(status)
            await trio.sleep(interval_s)

    server.handle("status", once)
    server.handle_stream("watch", watch)
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run)
        yield
        nursery.cancel_scope.cancel()


class Terminal:
    """The near end of a pty of 80 columns and 24 rows."""

    def __init__(self) -> None:
        self.descriptor, self.far = pty.openpty()
        fcntl.ioctl(self.far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._written = b""

    async def shows(self, text: str) -> None:
        """Wait until the screen has been sent `text` anew."""
        while text.encode() not in self._written:
            await trio.lowlevel.wait_readable(self.descriptor)
            self._written += os.read(self.descriptor, 65536)
        self._written = self._written.partition(text.encode())[2]

    async def swallow(self) -> None:
        """Read on, so that the program never waits for its terminal."""
        while True:
            await trio.lowlevel.wait_readable(self.descriptor)
            try:
                os.read(self.descriptor, 65536)
            except OSError:  # EIO: the last process at the far end has left
                return


async def test_the_screen_survives_the_nodes_restart_and_quits(tmp_path: Path) -> None:
    terminal = Terminal()
    command = [sys.executable, "-m", "radics_mesh", "status", "--state", str(tmp_path)]
    environment = {**os.environ, "TERM": "xterm-256color"}
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            async with node(tmp_path, "barn"):
                process = await trio.lowlevel.open_process(
                    command, stdin=terminal.far, stdout=terminal.far, env=environment
                )
                os.close(terminal.far)
                await terminal.shows("barn  mesh")
            await terminal.shows("node is down, retrying")
            async with node(tmp_path, "mill"):
                await terminal.shows("mill  mesh")
                nursery.start_soon(terminal.swallow)
                os.write(terminal.descriptor, b"q")
                assert await process.wait() == 0
    os.close(terminal.descriptor)
