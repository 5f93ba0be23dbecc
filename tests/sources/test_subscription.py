"""The two cores against a hostile network: every message once, in order, whatever happens.

Bundles are lost, doubled, overtaken and held back; the publisher is killed and comes back with
the cursors that it had flushed; the subscriber moves to another node, or is set back to an older
checkpoint, at a higher epoch; its host is killed and attaches again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from radics_mesh.errors import PeerError
from radics_mesh.ids import Eid, NodeId, VmId
from radics_mesh.sources.ledger import Cursor
from radics_mesh.sources.messages import (
    Ack,
    Data,
    Fence,
    Key,
    Message,
    Refusal,
    Refused,
    Subscribe,
    Unsubscribe,
)
from radics_mesh.sources.publication import Publication
from radics_mesh.sources.reception import Reception

LENGTH = 25
MESSAGES = [b"message %d " % n * (n % 7) for n in range(1, LENGTH + 1)]
VM: Eid = VmId(b"v" * 20).eid
NODES = [NodeId(bytes([n]) * 20) for n in range(3)]


def position(number: int) -> int:
    return sum(map(len, MESSAGES[:number]))


@dataclass
class Host:
    """A subscriber's node: its reception and what its guest has taken and made durable."""

    node: NodeId
    reception: Reception
    got: list[bytes] = field(default_factory=list)


class World(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.epoch = 1
        self.attachment = 1
        self.network: list[tuple[NodeId, Message]] = []  # (the subscriber's node, message)
        self.flushed: tuple[int, list[Cursor]] = (0, [])
        self.publication = self.restored()
        self.checkpoint: list[bytes] = []
        self.host = self.attach(NODES[0], [])
        for _ in range(2):  # it begins with a working network and an established subscription
            self.work()
            self.deliver_all_in_order()

    def restored(self) -> Publication:
        head, cursors = self.flushed
        return Publication("s", LENGTH, 20.0, position, head=head, cursors=cursors, now=self.now)

    def attach(self, node: NodeId, got: list[bytes]) -> Host:
        key = Key("s", VM, Fence(self.epoch, self.attachment))
        return Host(node, Reception(key, len(got), b"", self.now), list(got))

    # --- time and work --------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.05, 0.3, 1.0, 3.0, 15.0, 130.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.work()

    def work(self) -> None:
        self.publication.produce(self.now)
        for subscription in self.publication.subscriptions.values():
            while (due := self.publication.due(subscription)) is not None:
                first, last, _ = due
                last = min(last, first + 6)
                messages = MESSAGES[first - 1 : last]
                subscription.note_sent(last, sum(map(len, messages)), self.now)
                key = Key("s", VM, subscription.fence)
                data = Data(key, first, tuple(messages), last == LENGTH)
                self.network.append((subscription.node, data))
        while (said := self.host.reception.poll(self.now)) is not None:
            self.network.append((self.host.node, said))

    @rule(max_bytes=st.integers(0, 300), durable=st.booleans())
    def guest_takes(self, max_bytes: int, durable: bool) -> None:
        batch = self.host.reception.take(max_bytes)
        if batch is None:
            return
        assert batch.first == len(self.host.got) + 1
        self.host.got += batch.messages
        assert not batch.end or len(self.host.got) == LENGTH
        if durable:
            self.host.reception.acknowledge(len(self.host.got), self.now)

    @rule()
    def guest_saves(self) -> None:
        self.checkpoint = list(self.host.got)
        self.host.reception.acknowledge(len(self.host.got), self.now)

    # --- the network ----------------------------------------------------------------------------

    @precondition(lambda self: self.network)
    @rule(which=st.integers(0, 1 << 16), keep=st.booleans())
    def deliver(self, which: int, keep: bool) -> None:
        at = which % len(self.network)
        node, message = self.network[at]
        if not keep:  # kept: it will come twice
            del self.network[at]
        self.arrive(node, message)

    @precondition(lambda self: self.network)
    @rule(which=st.integers(0, 1 << 16), everything=st.booleans())
    def lose(self, which: int, everything: bool) -> None:
        if everything:
            self.network.clear()
        else:
            del self.network[which % len(self.network)]

    @rule()
    def all_goes_well_for_a_while(self) -> None:
        for _ in range(4):
            self.pass_time(0.1)
            self.deliver_all_in_order()
            self.guest_takes(1000, True)

    @rule()
    def deliver_all_in_order(self) -> None:
        waiting, self.network = self.network, []
        for node, message in waiting:
            self.arrive(node, message)

    def arrive(self, node: NodeId, message: Message) -> None:
        if isinstance(message, Data):
            if node == self.host.node:
                self.host.reception.data(message, self.now)
        elif isinstance(message, Refused):
            if node == self.host.node:
                self.host.reception.refuse(message)
        else:
            self.arrive_at_publisher(node, message)
        self.work()

    def arrive_at_publisher(self, node: NodeId, message: Message) -> None:
        """As `service.Sources` does it."""
        fence = message.key.fence
        try:
            if isinstance(message, Subscribe):
                held = self.publication.held(VM)
                self.publication.subscribe(
                    VM,
                    node,
                    fence,
                    serial=message.serial,
                    acknowledged=message.acknowledged,
                    have=message.have,
                    now=self.now,
                )
                if held != fence:
                    self.flush()
            elif isinstance(message, Ack):
                self.publication.acknowledge(VM, fence, message.number, self.now)
            elif isinstance(message, Unsubscribe):
                self.publication.unsubscribe(
                    VM, fence, message.serial, message.acknowledged, self.now
                )
                self.flush()
        except PeerError:
            held = self.publication.held(VM)
            if isinstance(message, Subscribe) and held is not None:
                same = held.epoch == fence.epoch
                reason = Refusal.BEHIND if same else Refusal.SUPERSEDED
                self.network.append((node, Refused(message.key, reason, held)))

    # --- disasters ------------------------------------------------------------------------------

    @rule(
        what=st.sampled_from(["publisher", "move", "rollback", "host"]),
        to=st.sampled_from(NODES),
        says_so=st.booleans(),
    )
    def disaster(self, what: str, to: NodeId, says_so: bool) -> None:
        match what:
            case "publisher":
                self.publication = self.restored()
            case "move":
                self.move(to, says_so)
            case "rollback":  # to the last checkpoint, at a higher epoch
                self.epoch += 1
                self.host = self.attach(self.host.node, self.checkpoint)
            case "host":  # its node is killed, its guest lives
                self.attachment += 1
                self.host = self.attach(self.host.node, self.host.got)

    @rule()
    def flush(self) -> None:
        cursors = [s.cursor for s in self.publication.subscriptions.values()]
        self.flushed = (self.publication.head, cursors)

    def move(self, to: NodeId, says_so: bool) -> None:
        if says_so:
            self.network.append((self.host.node, self.host.reception.leave()))
        self.epoch += 1
        self.host = self.attach(to, self.host.got)

    # --- what must hold -------------------------------------------------------------------------

    @invariant()
    def nothing_is_missing_or_twice(self) -> None:
        assert self.host.got == MESSAGES[: len(self.host.got)]

    @invariant()
    def nobody_alive_is_cut_off(self) -> None:
        assert self.host.reception.refused is None

    @invariant()
    def standing_is_consistent(self) -> None:
        for subscription in self.publication.subscriptions.values():
            assert subscription.acknowledged <= subscription.sent <= self.publication.head
            assert subscription.flight_bytes == sum(size for _, size, _ in subscription.flight)

    def teardown(self) -> None:
        """Once the network behaves, all arrives in the end."""
        for _ in range(300):
            self.now += 1.0
            self.work()
            self.deliver_all_in_order()
            self.guest_takes(10_000, True)
            if len(self.host.got) == LENGTH:
                break
        assert self.host.got == MESSAGES


TestSubscription = World.TestCase
TestSubscription.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
