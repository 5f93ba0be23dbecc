"""How `join` ends: the node runs in a process of its own and is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from radics_mesh.control import SOCKET_NAME
from tests.patience import PATIENCE_S


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_the_node_in_order(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "radics_mesh", "join", "--state", str(tmp_path)]
    options = ["--listen", "127.0.0.1:0", "--accelerator", "tcg"]
    with trio.fail_after(PATIENCE_S):
        process = await trio.lowlevel.open_process(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        heard = b""
        while b"watch it with:" not in heard:
            heard += await process.stdout.receive_some()
        assert (tmp_path / SOCKET_NAME).exists()
        process.send_signal(number)
        async for chunk in process.stdout:
            heard += chunk
        assert await process.wait() == 0
    assert heard.endswith(f"stopping ({number.name})\n".encode())
    assert not (tmp_path / SOCKET_NAME).exists()


async def test_a_state_directory_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    done = await trio.run_process(
        [sys.executable, "-m", "radics_mesh", "join", "--state", str(tmp_path / "file" / "x")],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env={**os.environ, "RADICS_DEBUG": ""},
    )
    assert done.stderr.startswith(b"error: cannot use ")
    assert done.stderr.count(b"\n") == 1
    assert done.returncode == 1
