"""QEMUs of VMs that this node does not remember: it ended while one stood by for a VM that never
came, or before a VM's first row was written. Nothing would ever end them."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

import structlog

from radics_mesh.errors import GuestError
from radics_mesh.ids import VmId
from radics_mesh.vmm import adoption, qemu

log = structlog.get_logger(__name__)


async def end_strays(root: Path, known: Collection[VmId]) -> None:
    """On return only VMs that are known have QEMUs and directories below `root`."""
    if not root.is_dir():
        return
    names = {vm_id.text for vm_id in known}
    for directory in [path for path in root.iterdir() if path.name not in names]:
        try:
            await _end_stray(directory)
        except (GuestError, OSError) as error:
            log.warning("a stray stays", vm=directory.name, reason=str(error))


async def _end_stray(directory: Path) -> None:
    process = await adoption.find(directory / "lock")
    if process is not None:
        log.warning("orphan killed", vm=directory.name, pid=process.pid)
        await adoption.end(process, directory / "lock")
    files = qemu.Files.read(directory)
    if files is not None:
        files.discard()
    shutil.rmtree(directory)
