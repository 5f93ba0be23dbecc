"""A partition of nodes that hold VMs, and its healing, on the real directory and DHT in simulated
time. The test runs it small; `make partition` runs it with more nodes and prints what it saw.

Two halves. Before: a VM and a source on each side, and one of each that will not survive. During:
each side hands a VM over among its own, withdraws a source, states a new one. After: all agree.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import structlog
import trio
from trio.testing import MockClock

from radics_mesh.directory.service import Directory
from radics_mesh.ids import Digest
from radics_mesh.link_memory import MemoryNetwork
from radics_mesh.ownership import Ownership, born
from radics_mesh.records import Kind
from tests.members import Members, member

PARTITION_S = 1800.0
AIM_S = 30.0
SIDES = 2
# (kind, subject, publisher's number, whether it is stale)
View = frozenset[tuple[str, str, str, bool]]


@dataclass
class Outcome:
    """`healed_s`: from the healing until all nodes agreed, None: not within three times the aim."""

    during: list[View] = field(default_factory=list)
    youngest_stale_s: float = 0.0
    healed_s: float | None = None
    after: View = frozenset()
    expected: View = frozenset()


async def view(directory: Directory, facts: Iterable[tuple[Kind, str]]) -> View:
    """What a node answers when it is asked for each of these."""
    said: set[tuple[str, str, str, bool]] = set()

    async def ask(kind: Kind, subject: str) -> None:
        for entry in await directory.lookup(kind, subject):
            said.add((kind.value, subject, entry.publisher.short, entry.stale))

    async with trio.open_nursery() as nursery:
        for fact in facts:
            nursery.start_soon(ask, *fact)
    return frozenset(said)


async def _announce_vm(directory: Directory, chain: Ownership) -> None:
    await directory.put_object(chain.pack())
    body = {"name": chain.name, "epoch": chain.epoch, "ownership": bytes(chain.digest)}
    await directory.announce(Kind.VM, chain.vm_id.text, body)


class Partition:
    """`count` nodes; the even ones are on one side, the odd ones on the other."""

    def __init__(self, members: Members, count: int) -> None:
        self._members = members
        self._count = count
        self._chains: list[Ownership] = []

    def _side(self, side: int) -> list[Directory]:
        return [self._members[number] for number in range(side, self._count, SIDES)]

    async def run(self) -> Outcome:
        members, outcome = self._members, Outcome()
        for number in range(self._count):
            await members.start(number, bootstrap=[0] if number else [])
        await trio.sleep(10)
        await self._before()
        await trio.sleep(60)
        members.network.partition(
            *(
                [members.address(n) for n in range(side, self._count, SIDES)]
                for side in range(SIDES)
            )
        )
        await self._meanwhile()
        await trio.sleep(PARTITION_S)
        for side in range(SIDES):
            outcome.during += await self._views(self._side(side))
        outcome.youngest_stale_s = min(
            entry.age_s
            for number in range(self._count)
            for entry in members[number].known(Kind.SOURCE)
            if entry.stale
        )
        outcome.expected = self._expected()
        members.network.heal()
        await self._until_all_agree(outcome)
        return outcome

    async def _before(self) -> None:
        for side in range(SIDES):
            holder = self._members[side]
            chain = born(member(side)[0], f"vm{side}", Digest(bytes(32)), bytes(16))
            self._chains.append(chain)
            await _announce_vm(holder, chain)
            await holder.announce(Kind.SOURCE, f"old/{side}", {"rate": 1})
            await holder.announce(Kind.SOURCE, f"kept/{side}", {"rate": 1})

    async def _meanwhile(self) -> None:
        for side in range(SIDES):
            giver, taker = self._members[side], self._members[side + SIDES]
            moved = self._chains[side].released(
                member(side)[0], member(side + SIDES)[0].public, Digest(bytes(32))
            )
            await giver.withdraw(Kind.VM, moved.vm_id.text)
            await _announce_vm(taker, moved)
            await giver.withdraw(Kind.SOURCE, f"old/{side}")
            await giver.announce(Kind.SOURCE, f"new/{side}", {"rate": 1})

    def _expected(self) -> View:
        sources = {
            ("source", f"{name}/{side}", self._members[side].me.short, False)
            for name in ("kept", "new")
            for side in range(SIDES)
        }
        vms = {
            ("vm", chain.vm_id.text, self._members[side + SIDES].me.short, False)
            for side, chain in enumerate(self._chains)
        }
        return frozenset(sources | vms)

    def _facts(self) -> list[tuple[Kind, str]]:
        names = [f"{name}/{side}" for name in ("old", "kept", "new") for side in range(SIDES)]
        vms = [(Kind.VM, chain.vm_id.text) for chain in self._chains]
        return [(Kind.SOURCE, name) for name in names] + vms

    async def _views(self, directories: list[Directory]) -> set[View]:
        """All that is answered, by as many as there are different answers."""
        views: set[View] = set()

        async def add(directory: Directory) -> None:
            views.add(await view(directory, self._facts()))

        async with trio.open_nursery() as nursery:
            for directory in directories:
                nursery.start_soon(add, directory)
        return views

    async def _until_all_agree(self, outcome: Outcome) -> None:
        started = trio.current_time()
        while trio.current_time() - started < 3 * AIM_S:
            everybody = [self._members[number] for number in range(self._count)]
            views = await self._views(everybody)
            if views == {outcome.expected}:
                outcome.healed_s = trio.current_time() - started
                break
            await trio.sleep(1)
        outcome.after = await view(self._members[0], self._facts())


async def _print(count: int, loss: float) -> bool:
    with tempfile.TemporaryDirectory() as path:
        async with trio.open_nursery() as nursery:
            network = MemoryNetwork(Random(7), delay_s=(0.01, 0.08), loss=loss)
            outcome = await Partition(Members(nursery, network, Path(path)), count).run()
            nursery.cancel_scope.cancel()
    for said in outcome.during:
        print("at the end of the partition some say:")
        for kind, subject, publisher, stale in sorted(said):
            print(f"  {kind:<7} {subject[:16]:<17} by {publisher}{'  (stale)' if stale else ''}")
    print(f"youngest stale source: {outcome.youngest_stale_s:.0f} s old")
    healed = "not healed" if outcome.healed_s is None else f"agreed after {outcome.healed_s:.0f} s"
    print(f"{count} nodes, {loss:.0%} loss, {PARTITION_S:.0f} simulated s apart: {healed}")
    return outcome.healed_s is not None and outcome.healed_s <= AIM_S


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    nodes, lost = int(sys.argv[1]), float(sys.argv[2])
    good = trio.run(_print, nodes, lost, clock=MockClock(autojump_threshold=0))
    sys.exit(0 if good else 1)
