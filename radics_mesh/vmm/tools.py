"""The programs that a build runs: compilers, linkers, make."""

from __future__ import annotations

import fcntl
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from radics_mesh.errors import UsageError

GUEST_LIB = Path(__file__).resolve().parents[2] / "guest_lib"


def run_tool(
    command: Sequence[str | Path],
    what: str,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """What the tool said; `environment` is added to ours.

    Raises UsageError: one line that says what failed, the tool's own words as a note.
    """
    try:
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            cwd=folder,
        )
    except FileNotFoundError as error:
        raise UsageError(f"{what}: {command[0]} is not installed") from error
    if done.returncode:
        failure = UsageError(f"{what} failed")
        text = (done.stderr + done.stdout).strip()
        if text:
            failure.add_note(text)
        raise failure
    return done.stdout


def cross_prefix(arch: str, host: str | None = None) -> str:
    """What the names of Debian's tools for `arch` begin with on this host; empty for its own."""
    same = arch == (host or platform.machine())
    return "" if same else f"{arch}-linux-gnu-"


@contextmanager
def one_at_a_time(directory: Path) -> Iterator[None]:
    """Two builds that make the same things in one directory would write over each other."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:  # a checkout of another user's: only make can say whether it is complete
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
