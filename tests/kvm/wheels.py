"""Our pinned Python packages for a machine of another architecture or Python than this one.

The same lock file with the same hashes as `make setup` uses; only wheels, so nothing is compiled.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from radics_mesh.errors import UsageError

_DEADLINE_S = 600
# The newest glibc (2.N) whose wheels Debian 12 can use, down to the oldest that anybody builds for.
_GLIBC_MINORS = range(36, 11, -1)


def installed(
    directory: Path, lock: Path, names: Sequence[str], arch: str, python: tuple[int, int]
) -> Path:
    """A directory for that machine's PYTHONPATH with the packages, and nothing they depend on.

    UsageError: the lock lacks one, or there is no wheel for the machine.
    """
    pins = "".join(_pin(lock.read_text(), name) for name in names)
    key = hashlib.sha256(f"{arch} {python} {pins}".encode()).hexdigest()[:16]
    site = directory / f"site-{key}"
    if not site.exists():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        (directory / "lock").write_text(pins)
        unfinished = directory / "unfinished"
        _install(unfinished, directory / "lock", arch, python)
        unfinished.rename(site)
    return site


def _pin(lock: str, name: str) -> str:
    """The lock's lines for one package: its version and hashes."""
    found = re.search(rf"^{re.escape(name)}==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    if found is None:
        raise UsageError(f"the lock file does not pin {name}")
    return found[0]


def _install(target: Path, lock: Path, arch: str, python: tuple[int, int]) -> None:
    platforms = [f"manylinux_2_{minor}_{arch}" for minor in _GLIBC_MINORS]
    platforms.append(f"manylinux2014_{arch}")
    command = [
        *(sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"),
        *("--target", str(target), "--require-hashes", "--no-deps", "--only-binary=:all:"),
        *("--no-compile", "--implementation", "cp", "--python-version", f"{python[0]}.{python[1]}"),
        *(word for platform in platforms for word in ("--platform", platform)),
        *("-r", str(lock)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S)
    if done.returncode:
        failure = UsageError(f"pip found no packages for Python {python[0]}.{python[1]} on {arch}")
        failure.add_note((done.stderr + done.stdout).strip())
        raise failure
