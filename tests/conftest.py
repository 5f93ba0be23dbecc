from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from trio.testing import MockClock

# No bound on time, and the same examples each time: a test that is red says something of the change
# that it was run for. `make test ARGS=--hypothesis-profile=wild` looks for more.
settings.register_profile("wild", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("steady", settings.get_profile("wild"), derandomize=True)
if settings.get_current_profile_name() in ("default", "ci"):  # else `make fuzz-dtn` has its own
    settings.load_profile("steady")


@pytest.fixture
def real_time_jumps(mock_clock: MockClock) -> MockClock:
    """A clock that runs at its usual rate (threads and guests are real) and can jump ahead."""
    mock_clock.rate = 1.0
    return mock_clock
