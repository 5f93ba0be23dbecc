"""Whom people mean by NAME/SERVICE: a node, a VM wherever it is, or one of a service's replicas."""

from __future__ import annotations

import math

import trio

from radics_mesh.control_shapes.vms import VmRow
from radics_mesh.errors import UsageError, WireError
from radics_mesh.hosting.policy import Survival
from radics_mesh.ids import Eid, VmId
from radics_mesh.node import vm_rows
from radics_mesh.node.services import Services
from radics_mesh.records import Kind

# How long the directory may take to find a VM that is not known here.
FOUND_WITHIN_S = 8.0
# Records are renewed three times in their life; a host that has let two of these pass is silent.
_SILENT_SHARE = 0.7


async def endpoint_of(node: Services, destination: str) -> Eid:
    """An EID as it is, or that of NAME/SERVICE; UsageError."""
    try:
        if ":" in destination:
            return Eid(destination)
        name, slash, service = destination.partition("/")
        if slash and service:
            return Eid(f"{await _called(node, name)}{service}")
    except WireError as error:
        raise UsageError(str(error)) from error
    raise UsageError(f"not a destination: {destination} (want an EID or NODE/SERVICE)")


async def _called(node: Services, name: str) -> Eid:
    """A node's endpoint, or that of the one VM of the name that goes on, or of a replica."""
    try:
        return node.names.node(name).eid
    except UsageError:
        vms = _going_on(node, name)
        if all(_is_silent(node, row) for row in vms):
            with trio.move_on_after(FOUND_WITHIN_S):
                await _look_up(node, name)
            vms = _going_on(node, name)
        if (replica := _a_replica(node, vms)) is not None:
            return replica.eid
        if len({row["id"] for row in vms}) != 1:
            raise
    return VmId.parse(vms[0]["id"]).eid


def _going_on(node: Services, name: str) -> list[VmRow]:
    rows = [row for row in vm_rows.vm_rows(node) if row["name"] == name]
    return [row for row in rows if row["state"] not in vm_rows.ENDED]


async def _look_up(node: Services, name: str) -> None:
    """Whoever asks once is kept up to date by the directory from then on."""
    for entry in await node.directory.lookup(Kind.VM_NAME, name):
        vm_id = entry.record.body.get("vm")
        if isinstance(vm_id, str):
            try:
                await node.directory.vm(VmId.parse(vm_id))
            except WireError:
                continue  # its publisher states nonsense


def _a_replica(node: Services, vms: list[VmRow]) -> VmId | None:
    """Of this node, else of one that is not silent, the nearest by this node's sessions."""
    if not vms or any(row["policy"] != Survival.REPLICATED.value for row in vms):
        return None
    rtt_s = {node.names.of(peer): rtt for peer, rtt in node.sessions()}
    best = min(
        vms,
        key=lambda row: (
            not row["local"],
            _is_silent(node, row),
            rtt_s.get(row["node"], math.inf),
            row["id"],
        ),
    )
    return VmId.parse(best["id"])


def _is_silent(node: Services, vm: VmRow) -> bool:
    if vm["local"]:
        return False
    known = node.directory.known(Kind.VM, vm["id"])
    return not any(entry.age_s < _SILENT_SHARE * entry.record.ttl_s for entry in known)
