"""A VM's branches (radics_mesh.vmm.handoff_branches), carried out: recovered here, or given way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import structlog
import trio

from radics_mesh.errors import LinkError, MeshError, UsageError
from radics_mesh.hosting.custody import Sort, State
from radics_mesh.hosting.life import reason_of
from radics_mesh.hosting.policy import Policy, Survival
from radics_mesh.hosting.table import ENDED, Wanted
from radics_mesh.hosting.vm_checkpoints import Checkpointing
from radics_mesh.ownership import Ownership
from radics_mesh.vmm import handoff_state
from radics_mesh.vmm.handoff_state import Phase
from radics_mesh.vmm.manifest import Signed
from radics_mesh.vmm.snapshot import Snapshot
from radics_mesh.vmm.stored import Stored

log = structlog.get_logger(__name__)

# What keeps a branch from giving way (a full disk) is tried again so often.
AGAIN_S = 5.0


class Branching(Checkpointing):
    """Called by the VM's one task, but for `met`."""

    async def met(self, chain: Ownership) -> None:
        """Somebody has this chain of the VM."""

        async def job() -> None:
            try:
                self.handoff.met(chain)
                await self._carry_out(self.handoff.take())
            except (MeshError, OSError):
                self._nursery.start_soon(self._meet_again, chain)
                raise

        await self.post(job)

    async def _meet_again(self, chain: Ownership) -> None:
        await trio.sleep(AGAIN_S)
        await self.met(chain)

    async def confirmed(self) -> None:
        """A peer has confirmed this start of the node: what waited for that starts."""
        await self.post(self._start_if_due)

    async def set_apart(self) -> None:
        """This node's disk was set back: what the VM says from here on must not bear the names of
        what it said before. Its guest goes on from where it is, as a new branch."""

        async def job() -> None:
            if self.phase not in (Phase.HOLDING, Phase.OFFERED, Phase.STAGING):
                return
            self.life.keep(settings=self.row.settings.branched(self._host.me.clock.wall()))
            if self.life.guest is not None:
                self.handoff.cancel("its node was set back")
                await self._carry_out(self.handoff.take())
                await self._checkpoint()

        await self.post(job)

    async def choose_policy(self, policy: Policy) -> None:
        """UsageError: it is not held here, or cannot be replicated from now on."""
        if self.phase not in (Phase.HOLDING, Phase.OFFERED, Phase.STAGING):
            raise UsageError(f"{self.name} is {self.state}; its holder chooses its policy")
        old = self.row.settings.policy
        if Survival.REPLICATED in (policy.survival, old.survival) and policy != old:
            raise UsageError("a VM is replicated from its start, or never")
        self.life.keep(settings=replace(self.row.settings, policy=policy))
        self._tell_running()

    def want_checkpoint(self) -> None:
        """As soon as may be; nobody waits for it."""
        self._waits(pressed=True)

    async def recover(self, chain: Ownership, snapshot: Snapshot) -> None:
        """Go on here from a checkpoint, by a recovery that this node has signed. UsageError: the VM
        is held here, or a branch is known that counts for more."""
        await self.life.snapshots.store(snapshot)
        self.handoff.recover(chain, snapshot.digest)
        await self._carry_out(self.handoff.take())

    def _effects(self) -> dict[type[Any], Callable[[Any], Awaitable[None]]]:
        return {**super()._effects(), handoff_state.Diverge: self._diverge}

    async def _activate(self, effect: handoff_state.Start) -> None:
        if not self.life.chain.is_recovered:
            await super()._activate(effect)
            return
        self.moved_at = self._host.me.clock.monotonic()
        link = self.life.chain.links[-1]
        why = "as its holder is silent" if link.mandate else "by force"
        self._notices.ended(self)
        if self.row.wanted is Wanted.SAVED:
            self._host.journal("warning", f"{self.name} was recovered {why}, and is saved")
            return
        await self._start_again(f"was recovered {why}, epoch {link.epoch}, and starts")

    async def _diverge(self, effect: handoff_state.Diverge) -> None:
        """Stop, and keep what has become of it. The last step that may fail before it is known
        durably that another branch counts: until then the state is where it was."""
        snapshot = await self._last_state(effect)
        if snapshot is not None:
            content = await trio.to_thread.run_sync(_in_one_piece, snapshot)
            state = State(
                vm_id=self.vm_id,
                snapshot=snapshot.digest,
                sort=Sort.DIVERGENT,
                chain=effect.chain,
                created=snapshot.manifest.created,
                bytes=len(content),
                at=self._host.me.clock.wall(),
                higher=effect.higher,
            )
            await trio.to_thread.run_sync(self._host.custody.keep, state, content)
        kept = f"its state is kept, see `doctor {self.name}`" if snapshot else "it left no state"
        self._host.journal(
            "warning",
            f"{self.name} stops here at epoch {effect.chain.epoch}: epoch {effect.higher.epoch},"
            f" {effect.higher.links[-1].how} to {self._host.name_of(effect.higher.holder)}, counts;"
            f" {kept}",
        )

    async def _last_state(self, effect: handoff_state.Diverge) -> Signed | None:
        """Parked now, else the last one that was written."""
        if self.row.wanted in ENDED:
            return None
        if self.life.held is not None:
            return self.life.held
        if self.life.guest is not None:
            try:
                return await self.life.park()
            except MeshError as error:
                self._host.journal(
                    "error",
                    f"{self.name} could not be parked ({reason_of(error)}):"
                    " what it did since its last checkpoint is lost",
                )
        if effect.snapshot is None:
            return None
        return await self.life.snapshots.load(effect.snapshot)

    async def _persist(self, effect: handoff_state.Persist) -> None:
        before, tenure = self.row.tenure, effect.tenure
        away = before.phase is not Phase.NONE and tenure.phase is Phase.NONE
        if not away or tenure.chain == before.chain:
            await super()._persist(effect)
            return
        self._give_up(tenure, released=False)
        self._end_move(LinkError(f"{self.name} is held by another node, on a higher branch"))


def _in_one_piece(state: Signed) -> bytes:
    """A state that needs no page store. Blocks."""
    if isinstance(state, Stored):
        return state.in_one_piece().pack()
    assert isinstance(state, Snapshot)
    return state.pack()
