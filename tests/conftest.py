from __future__ import annotations

import pytest
from trio.testing import MockClock


@pytest.fixture
def real_time_jumps(mock_clock: MockClock) -> MockClock:
    """A clock that runs at its usual rate (threads and guests are real) and can jump ahead."""
    mock_clock.rate = 1.0
    return mock_clock
