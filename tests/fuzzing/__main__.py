"""`python -m tests.fuzzing SECONDS [--seed N]`: what was run, what was found; 1 if anything was."""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import time
from pathlib import Path
from random import Random

from tests.fuzzing.guided import Finding, Fuzzer, fuzz
from tests.fuzzing.targets import VECTORS, targets

PINNED = VECTORS / "fuzz"
# Properties that hypothesis holds against the same parsers.
PROPERTIES = (
    "wire/test_bundle",
    "wire/test_blocks",
    "wire/test_sdnv",
    "trust/test_security",
    "layers/test_tcpcl",
    "layers/test_ipnd",
)
# Of the time, what hypothesis gets; the rest is shared by the targets.
_SHARE = 0.25


def pin(finding: Finding) -> Path:
    """For tests/fuzzing/test_fuzz.py, which feeds it again in every run of the tests."""
    PINNED.mkdir(exist_ok=True)
    name = f"{finding.target}-{hashlib.sha256(finding.data).hexdigest()[:12]}.hex"
    path = PINNED / name
    path.write_text(finding.data.hex() + "\n")
    return path


def guided(seconds: float, seed: int) -> int:
    found = 0
    every = targets()
    print(f"{'target':<12}{'inputs':>10}{'edges':>8}{'kept':>7}{'findings':>10}", flush=True)
    for target in every:
        fuzzer = Fuzzer(target, Random(f"{seed} {target.name}"))
        fuzz(fuzzer, seconds / len(every))
        counts = fuzzer.runs, fuzzer.edges, len(fuzzer.corpus), len(fuzzer.findings)
        print(
            f"{target.name:<12}{counts[0]:>10}{counts[1]:>8}{counts[2]:>7}{counts[3]:>10}",
            flush=True,
        )
        for finding in fuzzer.findings:
            print(f"  {finding.error}\n  {pin(finding)}", flush=True)
        found += len(fuzzer.findings)
    return found


def properties(seconds: float, seed: int) -> bool:
    """The properties again and again with new examples until the time is over."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.fuzzing.longer"]
    command += ["-m", "hypothesis", *(f"tests/dtn/{name}.py" for name in PROPERTIES)]
    until, rounds, held = time.monotonic() + seconds, 0, True
    while held and time.monotonic() < until:
        rounds += 1
        again = [*command, f"--hypothesis-seed={seed * 1000 + rounds}"]
        held = subprocess.run(again, check=False).returncode == 0
    print(f"properties: {rounds} rounds, {'held' if held else 'broken'}", flush=True)
    return held


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    found = guided(options.seconds * (1 - _SHARE), options.seed)
    held = properties(options.seconds * _SHARE, options.seed)
    print(f"guided: {found} findings; properties {'held' if held else 'broken'}")
    return 1 if found or not held else 0


if __name__ == "__main__":
    sys.exit(main())
