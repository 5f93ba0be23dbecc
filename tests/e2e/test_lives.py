"""A VM's life on a real node, by the commands that people type."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import trio

from radics_mesh.vmm.build import build_image
from tests.e2e.conftest import MakePeer
from tests.e2e.test_images import command, shown
from tests.hosting.conftest import PROGRAMS
from tests.patience import PATIENCE_S


async def test_limits_are_seen_and_kill_ends(make_peer: MakePeer, tmp_path: Path) -> None:
    image = tmp_path / "lives.img"
    build_image([PROGRAMS / "lives.c"], image)
    a = make_peer("A")
    with trio.fail_after(PATIENCE_S):
        await a.start("--no-scheduler", "--pool", "0", "--quota", "A=vms:2,memory:64")
        limits = ("--restart", "on-failure:3", "--cpu", "50%", "--messages", "9", "--storage", "8")
        await command(a, "run", str(image), "--name", "one", "--memory", "16", *limits)
        await shown(a, "running", "ps")
        said = await command(a, "inspect", "one")
        for line in (
            "state        running",
            "member       A, quota: 1 of 2 VMs, ",
            "restart      on-failure:3, begun anew 0 times in a row",
            "cpu          50 % of one",
            "messages     9/s",
            "sandbox      seccomp filter, no new privileges, capabilities 0x0",
        ):
            assert line in said
        assert re.search(r"^qemu +\d+\.\d+\.\d+, tcg$", said, re.MULTILINE)
        assert re.search(r"^command +\S*qemu-system-x86_64 -M ", said, re.MULTILINE)
        await command(a, "run", str(image), "--name", "two", "--memory", "16")
        said = await command(a, "run", str(image), "--name", "three", "--memory", "16", status=1)
        assert "the quota of A on A is 2 VMs, and it has 2" in said
        said = await command(a, "run", str(image), "--name", "x", "--restart", "often", status=1)
        assert "not a restart policy: 'often'" in said
        row = await a.vm("two")
        assert row is not None
        os.kill(row["pid"], signal.SIGSTOP)  # its guest would answer nobody
        assert "two" in await command(a, "kill", "two")
        assert "stopped" in await command(a, "ps")
        assert "qemu         does not run" in await command(a, "inspect", "two")
