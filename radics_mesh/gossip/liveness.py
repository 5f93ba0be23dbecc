"""The failure detector at work: its datagrams, its clock, its book on disk. A thin Trio shell.

    Channel (TAG_SWIM) ─ receive ─▶ Swim ─▶ changes()
                         sleep until its deadline ─┘

The book remembers who is gone since when, over restarts: signed words, addresses and wall times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom

import structlog
import trio

from radics_mesh.broadcast import Broadcast
from radics_mesh.clock import Clock
from radics_mesh.durable import write_durably
from radics_mesh.errors import LinkError, WireError
from radics_mesh.gossip.absences import dump, load
from radics_mesh.gossip.beliefs import Change
from radics_mesh.gossip.members import Member, State
from radics_mesh.gossip.settings import Settings
from radics_mesh.gossip.swim import Swim
from radics_mesh.identity import Identity
from radics_mesh.ids import Digest, NodeId
from radics_mesh.link import DatagramLink, SocketAddress

log = structlog.get_logger(__name__)

# How often others are looked for where they may be, and members that were revoked forgotten.
LOOK_S = 5.0
# Of a large mesh so many are tried in one look.
MEET_MAX = 8


@dataclass(frozen=True)
class Standing:
    """Of a node as this one sees it now. `for_s`: how long it has been in its state."""

    node: NodeId
    state: State
    for_s: float
    # Since it last answered; None: never, others vouch for it.
    heard_s: float | None
    address: SocketAddress | None
    incarnation: int
    accusers: int


class Liveness:
    """`run` it. `acquaintances` gives addresses where other nodes may be (a bootstrap, the DHT's
    contacts); `path` is where it writes down who is gone; `admits` is as of Swim, and `seek` is
    told of whom it did not admit: their records may be had from somewhere. `pinned`, as of
    Members, may be set at any time."""

    def __init__(
        self,
        *,
        link: DatagramLink,
        identity: Identity,
        mesh: Digest,
        clock: Clock,
        acquaintances: Callable[[], Iterable[SocketAddress]] = tuple,
        admits: Callable[[bytes], bool] = lambda key: True,
        seek: Callable[[NodeId], None] = lambda node: None,
        settings: Settings | None = None,
        path: Path | None = None,
        random: Random | None = None,
    ) -> None:
        # Nonces must not be guessed: who guesses one can acknowledge in advance.
        self._random = random or SystemRandom()
        self.swim = Swim(
            identity,
            mesh,
            random=self._random,
            now=clock.monotonic(),
            admits=admits,
            settings=settings,
        )
        self._mesh = mesh
        self._path = path
        self._unsaved = False
        self._link = link
        self._clock = clock
        self._load()
        self._acquaintances = acquaintances
        self._seek = seek
        self.pinned: Callable[[], Collection[NodeId]] = frozenset
        self._changes: Broadcast[Change] = Broadcast()
        # Where a member has answered for the first time, or again after it was gone.
        self.met: Broadcast[SocketAddress] = Broadcast()
        self._sooner = trio.Event()
        self._sending = trio.Event()

    # --- asking ---------------------------------------------------------------------------------

    def changes(self) -> trio.MemoryReceiveChannel[Change]:
        """From now on; see `Broadcast.listen` for what a slow reader loses."""
        return self._changes.listen()

    def standing(self, node: NodeId) -> Standing | None:
        """None: it is not in this node's view."""
        member = self.swim.members.get(node)
        return None if member is None else self._standing(member)

    def standings(self) -> list[Standing]:
        """Of everyone in the view, and of those who are gone."""
        return [self._standing(member) for member in self.swim.members]

    def _standing(self, member: Member) -> Standing:
        now = self._clock.monotonic()
        return Standing(
            node=member.node_id,
            state=member.state,
            for_s=now - member.since,
            heard_s=None if member.heard == -math.inf else now - member.heard,
            address=member.addresses[0] if member.addresses else None,
            incarnation=member.word.incarnation,
            accusers=len(member.suspicion.accusers) if member.suspicion else 0,
        )

    def is_gone(self, node: NodeId) -> bool:
        """Whether it is unreachable or has left; false of a node of which nothing is known."""
        member = self.swim.members.get(node)
        return member is not None and member.is_gone

    def is_proved(self, address: SocketAddress) -> bool:
        """Whether a member answers there, so that long answers may be sent to it."""
        return self.swim.members.proved_at(address) is not None

    def is_near(self, node: NodeId) -> bool:
        """Whether datagrams reach it."""
        member = self.swim.members.get(node)
        return member is not None and member.is_near and not member.is_gone

    def view(self) -> list[NodeId]:
        return [member.node_id for member in self.swim.members.live()]

    def gone(self) -> list[NodeId]:
        """Those that cannot be reached. Who has left is not waiting for anything."""
        gone = self.swim.members.gone()
        return [member.node_id for member in gone if member.state is State.UNREACHABLE]

    def reachable(self) -> list[SocketAddress]:
        """Where members answer, one address each."""
        return [one.addresses[0] for one in self.swim.members.live() if one.is_near]

    def learn(self, node: NodeId, addresses: Iterable[SocketAddress]) -> None:
        """Where a member says that it can be reached."""
        self.swim.learn(node, addresses)

    # --- running --------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled, when it says good-bye, or the link is closed (LinkError)."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive)
                nursery.start_soon(self._tick)
                nursery.start_soon(self._look)
                task_status.started()
        finally:
            self._save()
            self.swim.leave()
            with trio.CancelScope(deadline=trio.current_time() + 1, shield=True):
                await self._send()

    async def _receive(self) -> None:
        while True:
            datagram, source = await self._link.receive()
            deadline = self.swim.deadline
            self.swim.receive(datagram, source, self._clock.monotonic())
            await self._flush()
            if self.swim.deadline < deadline:
                self._sooner.set()

    async def _tick(self) -> None:
        while True:
            self._sooner = trio.Event()
            wait_s = self.swim.deadline - self._clock.monotonic()
            with trio.move_on_after(max(0.0, wait_s)):
                await self._sooner.wait()
            self.swim.tick(self._clock.monotonic())
            await self._flush()

    async def _look(self) -> None:
        while True:
            self.swim.members.pinned = self.pinned()
            self.swim.beliefs.drop_strangers()
            for node in self.swim.beliefs.take_strangers():
                self._seek(node)
            addresses = [one for one in self._acquaintances() if one != self._link.local]
            unknown = [one for one in addresses if not self.is_proved(one)]
            now = self._clock.monotonic()
            for address in self._random.sample(unknown, min(MEET_MAX, len(unknown))):
                self.swim.meet(address, now)
            await self._flush()
            self._save()
            alone = not len(self.swim.members)
            await trio.sleep(LOOK_S * self._random.uniform(0.8, 1.2) / (5 if alone else 1))

    async def _flush(self) -> None:
        for change in self.swim.changes():
            self._unsaved = True
            self._changes.tell(change)
        for address in self.swim.met():
            self.met.tell(address)
        await self._send()

    def _load(self) -> None:
        """A damaged book is an empty one: whoever is gone will be missed again."""
        if self._path is None or not self._path.exists():
            return
        now, wall = self._clock.monotonic(), self._clock.wall()
        try:
            load(self._path.read_bytes(), self.swim.members, self._mesh, now, wall)
        except WireError as error:
            log.warning("absences ignored", path=str(self._path), reason=str(error))

    def _save(self) -> None:
        """Durably, if anybody came or went; blocks while the disk syncs."""
        if self._path is not None and self._unsaved:
            self._unsaved = False
            now, wall = self._clock.monotonic(), self._clock.wall()
            write_durably(self._path, dump(self.swim.members, now, wall), mode=0o600)

    async def _send(self) -> None:
        for datagram, address in self.swim.take():
            try:
                await self._link.send(datagram, address)
            except LinkError:
                self.swim.counters["unsendable"] += 1
