"""Nodes witness each other's starts (radics_mesh.hosting.boots). [version, type, ...], one bundle
each, to dtn://<node>/witness:

  BOOT  [[number, nonce]], [[vm id, chain digest]]   these were my last starts, the latest first,
                                                     and these VMs I hold
  SEEN  number, nonce, [chain]        the highest that I know of you, and better chains of your VMs

A BOOT goes to every peer that comes into reach. An answer with our latest start confirms it: with
`--require-witness` nothing starts before that. An answer with a start that we do not know means
that our disk is an older one: VMs of which others know better chains give way
(radics_mesh.vmm.handoff_branches), the others go on as a new branch, and we start anew, with a
number above the one that was seen.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import structlog
import trio

from radics_mesh.clock import to_dtn
from radics_mesh.codec import Fields, pack
from radics_mesh.dtn.agent import Delivery
from radics_mesh.errors import CapacityError, PeerError, WireError
from radics_mesh.hosting.boots import HISTORY, NONCE_BYTES, Boot, Boots, has_forgotten
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.vm import Vm
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.ownership import CHAIN_MAX_BYTES, Ownership
from radics_mesh.records import Kind

log = structlog.get_logger(__name__)

VERSION = 1
SERVICE = "witness"
_VMS_MAX = 512
_CHAINS_MAX = 64
_CHAINS_BYTES = 256 << 10
_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Shown:
    """BOOT."""

    history: list[Boot]
    holds: list[tuple[VmId, Digest]]


@dataclass(frozen=True)
class Seen:
    """SEEN."""

    boot: Boot
    chains: list[bytes]


def encode(message: Shown | Seen) -> bytes:
    if isinstance(message, Shown):
        boots = [[boot.number, boot.nonce] for boot in message.history]
        holds = [[bytes(vm_id), bytes(digest)] for vm_id, digest in message.holds[:_VMS_MAX]]
        return pack([VERSION, "boot", boots, holds])
    return pack([VERSION, "seen", message.boot.number, message.boot.nonce, message.chains])


def decode(data: bytes) -> Shown | Seen:
    """WireError for anything else than `encode` makes; chains are not looked into."""
    fields = Fields.parse(data, "witness message", limit_bytes=_MAX_BYTES)
    fields.integer(VERSION, VERSION)
    name = fields.text(limit=16)
    message: Shown | Seen
    if name == "boot":
        history = [_boot(item) for item in fields.items(limit=HISTORY)]
        message = Shown(history, [_holding(item) for item in fields.items(limit=_VMS_MAX)])
        if not history or any(a.number <= b.number for a, b in pairwise(history)):
            raise WireError("witness message: no history of starts")
    elif name == "seen":
        boot = Boot(fields.integer(1, 1 << 53), fields.blob(NONCE_BYTES))
        message = Seen(boot, [_blob(item) for item in fields.items(limit=_CHAINS_MAX)])
    else:
        raise WireError(f"witness message of an unknown type {name!r}")
    fields.end()
    return message


def _boot(value: object) -> Boot:
    fields = Fields(value, "start of a node")
    boot = Boot(fields.integer(1, 1 << 53), fields.blob(NONCE_BYTES))
    fields.end()
    return boot


def _holding(value: object) -> tuple[VmId, Digest]:
    fields = Fields(value, "holding")
    holding = VmId(fields.blob(20)), Digest(fields.blob(32))
    fields.end()
    return holding


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes) or len(value) > CHAIN_MAX_BYTES:
        raise WireError("witness message: not a chain")
    return value


def _shown(value: object) -> Boot | None:
    """From a node's record; None for what makes no sense."""
    with suppress(WireError):
        return _boot(value)
    return None


class Witness:
    """`held`: the VMs held here. `set_back`: this disk is an older one, what runs a new branch."""

    def __init__(
        self,
        host: Host,
        boots: Boots,
        held: Callable[[], Iterable[Vm]],
        set_back: Callable[[], Awaitable[None]],
    ) -> None:
        self._host = host
        self._boots = boots
        self._held = held
        self._set_back = set_back
        self._boot = boots.begin()
        self._glimpsed: dict[NodeId, Boot] = {}
        self._contacts, self._met = trio.open_memory_channel[NodeId](256)
        self._chains, self._learned = trio.open_memory_channel[Ownership](1024)

    @property
    def boot(self) -> Boot:
        """This start, as others should see it."""
        return self._boot

    def seen(self, node: NodeId) -> Boot | None:
        """The latest start of another node that was witnessed here."""
        return self._boots.seen(node)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        directory, agent = self._host.directory, self._host.agent
        for chain in await trio.to_thread.run_sync(self._boots.chains):
            directory.learn_ownership(chain.pack())
        registration = agent.register(self._host.me.node_id.service(SERVICE), self._handle)
        agent.on_contact = self._in_reach
        for contact in agent.contacts():
            self._in_reach(contact.peer)
        changes = directory.changes()
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._greet)
                nursery.start_soon(self._remember)
                async for change in changes:
                    if change.kind is Kind.VM:
                        self._note(change.subject)
                    elif change.kind is Kind.NODE and change.publisher != self._host.me.node_id:
                        await self._glimpse(change.publisher)
        finally:
            await registration.end()

    def _in_reach(self, peer: object) -> None:
        if isinstance(peer, NodeId):
            try:
                self._contacts.send_nowait(peer)
            except trio.WouldBlock:  # so many at once: the others will do
                log.warning("a peer is not asked for its witness", peer=peer.short)

    async def _greet(self) -> None:
        async for peer in self._met:
            await self._show(peer)

    async def _show(self, peer: NodeId) -> None:
        history = await trio.to_thread.run_sync(self._boots.history)
        holds = [(vm.vm_id, vm.life.chain.digest) for vm in self._held()]
        await self._say(peer, Shown(history, holds))

    async def _say(self, to: NodeId, message: Shown | Seen) -> None:
        # A disk that was set back counts its bundles anew: these must not seem to have come before.
        stamp = to_dtn(self._host.me.clock.wall()), int.from_bytes(os.urandom(6))
        try:
            await self._host.agent.send(to.service(SERVICE), encode(message), stamp=stamp)
        except CapacityError as error:
            log.warning("witness message not sent", to=to.short, reason=str(error))

    def _note(self, subject: str) -> None:
        try:
            chain = self._host.directory.ownership(VmId.parse(subject))
            if chain is not None:
                self._chains.send_nowait(chain)
        except (WireError, trio.WouldBlock):  # it is told of again
            log.debug("a chain is not remembered", vm=subject)

    async def _remember(self) -> None:
        async for chain in self._learned:
            try:
                await trio.to_thread.run_sync(self._boots.remember, chain)
            except OSError as error:
                log.warning("a chain is not remembered", reason=str(error))

    async def _handle(self, delivery: Delivery) -> None:
        sender = delivery.signer
        if sender is None:
            raise PeerError("a witness message without a member's signature")
        message = decode(delivery.payload)
        try:
            if isinstance(message, Shown):
                await self._on_shown(message, sender)
            else:
                await self._on_seen(message, sender)
        except OSError as error:  # dropped; the next contact brings another
            raise CapacityError(f"a start cannot be witnessed: {error}") from error

    # --- as a witness ---------------------------------------------------------------------------

    async def _on_shown(self, message: Shown, sender: NodeId) -> None:
        seen = await trio.to_thread.run_sync(self._boots.witness, sender, message.history)
        if seen != message.history[0]:
            self._report(sender, message.history[0], seen)
        await self._say(sender, Seen(seen, self._better(message.holds)))

    def _report(self, node: NodeId, shown: Boot, seen: Boot) -> None:
        self._host.journal(
            "warning",
            f"{self._host.name_of(node)} was set back to an older state of its disk: it shows start"
            f" {shown.number}, start {seen.number} was seen",
        )

    async def _glimpse(self, node: NodeId) -> None:
        """Its record says which start it is in: enough to tell one that forgot, however far it is;
        not to witness it, since a record shows no history."""
        for entry in self._host.directory.known(Kind.NODE, node.text):
            shown = _shown(entry.record.body.get("boot"))
            seen = await trio.to_thread.run_sync(self._boots.seen, node)
            if shown is None or seen is None or self._glimpsed.get(node) == shown:
                continue
            self._glimpsed[node] = shown
            if has_forgotten((shown,), seen):
                self._report(node, shown, seen)
                await self._say(node, Seen(seen, []))

    def _better(self, holds: list[tuple[VmId, Digest]]) -> list[bytes]:
        chains, total = list[bytes](), 0
        for vm_id, digest in holds:
            best = self._host.directory.ownership(vm_id)
            if best is None or best.digest == digest:
                continue
            packed = best.pack()
            total += len(packed)
            if len(chains) == _CHAINS_MAX or total > _CHAINS_BYTES:
                break
            chains.append(packed)
        return chains

    # --- as the one that is witnessed -----------------------------------------------------------

    async def _on_seen(self, message: Seen, sender: NodeId) -> None:
        history = await trio.to_thread.run_sync(self._boots.history)
        for packed in message.chains:
            self._host.directory.learn_ownership(packed)
        if has_forgotten(history, message.boot):
            await self._was_set_back(message.boot, sender)
        elif message.boot == self._boot and not self._host.confirmed.is_set():
            self._host.journal("info", f"{self._host.name_of(sender)} confirms this start")
            self._host.confirmed.set()

    async def _was_set_back(self, seen: Boot, sender: NodeId) -> None:
        before = self._boot
        self._boot = await trio.to_thread.run_sync(self._boots.begin, seen)
        self._host.journal(
            "error",
            f"this node was set back to an older state of its disk: {self._host.name_of(sender)}"
            f" saw start {seen.number}, this was start {before.number}; VMs that others know more"
            " of stop here, and their states are kept",
        )
        self._host.agent.leap()
        await self._set_back()
        await self._show(sender)
