"""Tells the directory and the bundle agent what became of a VM, behind the VM's own work.

An announcement may wait for a network that is not there; the VM does not.
"""

from __future__ import annotations

from typing import Protocol

import structlog
import trio

from radics_mesh.directory.service import Directory
from radics_mesh.dtn.agent import Agent
from radics_mesh.errors import MeshError
from radics_mesh.hosting.table import VmRow
from radics_mesh.ids import VmId
from radics_mesh.ownership import Ownership
from radics_mesh.records import Kind
from radics_mesh.vmm.image_store import ImageStore

log = structlog.get_logger(__name__)


# A VM that starts is about to run, and whoever waits for that does not wait for this.
SETTLE_S = 0.1


class Subject(Protocol):
    @property
    def row(self) -> VmRow: ...

    @property
    def state(self) -> str: ...


class Notices:
    """The latest fact about each VM is announced; older ones that still wait are skipped."""

    def __init__(self, directory: Directory, agent: Agent, images: ImageStore) -> None:
        self._directory = directory
        self._agent = agent
        self._images = images
        self._due: dict[VmId, Subject] = {}
        self._woken = trio.Event()

    def running(self, vm: Subject) -> None:
        """It runs here."""
        self._put(vm)

    def ended(self, vm: Subject) -> None:
        """It is saved, has ended, or is another node's."""
        self._put(vm)

    def changed_hands(self, chain: Ownership) -> None:
        """Bundles for it go another way at once."""
        self._directory.learn_ownership(chain.pack())
        self._agent.routes_changed()

    def _put(self, vm: Subject) -> None:
        self._due[vm.row.vm_id] = vm
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken = trio.Event()
            while self._due:
                vm = self._due.pop(next(iter(self._due)))
                try:
                    await self._announce(vm)
                except (MeshError, OSError) as error:  # an image may be gone
                    log.warning("vm not announced", name=vm.row.name, reason=str(error))
            await self._woken.wait()
            await trio.sleep(SETTLE_S)

    async def _announce(self, vm: Subject) -> None:
        row, chain = vm.row, vm.row.tenure.chain
        if chain is None:
            return
        subject = row.vm_id.text
        if vm.state in ("moved", "released", "arriving"):
            await self._directory.withdraw(Kind.VM, subject)
            await self._directory.withdraw(Kind.VM_NAME, chain.name)
            return
        digest = await self._directory.put_object(chain.pack())
        image = chain.birth.image
        await self._directory.announce(
            Kind.VM,
            subject,
            {
                "name": row.name,
                "epoch": chain.epoch,
                "ownership": bytes(digest),
                "image": bytes(image),
                "state": vm.state,
                "memory": row.settings.memory_bytes,
                "policy": str(row.settings.policy),
            },
        )
        await self._directory.announce(Kind.VM_NAME, chain.name, {"vm": subject})
        size = self._images.path(image).stat().st_size
        arch = self._images.architecture(image).name
        await self._directory.announce(Kind.IMAGE, image.hex(), {"size": size, "arch": arch})
