"""What the shell does at one node, deed by deed, and where a crash may fall between.

It follows radics_mesh.hosting: vm_moving (effects), vm_tenancy (`_recover`), vm_task (messages).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from sqlite3 import IntegrityError
from typing import Any

from radics_mesh.ids import Digest, NodeId
from radics_mesh.ownership import Link, Ownership
from radics_mesh.vmm.handoff_messages import Frozen, Message, Missing, Offer
from radics_mesh.vmm.handoff_state import (
    Diverge,
    Effect,
    Fetch,
    Forget,
    KillAndReap,
    Park,
    Persist,
    Phase,
    Send,
    SendBlob,
    Start,
    Tenure,
    Unpark,
)
from tests.exploration.deeds import (
    AcknowledgeOutput,
    Align,
    BeginAttempt,
    Broken,
    CommitOutput,
    Cover,
    Deed,
    FileBundle,
    FinishBundle,
    ForgetSent,
    GaveWay,
    GoOn,
    KeepCopy,
    Run,
    SaveParked,
    SendOutput,
    SetBackIfDue,
    StartIfDue,
)
from tests.exploration.handoff import Argument, Handoffs
from tests.exploration.mailroom import Mailroom
from tests.exploration.world import (
    ABSENT,
    NUMBERS,
    Blob,
    Bounds,
    Common,
    Guest,
    Interned,
    Letter,
    Line,
    Memory,
    Node,
    Snapshot,
)


class Carrying:
    """Carries deeds out. Nodes and commons are interned."""

    def __init__(self, bounds: Bounds, handoffs: Handoffs, mailroom: Mailroom) -> None:
        self.bounds = bounds
        self._handoffs = handoffs
        self._mailroom = mailroom
        self.nodes: Interned[Node] = Interned()
        self.commons: Interned[Common] = Interned()
        self.letters: Interned[Letter] = Interned()
        self._snapshots: Interned[Snapshot] = Interned()
        self._chains: Interned[Ownership] = Interned()
        # By the part of the chain that made it: none, or up to its last recovery.
        self._branches: Interned[tuple[Link, ...]] = Interned()
        self._branches.number(())
        self._digests: list[Digest] = []
        self._numbers: dict[Digest, int] = {}
        self._deeds = self._known_deeds()

    def _tell(self, run: Run, kind: str, argument: Argument = None) -> Sequence[Effect]:
        tenure, effects = self._handoffs.step(run.who, run.node.tenure, kind, argument)
        run.change(tenure=tenure)
        return effects

    # --- deeds --------------------------------------------------------------------------------

    def _do(self, run: Run, deed: Deed) -> None:
        do = self._deeds.get(type(deed))
        if do is not None:  # else words for people
            do(run, deed)

    def _known_deeds(self) -> dict[type[Any], Callable[[Run, Any], None]]:
        return {
            Persist: lambda run, deed: self._persist(run, deed.tenure),
            Send: lambda run, deed: self._post(run, deed.to, deed.message),
            SendBlob: self._send_blob,
            Fetch: self._fetch,
            Park: lambda run, _: run.change(guest=Guest(False, run.guest.memory)),
            KillAndReap: lambda run, _: run.change(guest=None),
            Forget: lambda run, deed: run.change(
                disk=run.node.disk - {self._numbers[deed.snapshot]}
            ),
            Start: lambda run, deed: self._start(run, self._kept(run, deed.snapshot)),
            Unpark: self._unpark,
            BeginAttempt: lambda run, deed: self._begin_attempt(run, deed.number),
            SaveParked: self._save_parked,
            Diverge: self._diverge,
            KeepCopy: self._keep_copy,
            GaveWay: self._gave_way,
            StartIfDue: lambda run, _: self._start_if_due(run),
            GoOn: lambda run, _: self._go_on(run),
            SetBackIfDue: lambda run, _: self._set_back_if_due(run),
            Cover: lambda run, _: run.change(mailbox=self._mailroom.cover(run.node.mailbox)),
            ForgetSent: lambda run, _: run.change(mailbox=self._mailroom.sent(run.node.mailbox)),
            Align: lambda run, _: self._align(run),
            SendOutput: self._send_output,
            CommitOutput: self._commit_output,
            AcknowledgeOutput: self._acknowledge_output,
            FileBundle: lambda run, deed: run.change(
                mailbox=self._filed(run.node.mailbox, deed.message)
            ),
            FinishBundle: self._finish_bundle,
        }

    def _send_blob(self, run: Run, deed: SendBlob) -> None:
        if self._numbers.get(deed.digest) in run.node.disk:
            self._post(run, deed.to, Blob(deed.digest))

    def _fetch(self, run: Run, deed: Fetch) -> None:
        vm_id = self._tenure(run.node.tenure).vm_id
        self._post(run, deed.source, Missing(vm_id, deed.digest))

    def _unpark(self, run: Run, deed: Unpark) -> None:
        memory = self._kept(run, deed.snapshot) if deed.snapshot else run.guest.memory
        run.change(guest=None)
        self._start(run, memory)

    def _save_parked(self, run: Run, deed: SaveParked) -> None:
        saved, _ = self._saved(run)
        run.node = saved.node

    def _send_output(self, run: Run, deed: SendOutput) -> None:
        if self.bounds.commit and deed.number > run.guest.memory.outputs:
            raise Broken("said twice: an output goes out that the guest has not made")
        run.common = run.common._replace(sent=run.common.sent | {deed.number})

    def _commit_output(self, run: Run, deed: CommitOutput) -> None:
        run.change(mailbox=self._mailroom.outputs(run.node.mailbox, deed.number, held=deed.held))

    def _acknowledge_output(self, run: Run, deed: AcknowledgeOutput) -> None:
        memory = run.guest.memory._replace(acked=deed.number)
        run.change(guest=Guest(run.guest.executes, memory))

    def _finish_bundle(self, run: Run, deed: FinishBundle) -> None:
        delivered = run.node.delivered | {deed.message}
        run.change(held=run.node.held - {deed.message}, delivered=delivered)

    def _filed(self, mailbox: int, message: int) -> int:
        try:
            return self._mailroom.post(mailbox, message)
        except IntegrityError as error:
            raise Broken("one number: two messages have it") from error

    def _persist(self, run: Run, tenure: Tenure) -> None:
        """The mailbox comes and goes in the same transaction as the VM (`Moving._persist`)."""
        before = self._tenure(run.node.durable)
        newer = tenure.snapshot != before.snapshot or tenure.chain != before.chain
        newest = tenure.phase is Phase.FROZEN or (tenure.phase is Phase.HOLDING and newer)
        run.change(clean=run.node.clean or newest)
        run.change(durable=self._handoffs.intern(tenure))
        if tenure.phase is Phase.HOLDING and tenure.chain != before.chain:
            assert tenure.snapshot is not None
            came = self._snapshots.values[self._numbers[tenure.snapshot]]
            run.change(mailbox=self._mailroom.travel(came.mailbox))
        elif tenure.phase in (Phase.RELEASED, Phase.NONE):
            run.change(mailbox=ABSENT)
        if tenure.snapshot is not None and tenure.phase is not Phase.NONE:
            version = self._snapshots.values[self._numbers[tenure.snapshot]].memory.version
            self._advance(run, self._branch(tenure), floor=version)

    def _begin_attempt(self, run: Run, attempt: int) -> None:
        if attempt <= run.common.attempts[run.who] and not self._is_set_back(run.common):
            raise Broken(f"attempt {attempt} is begun again")

    def _post(self, run: Run, to: NodeId, content: Message | Blob) -> None:
        if isinstance(content, Offer | Frozen):
            attempts = list(run.common.attempts)
            attempts[run.who] = max(attempts[run.who], content.attempt)
            run.common = run.common._replace(attempts=tuple(attempts))
        run.posts = (*run.posts, self.letters.number(Letter(NUMBERS[to], run.who, content)))

    def _kept(self, run: Run, snapshot: Digest) -> Memory:
        number = self._numbers[snapshot]
        if number not in run.node.disk:
            raise Broken("lost state: the snapshot is not here")
        return self._snapshots.values[number].memory

    def _start(self, run: Run, memory: Memory) -> None:
        """The branch's latest state only; after a power loss that is its latest durable one."""
        branch = self._branch(self._tenure(run.node.tenure))
        run.started = branch
        if run.node.guest is not None:
            raise Broken("two processes of one guest here")
        if (run.who, branch) in run.common.ceased and not self._is_set_back(run.common):
            raise Broken("ceased: a branch starts that gave way here")
        latest = self._line(run, branch).version
        if memory.version < latest and not self._is_set_back(run.common):
            raise Broken(f"stale: version {memory.version} of {latest} starts")
        if self.bounds.commit and memory.outputs < max(run.common.sent, default=0):
            raise Broken("said twice: an output is on its way that the guest has not made")
        fresh = run.common.version + 1
        run.common = run.common._replace(version=fresh)
        self._advance(run, branch, version=fresh)
        run.change(guest=Guest(True, memory._replace(version=fresh)), clean=False)
        self._align(run)

    def _is_set_back(self, common: Common) -> bool:
        """Then no node can know better before it meets another: two may live, one of them stale."""
        return common.set_backs < self.bounds.set_backs

    # --- branches -------------------------------------------------------------------------------

    def _branch(self, tenure: Tenure) -> int:
        links = tenure.chain.links if tenure.chain else ()
        made = max((at for at, link in enumerate(links, 1) if link.recovery), default=0)
        return self._branches.number(links[:made])

    def _line(self, run: Run, branch: int) -> Line:
        """A branch that is new is at what it was recovered from, wherever that is."""
        lines = run.common.lines
        return lines[branch] if branch < len(lines) else Line(0, 0)

    def _advance(self, run: Run, branch: int, *, version: int = 0, floor: int = 0) -> None:
        lines = list(run.common.lines)
        lines += [Line(0, 0)] * (branch + 1 - len(lines))
        was = lines[branch]
        lines[branch] = Line(max(was.version, version), max(was.floor, floor))
        run.common = run.common._replace(lines=tuple(lines))

    def _diverge(self, run: Run, deed: Diverge) -> None:
        """Its state is kept apart (radics_mesh.hosting.custody), which nothing here reads."""
        if run.node.guest is not None:
            run.change(guest=Guest(False, run.node.guest.memory))

    def _keep_copy(self, run: Run, deed: KeepCopy) -> None:
        chain = self._tenure(run.node.tenure).chain
        assert chain is not None
        run.common = run.common._replace(kept=(deed.snapshot, self._chains.number(chain)))

    def _gave_way(self, run: Run, deed: GaveWay) -> None:
        """Rule 7, seen from outside."""
        held, guest = deed.before, run.node.guest
        tenure = self._tenure(run.node.tenure)
        if held.chain is None or tenure.chain is None or not deed.chain.beats(held.chain):
            return
        if guest is not None and guest.executes and deed.chain.beats(tenure.chain):
            raise Broken("lower branch: it goes on although a higher one is known")
        before, now = self._branch(held), self._branch(tenure)
        if held.phase not in (Phase.NONE, Phase.RESERVED) and now != before:
            run.common = run.common._replace(ceased=run.common.ceased | {(run.who, before)})

    def _go_on(self, run: Run) -> None:
        guest = run.node.guest
        if guest is not None and not guest.executes and self._may_run(run):
            run.change(guest=None)
            self._start(run, guest.memory)

    def _start_if_due(self, run: Run) -> None:
        if self._is_due(run):
            self._start(run, self._latest(run).memory)

    def _set_back_if_due(self, run: Run) -> None:
        if self._is_due(run) and not run.node.clean:
            then = self._latest(run).mailbox
            run.change(mailbox=self._mailroom.set_back(run.node.mailbox, then))

    def _is_due(self, run: Run) -> bool:
        return self._may_run(run) and run.node.guest is None

    def _may_run(self, run: Run) -> bool:
        phase = self._tenure(run.node.tenure).phase
        return phase in (Phase.HOLDING, Phase.OFFERED, Phase.STAGING)

    def _latest(self, run: Run) -> Snapshot:
        """Here: the tenure's snapshot, or the image."""
        digest = self._tenure(run.node.tenure).snapshot
        if digest is None:
            return Snapshot(Memory(0), self._mailroom.empty)
        self._kept(run, digest)
        return self._snapshots.values[self._numbers[digest]]

    def _align(self, run: Run) -> None:
        """As `Guest._on_ready`, and what the hello tells the guest."""
        executes, memory = run.guest
        acked = max(memory.acked, self._mailroom.output(run.node.mailbox))
        run.change(
            guest=Guest(executes, memory._replace(acked=acked)),
            mailbox=self._mailroom.align(run.node.mailbox, len(memory.taken)),
        )

    def _saved(self, run: Run) -> tuple[Run, int]:
        """The parked guest's state, on disk, and its number."""
        assert run.node.guest is not None
        number = self._snapshots.number(Snapshot(run.node.guest.memory, run.node.mailbox))
        if number == len(self._digests):
            self._digests.append(Digest.of(b"snapshot %d" % number))
            self._numbers[self._digests[number]] = number
        saved = run.copy()
        saved.change(disk=run.node.disk | {number})
        return saved, number

    def _tenure(self, number: int) -> Tenure:
        return self._handoffs.tenures.values[number]
