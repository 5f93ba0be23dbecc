"""Where log lines go: to stderr, so that stdout holds answers only."""

from __future__ import annotations

import sys

import structlog


def log_to_stderr(level: int) -> None:
    """`level` as in the logging module."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
