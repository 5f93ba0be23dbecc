"""The set-up script where it cannot do its work: one line that says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parent.parent / "scripts" / "setup.sh"
TOOLS = ["sh", "dirname", "uname", "mkdir", "sed", "date", "id"]


def test_another_system_is_told_what_to_install(tmp_path: Path) -> None:
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / tool).symlink_to(found)
    done = subprocess.run(
        [str(SCRIPT)], env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("setup: error: this is not Debian; install these and run again: QEMU")
    assert "missing: qemu-system-x86_64 qemu-system-aarch64 g++ gcc make tshark ip" in line
    assert "-linux-gnu-g++" in line
