"""`snapshots`: what it prints, and that damage is an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from radics_mesh.control_shapes.kept import SnapshotRow
from tests.cli.test_commands import answering, node, radics

ROW = SnapshotRow(
    vm="wc",
    id="x",
    digest="ab" * 32,
    epoch=3,
    use="state",
    pages=100,
    alone=2_000_000,
    shared=500_000,
    age_s=7.0,
)


async def test_ls(tmp_path: Path) -> None:
    answer = {"snapshots": [ROW], "used": 2_500_000, "quota": 1 << 32}
    async with node(tmp_path, snapshots=answering(answer, {})):
        done = await radics("snapshots", "ls", state=tmp_path)
    (head, line) = done.stdout.decode().splitlines()
    assert head.split() == ["VM", "EPOCH", "DIGEST", "USE", "PAGES", "ALONE", "SHARED", "AGE"]
    assert "wc" in line
    assert line.split()[:5] == ["wc", "3", "abababababab", "state", "100"]
    assert done.stderr == b"2.5 MB of 4.3 GB used\n"


@pytest.mark.parametrize("damage", [[], ["page 400 of its memory: it is not here"]])
async def test_verify(tmp_path: Path, damage: list[str]) -> None:
    answer = {"verdicts": [{"snapshot": ROW, "damage": damage}]}
    async with node(tmp_path, snapshot_verify=answering(answer, {})):
        done = await radics("snapshots", "verify", state=tmp_path)
    said = damage[0] if damage else "100 pages, all good"
    assert said in done.stdout.decode()
    assert done.returncode == bool(damage)
    assert done.stderr == (b"error: 1 of 1 snapshots are damaged\n" if damage else b"")


async def test_rm_export_and_import(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}
    file = tmp_path / "wc.vm"
    for request, words, answer, said in (
        ("rm", ["wc"], {"freed": 1000}, "wc abababababab removed, 1.0 kB freed"),
        ("export", ["wc", str(file)], {"bytes": 1000}, f"wc abababababab: 1.0 kB in {file}"),
        ("import", [str(file)], {"mended": True}, "wc abababababab: whole again"),
        ("import", [str(file)], {"mended": False}, "wc abababababab: kept, for `recover`"),
    ):
        whole = {"snapshot": ROW, **answer}
        async with node(tmp_path, **{f"snapshot_{request}": answering(whole, seen)}):
            done = await radics("snapshots", request, *words, state=tmp_path)
        assert done.stdout.decode() == said + "\n"
        file.touch()
    assert seen == {"snapshot": "wc", "file": str(file)}
