"""A control group for each QEMU, where this node may make some: version 2, and its own to divide.

That is so where the service manager has delegated the node's group to it (systemd: Delegate=yes),
and on a machine of which the node is all. The kernel lets a group below the root either have
processes or divide its controllers, so the node moves itself into a leaf first. Elsewhere there are
RLIMITs (radics_mesh.vmm.qemu) and signals (radics_mesh.vmm.throttle).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Self

import structlog

log = structlog.get_logger(__name__)

_CONTROLLERS = ("cpu", "memory")
_LEAF = "radics-node"
_PREFIX = "radics-qemu-"
_PERIOD_US = 100_000
# QEMU's own, beside its guest's memory: 15 MB and up to 32 of translated code, and some air.
_OWN_BYTES = 128 << 20


class Groups:
    """Made by `here`. Blocking, for moments."""

    def __init__(self, parent: Path, controllers: frozenset[str]) -> None:
        self._parent = parent
        self._controllers = controllers

    @classmethod
    def here(cls) -> Self | None:
        """Below the node's own group; None: it may not make any."""
        own = _own()
        if own is None:
            return None
        group, is_root = own
        try:
            offered = (group / "cgroup.controllers").read_text().split()
            controllers = frozenset(offered) & frozenset(_CONTROLLERS)
            if not controllers:
                return None
            if not is_root:
                (group / _LEAF).mkdir(exist_ok=True)
                (group / _LEAF / "cgroup.procs").write_text("0")  # the writer itself
            wanted = " ".join(f"+{name}" for name in sorted(controllers))
            (group / "cgroup.subtree_control").write_text(wanted)
        except OSError as error:
            log.info("no control groups", reason=str(error))
            return None
        return cls(group, controllers)

    def enclose(self, pid: int, memory_bytes: int, share: float) -> bool:
        """Put a QEMU into a group of its own that may use so much; `share` of a processor, 0: all.
        Whether its share is kept there."""
        group = self._parent / f"{_PREFIX}{pid}"
        try:
            self.sweep()
            group.mkdir(exist_ok=True)
            if "memory" in self._controllers:
                (group / "memory.max").write_text(str(memory_bytes + _OWN_BYTES))
            if "cpu" in self._controllers:
                most = str(int(share * _PERIOD_US)) if share else "max"
                (group / "cpu.max").write_text(f"{most} {_PERIOD_US}")
            (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            log.warning("no control group for a qemu", pid=pid, reason=str(error))
            return False
        return "cpu" in self._controllers

    def sweep(self) -> None:
        """Remove those whose QEMU is gone; the kernel keeps the others."""
        for group in self._parent.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                group.rmdir()


def _own() -> tuple[Path, bool] | None:
    """The node's group, and whether it is the root; None without version 2."""
    try:
        names = Path("/proc/self/cgroup").read_text().splitlines()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    name = next((line[3:] for line in names if line.startswith("0::/")), None)
    for line in mounts:
        place, _, kind = line.partition(" - ")
        root, mount = place.split()[3:5]
        if kind.startswith("cgroup2 ") and root == "/" and name is not None:
            return Path(mount) / name[1:], name == "/"
    return None
