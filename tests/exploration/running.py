"""A node that carries out one input, and what may come between: crash, power loss, full disk.

What a restart does follows radics_mesh.hosting.vm_tenancy (`_recover`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from radics_mesh.vmm.handoff_state import (
    KillAndReap,
    Persist,
    Phase,
)
from tests.exploration.carrying import Carrying
from tests.exploration.deeds import (
    Align,
    Broken,
    Deed,
    GoOn,
    Run,
    SaveParked,
    SetBackIfDue,
    StartIfDue,
)
from tests.exploration.world import (
    Line,
    Outcome,
)


class Running(Carrying):
    """While faults are left, one may fall behind each deed."""

    def _carry(
        self, run: Run, deeds: Sequence[Deed], label: str, helps: bool, outcomes: list[Outcome]
    ) -> None:
        """Do all in order. While crashes are left, one may fall behind each."""
        for place, deed in enumerate(deeds, 1):
            if isinstance(deed, Persist) and run.common.full_disks:
                self._disk_full(run, deeds[place:], f"{label}, disk full", outcomes)
            try:
                self._do(run, deed)
            except Broken as error:
                outcomes.append(self._outcome(run, label, helps, str(error)))
                return
            self._crashes(run, f"{label}, ", outcomes)
        outcomes.append(self._outcome(run, label, helps, self._broken(run)))

    def _crashes(self, run: Run, label: str, outcomes: list[Outcome]) -> None:
        if run.common.crashes:
            self._crash(run, f"{label}crash", outcomes)
        if run.common.power_losses:
            self._crash(run, f"{label}power loss", outcomes, power=True)

    def _outcome(self, run: Run, label: str, helps: bool, broken: str) -> Outcome:
        node, common = self.nodes.number(run.node), self.commons.number(run.common)
        return Outcome(
            f"{'ABC'[run.who]}: {label}", node, common, run.posts, helps, run.started, broken
        )

    def _broken(self, run: Run) -> str:
        guest = run.node.guest
        if guest is None:
            return ""
        if len(set(guest.memory.taken)) < len(guest.memory.taken):
            return "taken twice: a message"
        acked = set(range(1, guest.memory.acked + 1))
        if guest.executes and acked - run.common.sent - self._mailroom.held(run.node.mailbox):
            return "lost output: the guest has forgotten it, nobody has it"
        return ""

    def _crash(
        self, before: Run, label: str, outcomes: list[Outcome], *, power: bool = False
    ) -> None:
        """The node's process dies, by a power loss every guest here with it, and comes back.

        A guest that executed, or was parked, outlives the process.
        """
        run, common = before.copy(), before.common
        run.common = (
            common._replace(power_losses=common.power_losses - 1)
            if power
            else common._replace(crashes=common.crashes - 1)
        )
        run.change(tenure=run.node.durable)
        if power and run.node.guest is not None:
            self._lose(run)
        self._carry(run, self._restart(run), label, False, outcomes)

    def _disk_full(
        self, before: Run, rest: Sequence[Deed], label: str, outcomes: list[Outcome]
    ) -> None:
        """As `_made_again` and the next try: `rest` is dropped, what is durable counts, but nothing
        has died."""
        run, common = before.copy(), before.common
        run.common = common._replace(full_disks=common.full_disks - 1)
        stored = self._tenure(run.node.tenure).stored
        durable = replace(self._tenure(run.node.durable), stored=stored)
        run.change(tenure=self._handoffs.intern(durable))
        deeds = (*self._tell(run, "restore"), GoOn(), *self.started_again())
        self._carry(run, deeds, label, False, outcomes)

    def _lose(self, run: Run) -> None:
        """What the guest did since its last durable state is gone, and nobody is to blame."""
        tenure = self._tenure(run.node.tenure)
        if tenure.phase in (Phase.HOLDING, Phase.FROZEN):
            branch = self._branch(tenure)
            floor = self._line(run, branch).floor
            lines = list(run.common.lines)
            lines[branch] = Line(floor, floor)
            run.common = run.common._replace(lines=tuple(lines))
        run.change(guest=None)

    def _restart(self, run: Run) -> Sequence[Deed]:
        """As `Tenancy._recover`. What parked outside a move goes on from its memory, as a file."""
        deeds: list[Deed] = []
        for number in sorted(run.node.disk):
            deeds += self._tell(run, "stored", self._digests[number])
        guest = run.node.guest
        if self._tenure(run.node.tenure).phase is not Phase.HOLDING:
            deeds.insert(0, KillAndReap())
        elif guest is not None and not guest.executes:
            _, number = self._saved(run)
            deeds.append(SaveParked())
            deeds += self._tell(run, "checkpoint", self._digests[number])
            deeds.append(KillAndReap())
        elif guest is not None:
            deeds.append(Align())
        deeds += self._tell(run, "restore")
        return [*deeds, *self.started_again()]

    def started_again(self) -> Sequence[Deed]:
        """A rule that a test removes: the mailbox follows a guest that is set back."""
        return SetBackIfDue(), StartIfDue()
