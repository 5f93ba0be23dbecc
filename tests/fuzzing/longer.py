"""A pytest plugin for `python -m tests.fuzzing`: more examples, and new ones each time."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "longer",
    max_examples=500,
    deadline=None,
    derandomize=False,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("longer")
