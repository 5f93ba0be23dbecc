"""What a VM does in a run: it starts at S, is moved, and comes to its end."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import trio

from radics_mesh.errors import MeshError
from tests.faults.mesh import VM, Mesh, until
from tests.faults.outcome import Outcome
from tests.faults.plans import FLIP, MAILS, POWER, RESTART, TWICE, Plan

MESSAGES = 120
RATE = 60.0
MAIL_EVERY_S = 0.1
# How long mail may be under way.
MAIL_S = 15.0
# How long what is under way when a run has come to its end may still arrive.
LATE_S = 0.3
READY = ("running", "exited")
# The silence in the policy of a restartable VM; zygote.HASTE lets it be short.
AFTER_S = 3


class LostError(Exception):
    """The VM did not come to its end."""


class WrongError(Exception):
    """Something was not refused, or not said, that should have been."""


class Journey:
    """`chance` is for what the plan does not say."""

    def __init__(self, plan: Plan, mesh: Mesh, place: Path, outcome: Outcome) -> None:
        self.plan, self.mesh, self.place, self.outcome = plan, mesh, place, outcome
        self.chance = random.Random(plan.seed)
        # Set when the move that is disturbed has ended, as far as its source can say.
        self.moved = trio.Event()
        self._mailing = True

    async def travel(self, script: Callable[[Journey], Awaitable[None]]) -> None:
        """All of it. LostError, WrongError; cancelled when it takes too long."""
        mesh = self.mesh
        await mesh.start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mesh.knows, "S", "T")
            nursery.start_soon(mesh.knows, "S", "O")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(mesh.collect)
            await mesh.start_vm(self.place, MESSAGES, RATE, **self._options())
            nursery.start_soon(self._mail)
            await until(lambda: len(mesh.reports) >= 5)
            await script(self)
            await self.settled()
            self.outcome.recoveries += self.outcome.hit
            await self._move_again()
            await self._come_to_an_end()
            await self._note_who_was_set_back()
            nursery.cancel_scope.cancel()

    def _options(self) -> dict[str, object]:
        """What the VM is run with."""
        options: dict[str, object] = {"commit_output": self.plan.commit}
        if self.plan.commit or self.plan.kind == RESTART:
            options["checkpoint_every_s"] = 0.3
        if self.plan.kind == RESTART:
            options |= {"policy": f"restartable:{AFTER_S}", "keep_at": ["T"]}
        return options

    async def _mail(self) -> None:
        """Mail all the time while things happen."""
        for _ in range(MAILS):
            await self.mesh.mail()
            await trio.sleep(MAIL_EVERY_S)
        self._mailing = False

    async def move(self, here: str, there: str, *, one_way: bool = False) -> bool:
        """Whether its source calls it done; one whose source dies is left to what is durable."""
        with suppress(MeshError, OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            await self.mesh[here].client.call("migrate", name=VM, to=there, one_way=one_way)
            self.outcome.moves += 1
            return True
        return False

    async def settled(self) -> str:
        """Until one host says that the VM runs there, or has ended; which."""
        while True:
            held = await self.mesh.holders()
            if len(held) == 1 and held[0][1]["state"] in READY:
                return held[0][0]
            failed = [row for _, row in held if row["state"] == "failed"]
            if failed:
                raise LostError(f"failed: {failed[0]['note']}")
            await trio.sleep(0.03)

    async def settled_at(self, name: str) -> None:
        """Until it runs there, and the other host says nothing else."""
        while await self.settled() != name:  # noqa: ASYNC110
            await trio.sleep(0.03)

    async def is_shown(self) -> bool:
        """What S did alone is a divergent state, or nothing could be kept, and that is said."""
        found = await self.mesh["S"].ask("doctor", name=VM) or {}
        if any(state["kind"] == "divergent" for state in found.get("states", [])):
            return True
        return await self.mesh.said("S", "it left no state")

    async def _move_again(self) -> None:
        """Undisturbed, wherever it is: the faults have left nothing behind."""
        here = await self.settled()
        there = "T" if here == "S" else "S"
        await self.mesh.knows(here, there)
        row = await self.mesh[here].row(VM)
        if row is not None and row["state"] == "running":
            await self.move(here, there)

    async def _come_to_an_end(self) -> None:
        """All that was said to it has come, as far as it will; then it is told to stop."""
        mesh = self.mesh
        with trio.move_on_after(MAIL_S):
            await until(lambda: not self._mailing and len(mesh.count("m")) >= mesh.mails)
        if len(mesh.count("m")) < mesh.mails:
            await self._note_what_is_left()
        while [row["state"] for _, row in await mesh.holders()] != ["exited"]:
            await mesh.mail("stop")
            await trio.sleep(0.2)
        with trio.move_on_after(MAIL_S):
            await until(lambda: len(mesh.count("s")) >= MESSAGES)
        await trio.sleep(LATE_S)

    async def _note_who_was_set_back(self) -> None:
        """A host may end when it is durable that a guest starts, and before it is there to be seen:
        then it cannot know what the guest has said, and says so."""
        if self.plan.kind in (POWER, TWICE, FLIP):
            for node in self.mesh.hosts:
                self.outcome.set_back |= await self.mesh.said(node.name, "an earlier state")

    async def _note_what_is_left(self) -> None:
        """For people: where what has not come is."""
        missing = [f"mail-{n}" for n in range(1, self.mesh.mails + 1)]
        missing = [text for text in missing if not self.mesh.count("m")[text]]
        lines = [f"missing: {missing}"]
        for node in self.mesh.nodes.values():
            rows = (await node.ask("bundles") or {}).get("bundles", [])
            lines += [f"{node.name}: {row}" for row in rows]
            events = (await node.ask("status") or {}).get("events", [])
            lines += [f"{node.name}: {event['text']}" for event in events]
        lines += [f"O got: {report}" for report in self.mesh.reports if report[0] == "m"]
        (self.place / "left").write_text("\n".join(lines))
