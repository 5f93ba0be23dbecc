"""What a language is asked for, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.vmm.baked import BakedFile


@dataclass(frozen=True)
class Job:
    """One program to make."""

    source: Path
    output: Path  # where the static ELF file goes
    arch: str
    flags: Sequence[str]  # for the language's own compiler; they come last, so they win
    debug: bool  # keep symbols
    library: Path  # the folder of libradics.a for `arch`
    tell: Callable[[str], None]  # hears one short line a step, and warnings


@dataclass(frozen=True)
class Made:
    """What there is beside `Job.output`."""

    files: Sequence[BakedFile] = ()  # to bake in
    start_bytes: int = 3 << 20  # memory that a program without a line of its own touches


# Makes `Job.output`. Raises UsageError.
Compiler = Callable[[Job], Made]
