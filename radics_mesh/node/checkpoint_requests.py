"""What the control socket answers about checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radics_mesh.errors import UsageError
from radics_mesh.node import vm_rows
from radics_mesh.node.services import Services


class CheckpointRequests:
    """One of requests.GROUPS."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def checkpoint(self, name: str, every_s: float | None) -> Mapping[str, Any]:
        elsewhere = vm_rows.not_here(self._node, name)
        if elsewhere is not None:
            raise UsageError(elsewhere)
        await self._node.hosting.checkpoint(name, every_s)
        vm = self._node.hosting.vm(name)
        return {"name": vm.name, "checkpoints": vm_rows.checkpoints_row(vm)}
