"""One node: all that may happen to it next.

`Shell` follows radics_mesh.hosting: vm (jobs), vm_checkpoints, vm_mail, vm_task (messages), and
radics_mesh.dtn (bundles). The rules that it obeys are methods, so that each can be removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from radics_mesh.vmm.handoff_messages import (
    Frozen,
    Higher,
    Message,
    Offer,
    Refuse,
    Release,
    Reserve,
    Staged,
)
from radics_mesh.vmm.handoff_state import KillAndReap, Phase
from tests.exploration.deeds import (
    AcknowledgeOutput,
    BeginAttempt,
    CommitOutput,
    Cover,
    Deed,
    FileBundle,
    FinishBundle,
    ForgetSent,
    GaveWay,
    KeepCopy,
    Run,
    SendOutput,
    StartIfDue,
)
from tests.exploration.handoff import Argument
from tests.exploration.running import Running
from tests.exploration.world import ABSENT, NODES, NUMBERS, Blob, Guest, Handing, Node, Outcome

# What only a user has happen.
_WISHES = ("offer", "one way", "cancel", "checkpoint", "mandated", "forced")


class Shell(Running):
    """All that can happen at one node within the bounds. Nodes and commons are interned."""

    # --- what may happen ------------------------------------------------------------------------

    def acts(self, who: int, node: int, common: int) -> list[Outcome]:
        """Everything that needs no letter."""
        run = Run(who, self.nodes.values[node], self.commons.values[common])
        outcomes: list[Outcome] = []
        for label, begun, deeds in self._begun(run):
            helps = label not in _WISHES
            self._carry(begun, deeds, label, helps, outcomes)
        self._crashes(run, "", outcomes)
        if run.common.set_backs:
            self._set_back(run, outcomes)
        return outcomes

    def hears(self, letter: int, node: int, common: int) -> list[Outcome]:
        """A letter is delivered; it also stays in flight."""
        told = self.letters.values[letter]
        run = Run(told.to, self.nodes.values[node], self.commons.values[common])
        outcomes: list[Outcome] = []
        if isinstance(told.content, Blob):
            digest = told.content.digest
            run.change(disk=run.node.disk | {self._numbers[digest]})
            self._carry(run, self._tell(run, "stored", digest), "stored", True, outcomes)
            return outcomes
        name = type(told.content).__name__
        for kind in ("message", "refused") if self.bounds.refusals else ("message",):
            begun = run.copy()
            deeds: Sequence[Deed] = self._tell(begun, kind, told)
            label = f"{name} from {told.sender}"
            if begun.node != run.node and self._answers_another(run, told.content):
                broken = f"attempt: {name} counts as an answer to another one"
                outcomes.append(self._outcome(begun, label, True, broken))
            if isinstance(told.content, Offer | Frozen | Release | Higher):
                deeds = (*deeds, GaveWay(told.content.chain, self._tenure(run.node.tenure)))
            self._carry(begun, deeds, label, True, outcomes)
        return outcomes

    def meets(self, who: int, node: int, common: int, other: int) -> list[Outcome]:
        """The directory tells of the chain that another node has of the VM."""
        run = Run(who, self.nodes.values[node], self.commons.values[common])
        has = self._tenure(self.nodes.values[other].durable)
        chain = has.certificate or has.chain
        held = self._tenure(run.node.tenure)
        outcomes: list[Outcome] = []
        if chain is not None:
            begun = run.copy()
            deeds: Sequence[Deed] = self._tell(begun, "met", chain)
            news = held.chain is not None and chain.beats(held.chain)
            if deeds or news:
                deeds = (*deeds, GaveWay(chain, held))
                self._carry(begun, deeds, "meets another branch", True, outcomes)
        return outcomes

    def _answers_another(self, run: Run, message: Message) -> bool:
        attempt = self._tenure(run.node.tenure).attempt
        return isinstance(message, Reserve | Refuse | Staged) and message.attempt != attempt

    def admits(self, message: int, node: int) -> int:
        """A neighbour hands over a bundle; one that was seen here is taken and forgotten."""
        kept = self.nodes.values[node]
        if self.was_seen(kept, message):
            return node
        return self.nodes.number(kept._replace(held=kept.held | {message}))

    def drops(self, message: int, node: int) -> int:
        """The next hop has it."""
        kept = self.nodes.values[node]
        return self.nodes.number(self.passed_on(kept, message))

    def may_forward(self, node: int) -> frozenset[int]:
        """The bundles that this node may hand to any other: all that it does not serve itself."""
        kept = self.nodes.values[node]
        return frozenset() if self.is_open(kept) else kept.held

    def live(self, node: int) -> int:
        """The branch of the guest that executes here."""
        kept = self.nodes.values[node]
        if kept.guest is None or not kept.guest.executes:
            return ABSENT
        return self._branch(self._tenure(kept.tenure))

    def is_done(self, node: int, common: int) -> bool:
        """The guest is live here and nothing that it was sent, or sends, is still to come."""
        guest = self.nodes.values[node].guest
        if guest is None or not guest.executes:
            return False
        memory = guest.memory
        out = set(self.commons.values[common].sent)
        if self.bounds.commit:  # what is held waits for a checkpoint that only a clock asks for
            out |= self._mailroom.held(self.nodes.values[node].mailbox)
        return len(memory.taken) == self.bounds.messages and memory.outputs == len(out)

    # --- rules of the shell that a test removes -------------------------------------------------

    def is_open(self, node: Node) -> bool:
        """Whether bundles for the VM are taken here: while its guest is served."""
        return node.guest is not None and node.guest.executes

    def was_seen(self, node: Node, message: int) -> bool:
        return message in node.held or message in node.delivered

    def passed_on(self, node: Node, message: int) -> Node:
        """Passing through does not count as seen: the VM may come here later."""
        return node._replace(held=node.held - {message})

    def crosses(
        self, message: int, handing: frozenset[Handing], last: Handing
    ) -> frozenset[Handing]:
        """A bundle that is held came from a neighbour. If it is on its way there, it stays here:
        the neighbour takes it for a duplicate, and drops its own."""
        back = {h for h in handing if (h.who, h.to, h.message) == (last.to, last.who, message)}
        return (handing - back) | {h._replace(crossed=True) for h in back}

    def filed(self, message: int) -> Sequence[Deed]:
        """Only what is filed is processed."""
        return FileBundle(message), FinishBundle(message)

    def sent(self, number: int) -> Sequence[Deed]:
        """Only what is on its way is acknowledged, or waits durably for a checkpoint."""
        if self.bounds.commit:
            return CommitOutput(number, held=True), AcknowledgeOutput(number)
        return SendOutput(number), CommitOutput(number), AcknowledgeOutput(number)

    def checkpointed(self, snapshot: int, durably: Sequence[Deed]) -> Sequence[Deed]:
        """Only what is durable covers anything."""
        return *durably, KeepCopy(snapshot), Cover()

    def released(self, outputs: Sequence[int]) -> Sequence[Deed]:
        """Only what is on its way is forgotten."""
        return *map(SendOutput, outputs), ForgetSent()

    def closed(self, node: Node, message: int) -> Node | None:
        """What a node without the VM does with a bundle for it, beside passing it on."""
        return None

    # --- an older disk --------------------------------------------------------------------------

    def was_set_back(self, common: int) -> bool:
        return self._is_set_back(self.commons.values[common])

    def _set_back(self, run: Run, outcomes: list[Outcome]) -> None:
        """A copy of the disk is made, and at any later time put into the node."""
        if run.common.copied is None:
            kept = run.node._replace(tenure=run.node.durable, guest=None)
            copied = replace(run, common=run.common._replace(copied=(run.who, kept)))
            outcomes.append(self._outcome(copied, "its disk is copied", False, ""))
            return
        who, kept = run.common.copied
        if who == run.who:
            common = run.common._replace(copied=None, set_backs=run.common.set_backs - 1)
            older = replace(run, node=kept, common=common)
            self._carry(older, self._restart(older), "its disk is put back", False, outcomes)

    # --- inputs ---------------------------------------------------------------------------------

    def _begun(self, run: Run) -> Iterator[tuple[str, Run, Sequence[Deed]]]:
        yield from self._clocks(run)
        yield from self._wishes(run)
        if run.common.recoveries and run.common.kept is not None:
            yield from self._recoveries(run, *run.common.kept)
        if run.node.guest is not None:
            yield from self._guest(run)
        for message in sorted(run.node.held):
            if self.is_open(run.node):
                yield f"bundle {message}", run.copy(), self.filed(message)
            elif (left := self.closed(run.node, message)) is not None:
                yield "bundle", replace(run, node=left), ()

    def _input(
        self, run: Run, kind: str, argument: Argument = None
    ) -> tuple[str, Run, Sequence[Deed]]:
        begun = run.copy()
        return kind, begun, self._tell(begun, kind, argument)

    def _clocks(self, run: Run) -> Iterator[tuple[str, Run, Sequence[Deed]]]:
        tenure = self._tenure(run.node.tenure)
        if tenure.repeat_at is not None:
            yield self._input(run, "repeat")
        if tenure.deadline is not None:
            yield self._input(run, "timeout")
        if tenure.phase is Phase.STAGING:
            yield self._input(run, "staged enough")
        if tenure.phase is Phase.FREEZING and run.node.guest and not run.node.guest.executes:
            saved, number = self._saved(run)
            yield self._input(saved, "parked", self._digests[number])
            yield self._input(run, "park failed")

    def _wishes(self, run: Run) -> Iterator[tuple[str, Run, Sequence[Deed]]]:
        tenure, common = self._tenure(run.node.tenure), run.common
        if tenure.phase in (Phase.OFFERED, Phase.STAGING, Phase.FROZEN, Phase.RELEASED):
            yield self._input(run, "cancel")
        if tenure.phase is not Phase.HOLDING or not run.node.guest or not run.node.guest.executes:
            return
        if common.moves:
            for target in self._targets(run):
                begun = run.copy()
                begun.common = common._replace(moves=common.moves - 1)
                for kind in self._ways():
                    _, moving, effects = self._input(begun, kind, target)
                    attempt = self._tenure(moving.node.tenure).attempt
                    yield kind, moving, (BeginAttempt(attempt), *effects)
        if common.checkpoints:
            begun = run.copy()
            begun.common = common._replace(checkpoints=common.checkpoints - 1)
            begun.change(guest=Guest(False, run.node.guest.memory))
            saved, number = self._saved(begun)
            durably = self._tell(saved, "checkpoint", self._digests[number])
            covered = self.checkpointed(number, durably)
            yield "checkpoint", saved, (*covered, KillAndReap(), StartIfDue())

    def _recoveries(
        self, run: Run, snapshot: int, kept: int
    ) -> Iterator[tuple[str, Run, Sequence[Deed]]]:
        """The mandate is from the holder that made the checkpoint."""
        if self._tenure(run.node.tenure).phase not in (Phase.NONE, Phase.RESERVED, Phase.RELEASED):
            return
        chain, digest, me = self._chains.values[kept], self._digests[snapshot], NODES[run.who]
        holder = NODES[NUMBERS[chain.holder]]
        begun = run.copy()
        begun.common = run.common._replace(recoveries=run.common.recoveries - 1)
        begun.change(disk=run.node.disk | {snapshot})
        mandate = chain.mandate(holder, me.public, digest, snapshot + 1, after_s=1)
        for label, word in (("mandated", mandate), ("forced", None)):
            _, going, deeds = self._input(begun, "recover", chain.recovered(me, digest, word))
            if deeds:
                yield label, going, deeds

    def _ways(self) -> Iterator[str]:
        if self.bounds.two_way:
            yield "offer"
        if self.bounds.one_way:
            yield "one way"

    def _targets(self, run: Run) -> Sequence[int]:
        """Until the first offer all other nodes are alike, so one of them stands for all."""
        others = [n for n in range(self.bounds.nodes) if n != run.who]
        alike = run.who == 0 and run.common.moves == self.bounds.moves
        return others[:1] if alike else others

    def _guest(self, run: Run) -> Iterator[tuple[str, Run, Sequence[Deed]]]:
        assert run.node.guest is not None
        executes, memory = run.node.guest
        if not executes:
            return
        done = len(memory.taken)
        message = self._mailroom.next_mail(run.node.mailbox, done)
        if message is not None:
            begun = run.copy()
            begun.change(guest=Guest(True, memory._replace(taken=(*memory.taken, message))))
            yield f"take {message}", begun, ()
        told = self._mailroom.taken(run.node.mailbox, done)
        if told != run.node.mailbox:
            begun = run.copy()
            begun.change(mailbox=told)
            yield "told", begun, ()
        if memory.outputs < self.bounds.outputs:
            begun = run.copy()
            begun.change(guest=Guest(True, memory._replace(outputs=memory.outputs + 1)))
            yield "output", begun, ()
        if waiting := self._mailroom.to_send(run.node.mailbox):
            yield "release outputs", run.copy(), self.released(waiting)
        if memory.acked < memory.outputs:
            yield "send output", run.copy(), self.sent(memory.acked + 1)
