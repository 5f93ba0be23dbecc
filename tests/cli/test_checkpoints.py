"""`checkpoint`: now, or by the clock; what `ps` shows of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from radics_mesh.control_shapes.vms import CheckpointsRow
from tests import answers
from tests.cli.test_commands import answering, node, radics

ROW = CheckpointsRow(every_s=10.0, commit_output=False, at=1.0, pause_s=0.0123, bytes=1 << 20)


@pytest.mark.parametrize(
    ("words", "every_s", "printed"),
    [
        ((), None, b"wc: checkpoint of 1.0 MB, stood still for 12 ms\n"),
        (("--every", "1.5"), 1.5, b"wc: a checkpoint every 1.5 s\n"),
        (("--every", "5min"), 300.0, b"wc: a checkpoint every 300 s\n"),
        (("--every", "off"), 0.0, b"wc: no checkpoints by the clock\n"),
    ],
)
async def test_checkpoint(
    tmp_path: Path, words: tuple[str, ...], every_s: float | None, printed: bytes
) -> None:
    seen: dict[str, Any] = {}
    answer = {"name": "wc", "checkpoints": ROW}
    async with node(tmp_path, checkpoint=answering(answer, seen)):
        done = await radics("checkpoint", "wc", *words, state=tmp_path)
    assert (done.stdout, done.returncode) == (printed, 0)
    assert seen == {"name": "wc", "every_s": every_s}


@pytest.mark.parametrize("interval", ["0", "0s", "often", "-1", "3 weeks"])
async def test_what_is_no_interval(tmp_path: Path, interval: str) -> None:
    done = await radics("checkpoint", "wc", f"--every={interval}", state=tmp_path)
    assert done.returncode == 2
    assert b"is no interval" in done.stderr


async def test_ps_says_how_long_the_last_one_took(tmp_path: Path) -> None:
    vm = {**answers.vm("wc"), "note": None, "pinned": False, "checkpoints": ROW}
    async with node(tmp_path, ps=answering({"vms": [vm]}, {})):
        done = await radics("ps", state=tmp_path)
    assert b"checkpoints every 10 s, the last took 12 ms" in done.stdout
