"""How `join` ends: the node runs in a process of its own and is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

# A node's stand-in is all that a process needs that only shows how it is stopped: the real one is
# stopped by the scenarios.
PROGRAM = """
import sys, trio
from pathlib import Path
from radics_mesh.cli.join import until_signal
from radics_mesh.config import Config

async def run(config, announce):
    announce("up")
    try:
        await trio.sleep_forever()
    finally:
        announce("closed")

trio.run(until_signal, run, Config(state=Path("unused"), name="x"))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_the_node_in_order(number: signal.Signals) -> None:
    with trio.fail_after(10):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        heard = b""
        while b"up\n" not in heard:
            heard += await process.stdout.receive_some()
        process.send_signal(number)
        async for chunk in process.stdout:
            heard += chunk
        assert await process.wait() == 0
    assert heard == f"up\nstopping ({number.name})\nclosed\n".encode()


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
