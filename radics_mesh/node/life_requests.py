"""What the control socket answers about the life of a VM: `kill`, `inspect`."""

from __future__ import annotations

import pwd
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import trio

from radics_mesh.control_shapes.vms import QemuInfo, VmInspection
from radics_mesh.errors import MeshError, UsageError
from radics_mesh.hosting.vm import Vm
from radics_mesh.ids import NodeId
from radics_mesh.node import vm_rows
from radics_mesh.node.services import Services
from radics_mesh.vmm import qemu, usage
from radics_mesh.vmm.machine import Machine

_ANSWER_S = 3.0
Answer = Mapping[str, Any]


class LifeRequests:
    def __init__(self, services: Services) -> None:
        self._node = services

    async def kill(self, name: str) -> Answer:
        self._refuse_remote(name)
        await self._node.hosting.kill(name)
        return {"vm": vm_rows.vm_row(self._node, name)}

    async def inspect(self, name: str) -> VmInspection:
        self._refuse_remote(name)
        vm = self._node.hosting.named(name)
        conduct, host = vm.row.settings.conduct, self._node.hosting
        quota = host.quota_of(vm.owner)
        return VmInspection(
            vm=vm_rows.vm_row(self._node, name),
            owner=self._node.names.of(vm.owner),
            restart=str(conduct.restart),
            begun_anew=conduct.times,
            branch=vm.row.settings.branch,
            cpu_percent=conduct.cpu_percent,
            messages_s=conduct.messages_s,
            storage_limit=conduct.storage_bytes,
            storage=vm.storage_bytes,
            quota=None if quota is None else asdict(quota),
            owner_uses=self._uses(vm.owner),
            qemu=await self._qemu(vm),
        )

    def _uses(self, owner: NodeId) -> dict[str, int]:
        vms = [vm for vm in self._node.hosting.tenants() if vm.owner == owner]
        held = [vm for vm in vms if vm.is_held]
        return {
            "vms": len(held),
            "memory_bytes": sum(vm.memory_held_bytes for vm in held),
            "storage_bytes": sum(vm.storage_bytes for vm in vms),
        }

    async def _qemu(self, vm: Vm) -> QemuInfo | None:
        guest = vm.life.guest
        if guest is None:
            return None
        machine = guest.machine
        found = await trio.to_thread.run_sync(usage.of, machine.pid)
        return QemuInfo(
            pid=found.pid,
            version=await _version(machine),
            command=list(found.command),
            accelerator=qemu.usable(self._node.accelerator.accelerator, machine.files.architecture),
            user=_user(found.uid),
            no_new_privileges=found.no_new_privileges,
            seccomp_filter=found.seccomp == usage.SECCOMP_FILTER,
            capabilities=found.capabilities,
            limits=found.limits,
            cgroup=found.cgroup,
            pss=found.pss_bytes,
            cpu_s=found.cpu_s,
        )

    def _refuse_remote(self, name: str) -> None:
        if (elsewhere := vm_rows.not_here(self._node, name)) is not None:
            raise UsageError(elsewhere)


async def _version(machine: Machine) -> str | None:
    """What the QEMU that runs says itself; None: a parked one says nothing."""
    if machine.is_parked:
        return None
    try:
        control = await qemu.control(machine.files.directory, deadline_s=_ANSWER_S)
    except MeshError:
        return None
    await trio.aclose_forcefully(control)
    return ".".join(map(str, control.version))


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
