"""The rules of messages: to the VM, from it, and what a checkpoint covers of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from radics_mesh.hosting.papers import Mailbox
from radics_mesh.ids import VmId
from radics_mesh.vmm.frames import StreamState
from tests.exploration.deeds import (
    AcknowledgeOutput,
    CommitOutput,
    Cover,
    Deed,
    FileBundle,
    FinishBundle,
    ForgetSent,
    SendOutput,
    StartIfDue,
)
from tests.exploration.mailroom import Room
from tests.exploration.node import Shell
from tests.exploration.rules.mutant import MOVE, Mutant
from tests.exploration.world import Bounds, Handing, Node

# --- messages -----------------------------------------------------------------------------------


class WindowStays(Room):
    def mailbox(self, vm_id: VmId) -> Mailbox:
        return replace(super().mailbox(vm_id), window=())


class MailStays(Room):
    def mailbox(self, vm_id: VmId) -> Mailbox:
        return replace(super().mailbox(vm_id), mail=())


class CountStartsAgain(Room):
    """The numbers of messages do not travel, nor does the guest's word set them right."""

    def mailbox(self, vm_id: VmId) -> Mailbox:
        return replace(super().mailbox(vm_id), next_mail=1)

    def align(self, vm_id: VmId, told: Iterable[StreamState]) -> None:
        pass


class FinishedBeforeFiled(Shell):
    def filed(self, message: int) -> Sequence[Deed]:
        return FinishBundle(message), FileBundle(message)


class DroppedAtTheOldHost(Shell):
    def closed(self, node: Node, message: int) -> Node | None:
        return node._replace(held=node.held - {message}, delivered=node.delivered | {message})


class OpenWhileParked(Shell):
    def is_open(self, node: Node) -> bool:
        return node.guest is not None


class PassedIsSeen(Shell):
    def passed_on(self, node: Node, message: int) -> Node:
        left = super().passed_on(node, message)
        return left._replace(delivered=left.delivered | {message})


class CrossingIsDropped(Shell):
    def crosses(
        self, message: int, handing: frozenset[Handing], last: Handing
    ) -> frozenset[Handing]:
        return handing


class CommittedBeforeSent(Shell):
    def sent(self, number: int) -> Sequence[Deed]:
        return CommitOutput(number), SendOutput(number), AcknowledgeOutput(number)


class AcknowledgedBeforeSent(Shell):
    def sent(self, number: int) -> Sequence[Deed]:
        return AcknowledgeOutput(number), SendOutput(number), CommitOutput(number)


# --- checkpoints and power losses ---------------------------------------------------------------


class TakenIsGone(Room):
    def taken(self, vm_id: VmId, done: int, stream: int = 0) -> None:
        super().taken(vm_id, done, stream)
        with self._transaction() as db:
            db.execute("DELETE FROM kept")


class HeldStays(Room):
    def mailbox(self, vm_id: VmId) -> Mailbox:
        return replace(super().mailbox(vm_id), outbound=())


class CoveredTooEarly(Shell):
    def checkpointed(self, snapshot: int, durably: Sequence[Deed]) -> Sequence[Deed]:
        return Cover(), *durably


class MailboxNotSetBack(Shell):
    def started_again(self) -> Sequence[Deed]:
        return (StartIfDue(),)


class SentAtOnce(Shell):
    def sent(self, number: int) -> Sequence[Deed]:
        return SendOutput(number), CommitOutput(number), AcknowledgeOutput(number)


class ForgottenBeforeSent(Shell):
    def released(self, outputs: Sequence[int]) -> Sequence[Deed]:
        return ForgetSent(), *map(SendOutput, outputs)


_MAIL = replace(MOVE, messages=1)
_CROSSING = replace(_MAIL, copies=1, crossings=True, one_way=True, two_way=False)
_OUTPUT = Bounds(moves=0, crashes=1, in_flight=0, outputs=1)
_LOSS = Bounds(moves=0, crashes=0, in_flight=0, power_losses=1, checkpoints=1)
_MAIL_LOSS = replace(_LOSS, messages=1)
_COMMIT = replace(_LOSS, outputs=1, commit=True)

MESSAGES = (
    Mutant(
        "window of keys stays behind", replace(_MAIL, copies=1), "taken twice", room=WindowStays
    ),
    Mutant("mail stays behind", _MAIL, "no way on", room=MailStays),
    Mutant("numbers start again", replace(_MAIL, messages=2), "one number", room=CountStartsAgain),
    Mutant(
        "bundle finished before it is filed",
        replace(_MAIL, crashes=1),
        "no way on",
        shell=FinishedBeforeFiled,
    ),
    Mutant("dropped at the old host", _MAIL, "no way on", shell=DroppedAtTheOldHost),
    Mutant("mailbox open while parked", _MAIL, "no way on", shell=OpenWhileParked),
    Mutant("passing through counts as seen", _MAIL, "no way on", shell=PassedIsSeen),
    Mutant("bundles that cross are dropped", _CROSSING, "no way on", shell=CrossingIsDropped),
    Mutant("output committed before it is sent", _OUTPUT, "lost output", shell=CommittedBeforeSent),
    Mutant("acknowledged before it is sent", _OUTPUT, "lost output", shell=AcknowledgedBeforeSent),
)
CHECKPOINTS = (
    Mutant("what was taken is not kept", _MAIL_LOSS, "no way on", room=TakenIsGone),
    Mutant("covered before it is durable", _MAIL_LOSS, "no way on", shell=CoveredTooEarly),
    Mutant("the mailbox is not set back", _MAIL_LOSS, "no way on", shell=MailboxNotSetBack),
    Mutant("commit output: sent at once", _COMMIT, "said twice", shell=SentAtOnce),
    Mutant("commit output: covered too early", _COMMIT, "said twice", shell=CoveredTooEarly),
    Mutant(
        "commit output: forgotten before sent", _COMMIT, "lost output", shell=ForgottenBeforeSent
    ),
    Mutant(
        "commit output: what is held stays behind",
        replace(MOVE, outputs=1, commit=True),
        "lost output",
        room=HeldStays,
    ),
)
