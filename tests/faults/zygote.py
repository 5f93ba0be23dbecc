"""Node processes by fork: the imports of a node take longer than a whole run.

The zygote has record.c preloaded and reads orders on its standard input, a line of JSON each. A
node is the program that `join` runs, with the same configuration, in a session of its own. Only
clocks are shorter: how long the product waits before it says something again, or gives up.
"""

from __future__ import annotations

import ctypes
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_PR_SET_PDEATHSIG = 1

# Names of the product's constants, and what they are here.
HASTE: dict[str, object] = {
    "REPEAT_FIRST_S": 0.4,
    "REPEAT_LAST_S": 2.0,
    "REPEAT_FROZEN_S": 1.0,
    "OFFER_S": 6.0,
    "FROZEN_S": 6.0,
    "RESERVED_S": 20.0,
    "QUIET_S": 0.4,
    "AFTER_MIN_S": 2,
}


class Zygote:
    """The harness's end of it."""

    def __init__(self, recorder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.zygote"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "LD_PRELOAD": str(recorder), "MALLOC_ARENA_MAX": "2"},
            text=True,
        )
        assert self._said() == "ready"

    def fork(self, **order: object) -> int:
        """Start a node; its pid."""
        assert self._process.stdin is not None
        print(json.dumps(order, default=str), file=self._process.stdin, flush=True)
        return int(self._said())

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def serve() -> None:
    os.environ.pop("LD_PRELOAD", None)
    _end_with_parent()
    import radics_mesh.cli.join
    import radics_mesh.node.run  # noqa: F401 - for the nodes

    _hasten()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps them
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become_node(json.loads(line))
        print(pid, flush=True)


def _end_with_parent() -> None:
    """Nothing is left when the harness is ended."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _hasten() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("radics_mesh."):
            for constant in HASTE.keys() & vars(module).keys():
                setattr(module, constant, HASTE[constant])


def _become_node(order: dict[str, Any]) -> None:
    """Never returns."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _end_with_parent()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        ctypes.CDLL(None).record_begin(
            *(str(order[name]).encode() for name in ("state", "recording", "page"))
        )
        _run_node(order)
        status = 0
    except BaseException:  # noqa: BLE001 - the process ends here, and its log says why
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _run_node(order: dict[str, Any]) -> None:
    import trio

    from radics_mesh.cli.join import until_signal
    from radics_mesh.cli.logs import log_to_stderr
    from radics_mesh.config import Address, Config
    from radics_mesh.node.run import run

    log_to_stderr(logging.INFO)
    config = Config(
        state=Path(order["state"]),
        name=order["name"],
        listen=Address.parse(order["listen"]),
        neighbours=tuple(map(Address.parse, order["neighbours"])),
        ram_directory=Path(order["ram"]),
        accelerator="tcg",
        scheduler=False,
        guest_memory_bytes=order["memory_bytes"],
        keepalive_s=2,
        redial_first_s=0.05,
        redial_max_s=0.4,
        publish_every_s=2.0,
        **order.get("settings", {}),
    )
    trio.run(until_signal, run, config)


if __name__ == "__main__":
    serve()
