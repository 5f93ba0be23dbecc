"""A short journey on every run; `make parks N=1000 SEED=7 ARCH=aarch64` goes further."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.guest import parks


@pytest.mark.parametrize(("arch", "n"), [("x86_64", 30), ("aarch64", 20)])
def test_parks_at_random_moments_make_no_difference(tmp_path: Path, arch: str, n: int) -> None:
    parks.travel(parks.build(tmp_path, arch), n, seed=2)
