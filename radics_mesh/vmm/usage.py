"""What the kernel says of a QEMU: who it is, what it may, what it takes. Read from /proc."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.errors import GuestError

_UNLIMITED = "unlimited"
# As the limits are called in /proc/PID/limits, and by people.
_LIMITS = {
    "Max address space": "address space",
    "Max file size": "file size",
    "Max open files": "open files",
    "Max core file size": "core file",
    "Max processes": "processes",
}
SECCOMP_FILTER = 2


@dataclass(frozen=True)
class Usage:
    """`seccomp`: the kernel's mode, SECCOMP_FILTER being a list of system calls. `limits`: by name,
    None being none. `cgroup`: that of version 2 or, without one, all. `pss_bytes`: with its part of
    what it shares with others. `descriptors`: what it has open, by number."""

    pid: int
    command: tuple[str, ...]
    uid: int
    no_new_privileges: bool
    seccomp: int
    capabilities: int
    limits: dict[str, int | None]
    cgroup: str
    pss_bytes: int
    cpu_s: float
    descriptors: dict[int, str]


def of(pid: int) -> Usage:
    """GuestError when it has ended, or is none of ours. Blocks for a moment."""
    place = Path(f"/proc/{pid}")
    try:
        status = _fields(place / "status")
        return Usage(
            pid=pid,
            command=tuple((place / "cmdline").read_text().rstrip("\0").split("\0")),
            uid=int(status["Uid"].split()[1]),
            no_new_privileges=status.get("NoNewPrivs") == "1",
            seccomp=int(status.get("Seccomp", "0")),
            capabilities=int(status["CapEff"], 16),
            limits=_limits((place / "limits").read_text()),
            cgroup=_cgroup((place / "cgroup").read_text()),
            pss_bytes=int(_fields(place / "smaps_rollup").get("Pss", "0 kB").split()[0]) << 10,
            cpu_s=_cpu_s((place / "stat").read_text()),
            descriptors=_descriptors(place / "fd"),
        )
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise GuestError(f"nothing can be known of QEMU {pid}: {error}") from error


def _fields(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: value.strip() for name, _, value in lines}


def _limits(text: str) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for line in text.splitlines():
        columns = re.split(r"\s{2,}", line)
        if len(columns) > 1 and columns[0] in _LIMITS:
            soft = columns[1]
            found[_LIMITS[columns[0]]] = None if soft == _UNLIMITED else int(soft)
    return found


def _cgroup(text: str) -> str:
    lines = text.split()
    return next((line[3:] for line in lines if line.startswith("0::")), " ".join(lines))


def _cpu_s(stat: str) -> float:
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _descriptors(place: Path) -> dict[int, str]:
    found = {}
    for entry in place.iterdir():
        try:
            found[int(entry.name)] = os.readlink(entry)
        except OSError:  # closed meanwhile
            continue
    return found
