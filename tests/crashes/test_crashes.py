"""The campaign of `make crashes`, a few kills of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crashes.traffic import Campaign
from tests.power_loss import build_recorder


@pytest.mark.parametrize("loses_unsynced", [False, True])
async def test_what_a_killed_node_acknowledged_arrives_once(
    tmp_path: Path, loses_unsynced: bool
) -> None:
    recorder = build_recorder(tmp_path / "record.so") if loses_unsynced else None
    accounts = await Campaign(tmp_path, 2, recorder).run(2)
    assert accounts.kills == 2
    assert len(accounts.acknowledged) >= 2
    assert not accounts.lost
    assert not accounts.twice
