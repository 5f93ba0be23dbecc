"""`make hundred` with three VMs: it measures what it says, and finds nothing wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenarios import hundred


async def test_a_few_of_the_hundred(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await hundred.play(tmp_path, 3)
    said = capsys.readouterr().out
    assert "3 VMs of 16 MB up after" in said
    assert said.count("  yes  ") == 4
