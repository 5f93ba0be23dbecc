"""The short form; `make fuzz-guest SECONDS=600` goes on for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest.fuzz import build_fuzz, life


@pytest.mark.parametrize(("arch", "calls"), [("x86_64", 150_000), ("aarch64", 50_000)])
def test_wild_system_calls(tmp_path: Path, arch: str, calls: int) -> None:
    image = build_fuzz(tmp_path, arch)
    for seed in (1, 2):
        assert life(image, seed, calls) == "alive"


def test_wild_system_calls_in_little_memory(tmp_path: Path) -> None:
    assert life(build_fuzz(tmp_path, "x86_64"), 3, 50_000, 10) in ("alive", "out of memory")
