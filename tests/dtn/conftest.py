"""What most tests of agents begin with."""

from __future__ import annotations

import pytest

from tests.dtn.world import Members, TrioClock


@pytest.fixture
def members() -> Members:
    return Members(TrioClock())
