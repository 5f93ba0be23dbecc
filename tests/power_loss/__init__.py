"""Power loss, replayed: a recording of what a process asked of the disk, and any moment of it.

`record.c` is preloaded into a process and notes every write, truncation, rename, removal and sync
below one directory, and every line on standard output, in the order in which they were done. Told
so by a page of memory that it shares (`page`), it also ends the process at a chosen durable step,
has the disk full, or another day begun.
`disk` makes of a prefix of that recording the directory as it may look after power came back.
"""

from __future__ import annotations

import subprocess
from pathlib import Path


def build_recorder(library: Path) -> Path:
    """Compile record.c for LD_PRELOAD."""
    source = Path(__file__).parent / "record.c"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o", library, source, "-ldl"],
        check=True,
    )
    return library
