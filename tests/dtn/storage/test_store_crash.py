"""The store beside a model, with the power cut at every single write.

Hypothesis drives a store in a recorded process (tests/power_loss). Afterwards the recording is
replayed write by write: after each the disk may hold what was synced, or that and any part of the
rest, and a store that is opened there must keep what the process had been told by then.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import trio
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from radics_mesh.dtn.storage.database import FILE_FROM_BYTES
from radics_mesh.dtn.storage.store import BundleStore
from tests.dtn.storage.store_driver import LIVE_MAX, bundle_id, payload
from tests.dtn.world import HandClock
from tests.power_loss import build_recorder
from tests.power_loss.disk import Disk, Record, read_recording

ROOT = Path(__file__).parents[3]
# More in `make crashes`.
EXAMPLES = int(os.environ.get("STORE_CRASHES", "2"))
numbers = st.integers(0, 4)
sizes = st.sampled_from([0, 100, 10_000, FILE_FROM_BYTES + 1])


@dataclass
class Told:
    """What the process has been told is safe: sizes of what is held, by number."""

    held: dict[int, int] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)
    sequence: int = 0

    def hear(self, line: str) -> None:
        what, *values = line.split()
        numbers = [int(value) for value in values]
        match what, numbers:
            case "held", [number, size]:
                self.held[number] = size
                self.dropped.discard(number)
            case "leaving", [number]:
                del self.held[number]
            case "finished", [number]:
                self.finished.add(number)
            case "dropped", [number]:
                self.dropped.add(number)
            case "sequence", [number]:
                self.sequence = number
            case "adding", added:  # may be there from now on, told or not
                self.dropped -= set(added)

    async def check(self, directory: Path) -> None:
        store = BundleStore.open(
            directory, quota_bytes=1 << 30, clock=HandClock(), live_max=LIVE_MAX
        )
        with closing(store):
            assert store.counters["isolated"] == 0
            assert store.bytes_held == sum(held.size_bytes for held in store)
            for number, size in self.held.items():
                held = store.find(bundle_id(number))
                assert held is not None
                assert await store.read(held) == payload(number, size)
            for number in self.finished:
                assert not store.holds(bundle_id(number))
                assert store.seen(bundle_id(number))
            for number in self.dropped:
                assert not store.holds(bundle_id(number))
            assert await store.sequence() > self.sequence


class Recorded:
    """A driver process whose disk is recorded, for many examples."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.recording = place / "recording"
        self.root = place / "root"
        self.root.mkdir()
        recorder = build_recorder(place / "record.so")
        environment = {
            "LD_PRELOAD": str(recorder),
            "RECORD_ROOT": str(self.root),
            "RECORD_LOG": str(self.recording),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.dtn.storage.store_driver"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **environment},
            text=True,
        )
        self.seen_bytes = 0

    def ask(self, line: str) -> list[str]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        answer = []
        while (said := self.process.stdout.readline().strip()) != "done":
            assert said or self.process.poll() is None, "the driver has ended"
            answer.append(said)
        return answer

    def news(self) -> list[Record]:
        """What was recorded since the last time."""
        with self.recording.open("rb") as file:
            file.seek(self.seen_bytes)
            content = file.read()
        self.seen_bytes += len(content)
        return list(read_recording(content))

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class Machine(RuleBasedStateMachine):
    recorded: ClassVar[Recorded]
    examples: ClassVar[int] = 0
    cuts: ClassVar[int] = 0

    @initialize()
    def begin(self) -> None:
        type(self).examples += 1
        self.directory = self.recorded.root / str(self.examples)
        self.recorded.ask(f"open {self.directory}")
        # In every history, however short.
        self.recorded.ask(f"add 0 100 1 {FILE_FROM_BYTES + 1}")
        self.recorded.ask("finish 0")

    @rule(some=st.lists(st.tuples(numbers, sizes), min_size=1, max_size=3))
    def add(self, some: list[tuple[int, int]]) -> None:
        once = dict(some)
        asked = " ".join(f"{number} {size}" for number, size in once.items())
        self.recorded.ask(f"add {asked}")

    @rule(number=numbers, how=st.sampled_from(["finish", "drop"]))
    def leave(self, number: int, how: str) -> None:
        self.recorded.ask(f"{how} {number}")

    @rule()
    def sequence(self) -> None:
        self.recorded.ask("sequence")

    @rule()
    def reopen(self) -> None:
        self.recorded.ask(f"open {self.directory}")

    def teardown(self) -> None:
        """Cut the power after each write."""
        if not hasattr(self, "directory"):
            return
        disk, told, chance, before = Disk(), Told(), random.Random(1), None
        for record in self.recorded.news():
            if record.kind == "o":
                for line in record.data.decode().splitlines():
                    told.hear(line)
            else:
                disk.apply(record)
            safe = disk.after_power_loss()
            if safe != before or record.kind == "o":
                before = safe
                self._cut(disk, told, None)
            if record.kind in "wtru":
                self._cut(disk, told, chance)

    def _cut(self, disk: Disk, told: Told, torn: random.Random | None) -> None:
        type(self).cuts += 1
        with TemporaryDirectory(dir=self.recorded.place) as place:
            disk.image(Path(place), torn)
            directory = Path(place) / str(self.directory).lstrip("/")
            directory.mkdir(parents=True, exist_ok=True)
            trio.run(told.check, directory)


def test_every_write_may_be_the_last(tmp_path: Path) -> None:
    Machine.recorded = Recorded(tmp_path)
    try:
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=6,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )
    finally:
        Machine.recorded.close()
    print(f"{Machine.examples} histories, {Machine.cuts} cuts of the power")
    assert Machine.cuts > 0
