"""A VM that is saved under one version of QEMU and resumed under another: `make test-versions`.

A snapshot is all that a move carries, so what holds here holds for moves between hosts whose QEMUs
are of different versions. The counter finds every message once, whatever was under way.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.hosting.test_service import finish, post, publish_lines, run_counter
from tests.hosting.world import Site, World, fnv, until

SECOND = Path(__file__).parents[2] / ".cache" / "second-qemu" / "root" / "usr" / "bin"
LINES = 300


def version_of(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split("version ")[1].split()[0]


async def go_on(site: Site, path: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Resume it under the QEMU that is found first on `path`; its version."""
    with monkeypatch.context() as patch:
        patch.setenv("PATH", path)
        await site.hosting.resume("counter")
    pid = site.vm().pid
    assert pid is not None
    await until(lambda: site.has())
    return version_of(os.readlink(f"/proc/{pid}/exe"))


async def test_there_and_back_between_versions(
    world: World,
    either_counter: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = os.environ["PATH"]
    a = await world.start(0)
    lines = publish_lines(tmp_path / "text", LINES)
    await a.sources.publish("text", tmp_path / "text", 60.0)
    await run_counter(a, either_counter, a, ("text",))
    vm, versions = a.vm().vm_id, []
    await until(lambda: "lines 20 at node0 1" in a.reports)
    for path in (f"{SECOND}:{installed}", installed):
        await a.hosting.save("counter")
        await post(a, vm, 3)
        versions.append(await go_on(a, path, monkeypatch))
        seen = len(a.reports)
        await until(lambda seen=seen: len(a.reports) > seen + 2)  # type: ignore[misc]
    await finish(a, vm, a, 6)
    assert set(a.deliveries.values()) == {1}
    assert [r for r in a.reports if r.startswith("end")] == [f"end {LINES} {fnv(lines)} 0"]
    assert versions[0] != versions[1]
    print(f"\ncounter went on under QEMU {versions[0]}, then under {versions[1]}")
