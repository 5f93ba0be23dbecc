"""What fuzzing has found stays found, and a little of it runs with all tests."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.fuzzing.guided import Fuzzer
from tests.fuzzing.targets import VECTORS, Target, fed, targets

TARGETS = {target.name: target for target in targets()}
PINNED = sorted((VECTORS / "fuzz").glob("*.hex"))
STEPS = 150


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.stem)
def test_a_finding_stays_mended(path: Path) -> None:
    target = TARGETS[path.name.partition("-")[0]]
    assert fed(target, bytes.fromhex(path.read_text())) is None


@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run(name: str) -> None:
    fuzzer = Fuzzer(TARGETS[name], Random(name))
    began = fuzzer.edges
    for _ in range(STEPS):
        fuzzer.step()
    assert fuzzer.findings == []
    assert fuzzer.edges > began > 0  # it sees what it is guided by


def test_what_is_wrong_is_found() -> None:
    """A target that breaks on one byte behind a check that must be passed first."""

    def feed(data: bytes) -> None:
        TARGETS["beacon"].feed(data)
        assert not data.startswith(b"\x02\x0f"), "broken"

    target = Target("beacon", feed, TARGETS["beacon"].seeds)
    fuzzer = Fuzzer(target, Random(1))
    for _ in range(3000):
        fuzzer.step()
        if fuzzer.findings:
            break
    (finding,) = fuzzer.findings
    assert "broken" in finding.error
    assert fed(target, finding.data) is not None
