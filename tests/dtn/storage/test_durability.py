"""Acknowledged means safe: after SIGKILL at any moment, and after power loss at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from radics_mesh.dtn.storage.store import BundleStore
from tests.dtn.storage.store_child import payload
from tests.dtn.world import HandClock
from tests.patience import PATIENCE_S
from tests.power_loss import build_recorder
from tests.power_loss.disk import Disk, read_recording

ROOT = Path(__file__).parents[3]


@dataclass
class Promises:
    """What the child has been told is safe."""

    held: set[int] = field(default_factory=set)
    delivered: set[int] = field(default_factory=set)
    sequences: set[int] = field(default_factory=set)

    def note(self, lines: str) -> None:
        for line in lines.splitlines():
            kind, number = line.split()
            told = {"held": self.held, "delivered": self.delivered, "sequence": self.sequences}
            told[kind].add(int(number))


async def check(directory: Path, promises: Promises) -> None:
    """The store in `directory` keeps every promise."""
    store = BundleStore.open(directory, quota_bytes=1 << 30, clock=HandClock())
    with closing(store):
        there = {held.bundle_id.sequence: held for held in store}
        assert store.counters["isolated"] == 0
        for number in promises.held - promises.delivered:
            held = there.get(number)
            if held is None:  # delivered, but the child had not been told yet
                assert number % 3 == 0
                continue
            assert await store.read(held) == payload(number)
        assert not promises.delivered & set(there)
        if promises.sequences:
            assert await store.sequence() > max(promises.sequences)


def start(directory: Path, first: int, count: int, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.dtn.storage.store_child",
            str(directory),
            str(first),
            str(count),
        ],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


async def test_sigkill(tmp_path: Path) -> None:
    """Four lives in one directory, each ended in the middle of its work."""
    promises = Promises()
    for life in range(4):
        child = start(tmp_path, life * 1000, 1000)
        assert child.stdout is not None
        with child.stdout:
            for _ in range(60 + 17 * life):
                promises.note(child.stdout.readline().decode())
            child.send_signal(signal.SIGKILL)
            promises.note(child.stdout.read().decode().rpartition("\n")[0])
        assert child.wait() == -signal.SIGKILL
        await check(tmp_path, promises)
    assert len(promises.held) > 60


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_recorder(tmp_path_factory.mktemp("recorder") / "record.so")


async def test_power_loss(tmp_path: Path, recorder: Path) -> None:
    """At every tenth step of a recorded run, unsynced writes lost or partly there."""
    root, recording = tmp_path / "store", tmp_path / "recording"
    child = start(
        root, 0, 20, LD_PRELOAD=str(recorder), RECORD_ROOT=str(root), RECORD_LOG=str(recording)
    )
    out, _ = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 0
    records = list(read_recording(recording.read_bytes()))
    assert b"".join(r.data for r in records if r.kind == "o") == out
    assert any(r.kind == "s" and "large" in r.path for r in records)
    disk, promises, chance = Disk(), Promises(), random.Random(5050)
    for step, record in enumerate(records):
        if record.kind == "o":
            promises.note(record.data.decode())
        disk.apply(record)
        if step % 10 == 0 or step == len(records) - 1:
            for torn in (None, chance):
                image = tmp_path / f"{step}-{'lost' if torn is None else 'torn'}"
                disk.image(image, torn)
                directory = image / str(root).lstrip("/")
                directory.mkdir(parents=True, exist_ok=True)
                await check(directory, promises)
    assert len(promises.held) == 20
