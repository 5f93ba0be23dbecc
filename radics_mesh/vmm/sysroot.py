"""Static libraries and headers of another architecture than this host's.

Debian's packages of the other architecture are downloaded and unpacked into a folder of the
checkout's cache, once; nothing is installed, and this host's packages stay of one architecture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from radics_mesh.errors import UsageError
from radics_mesh.vmm.tools import GUEST_LIB, cross_prefix, one_at_a_time, run_tool

_CHECKOUT = GUEST_LIB.parent
_SCRIPT = _CHECKOUT / "scripts" / "sysroot.sh"


def root(arch: str, needed: str, packages: Sequence[str], tell: Callable[[str], None]) -> Path:
    """The folder below which the packages' files lie as in a root; `needed` is a pattern for one
    of them. This host's own packages have to be installed.

    UsageError where they are not, or could not be had.
    """
    if not cross_prefix(arch):
        if not any(Path("/").glob(needed)):
            raise UsageError(f"install {' '.join(packages)}")
        return Path("/")
    return unpacked(arch, arch, needed, packages, tell)


def unpacked(
    name: str, arch: str, needed: str, packages: Sequence[str], tell: Callable[[str], None]
) -> Path:
    """The same without a look at what is installed: a folder of that name in the cache."""
    folder = _CHECKOUT / ".cache" / "sysroot" / name
    with one_at_a_time(folder.parent):
        if not any(folder.glob(needed)):
            tell(f"downloading {', '.join(packages)} for {arch}")
            command: list[str | Path] = ["sh", _SCRIPT, arch, folder, *packages]
            run_tool(command, f"getting Debian's packages for {arch}")
    return folder
