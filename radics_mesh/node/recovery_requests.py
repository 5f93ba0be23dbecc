"""What the control socket answers about VMs whose holder is lost, or that two nodes held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radics_mesh.control_shapes.vms import StateRow
from radics_mesh.errors import UsageError
from radics_mesh.hosting.custody import Sort
from radics_mesh.hosting.policy import CHECKPOINT_EVERY_S, Policy, Survival
from radics_mesh.node import vm_rows
from radics_mesh.node.services import Services

Answer = Mapping[str, Any]


def chosen_policy(node: Services, policy: str, keep_at: list[str]) -> Policy:
    """What the user wants of a VM to be; UsageError."""
    keepers = tuple(dict.fromkeys(node.names.node(name) for name in keep_at))
    return Policy.parse(policy, keepers)


def every_s(policy: Policy) -> float:
    """How often a VM is checkpointed for which nothing was said. One that shall be restarted from
    somewhere needs checkpoints."""
    return CHECKPOINT_EVERY_S if policy.survival is Survival.RESTARTABLE else 0.0


class RecoveryRequests:
    """One of requests.GROUPS."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def doctor(self, name: str) -> Answer:
        found = await self._node.hosting.recovery.diagnose(name)
        return {
            "name": found.name,
            "id": found.vm_id.text,
            "holder": found.holder,
            "epoch": found.epoch,
            "how": found.how,
            "policy": found.policy,
            "state": found.state,
            "heard_s": found.heard_s,
            "open": found.open,
            "states": [
                StateRow(
                    node=one.node,
                    kind=one.sort,
                    epoch=one.epoch,
                    age_s=one.age_s,
                    bytes=one.bytes,
                    snapshot=one.snapshot,
                    mandate=one.mandate,
                )
                for one in found.states
            ],
            "ways": found.ways,
        }

    async def policy(self, name: str, policy: str, keep_at: list[str]) -> Answer:
        if (elsewhere := vm_rows.not_here(self._node, name)) is not None:
            raise UsageError(elsewhere)
        await self._node.hosting.choose_policy(name, chosen_policy(self._node, policy, keep_at))
        return {"vm": vm_rows.vm_row(self._node, name)}

    async def recover(self, name: str, force: bool, snapshot: str) -> Answer:
        recovery = self._node.hosting.recovery
        vm_id = await recovery.identify(name)
        lost = await recovery.recover(name, force=force, snapshot=snapshot)
        here = self._node.hosting.tenant(vm_id).name
        return {"vm": vm_rows.vm_row(self._node, here), "lost": lost}

    async def discard(self, name: str, snapshot: str) -> Answer:
        recovery = self._node.hosting.recovery
        state = recovery.discard(await recovery.identify(name), snapshot)
        what = "a divergent state" if state.sort is Sort.DIVERGENT else "a checkpoint"
        self._node.journal.note(f"{what} of {state.chain.name} was discarded")
        return {"name": state.chain.name, "snapshot": state.snapshot.hex()}
