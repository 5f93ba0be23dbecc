"""What comes for one running guest: bundles become mail in its boxes, and mail its messages.

A bundle is taken when it is filed, durably; it is handed to the guest as its windows allow. Each
box has a registration and a task of its own: one that is full keeps no other one waiting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import structlog
import trio

from radics_mesh.dtn.agent import Agent, Delivery, Registration
from radics_mesh.dtn.handling.endpoints import Elsewhere
from radics_mesh.errors import CapacityError, GuestError, WireError
from radics_mesh.hosting.logs import VmLog
from radics_mesh.hosting.papers import BOX_MAX_BYTES, INBOX_MAX_BYTES, mail_key
from radics_mesh.hosting.table import Table
from radics_mesh.ids import Eid
from radics_mesh.ownership import Ownership
from radics_mesh.sources.service import Sources
from radics_mesh.vmm import abi
from radics_mesh.vmm.frames import Message
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.outputs import REPLY_PREFIX

log = structlog.get_logger(__name__)

# A full bundle store or disk is tried again after this; meanwhile the guest's output window fills
# up, and it stands still without having lost anything.
FULL_WAIT_S = 0.5
# Of mail that was taken and must be kept until a checkpoint covers it, as when none can be written:
# more than this, and what comes waits in the bundle store.
KEPT_LAST_BYTES = 64 << 20
# Replies that may wait for a VM when its node adds one of its own.
ANSWERS_MAX_BYTES = 1 << 20

Result = TypeVar("Result")


class Waits(Protocol):
    """See Wishes."""

    def __call__(self, *, pressed: bool) -> None: ...


@dataclass(frozen=True)
class Wishes:
    """What of a guest asks for a checkpoint. `program`: its output of that number does; `waits`:
    something waits for one, `pressed`: the guest itself; `kept`: mail was taken."""

    program: Callable[[int], None]
    waits: Waits
    kept: Callable[[], None]


@dataclass(frozen=True)
class Outside:
    """What a guest reaches through its host.

    `mesh`: what the node knows, as lines of text (guest_lib/client/mesh.c reads them); `hint`: keep
    durably where the program would like to be; `warn`: tell people of the guest; `copy_of`: the
    epoch in which its mail is to be copied for keepers, 0: it is not; `copied`: some was.
    """

    node: Eid
    agent: Agent
    sources: Sources
    table: Table
    mesh: Callable[[], bytes]
    hint: Callable[[str], None]
    warn: Callable[[str], None]
    wishes: Wishes
    copy_of: Callable[[], int]
    copied: Callable[[], None]


class MailTask:
    """`Guest`'s part that brings in; it has the nursery."""

    def __init__(self, machine: Machine, chain: Ownership, vm_log: VmLog, outside: Outside) -> None:
        self.machine = machine
        self.received_bytes: Counter[Eid] = Counter()
        self._vm_id = chain.vm_id
        self._eid = chain.vm_id.eid
        self._log = vm_log
        self._outside = outside
        self._agent, self._table = outside.agent, outside.table
        # By what follows the VM's endpoint: the mailbox, replies, services.
        self._registrations: dict[str, Registration] = {}
        # One for each stream that is served: a box of mail, or a feed.
        self._scopes: dict[int, trio.CancelScope] = {}
        self._open = True
        self._posted = trio.Event()
        self._taken = trio.Event()
        self._inbox_max_bytes = INBOX_MAX_BYTES
        self._disk_full = False
        self._nursery: trio.Nursery | None = None

    def open_mailbox(self) -> None:
        """Mail for the VM is taken here. A no-op when it is.

        Each box has a registration of its own: one that is full keeps no other one waiting.
        """
        self._open = True
        self._register("", prefix=True)
        self._register(REPLY_PREFIX, prefix=True)
        for box in self._table.boxes(self._vm_id):
            if box.stream < abi.STREAM_TIMERS:
                self._register(box.service)

    def _register(self, service: str, *, prefix: bool = False) -> None:
        if service in self._registrations or not self._open:
            return
        try:
            endpoint = Eid(self._eid + service)
        except WireError as error:  # no bundle can be addressed to it
            self._say(f"cannot serve {service[:80]!r}: {error}")
            return
        self._registrations[service] = self._agent.register(endpoint, self.receive, prefix=prefix)

    def close_mailbox(self) -> None:
        """From now on nothing is added to the mailbox."""
        self._open = False
        registrations, self._registrations = self._registrations, {}
        for registration in registrations.values():
            registration.close()
        self._taken.set()

    async def receive(self, delivery: Delivery) -> None:
        """A bundle for the VM. On return it is in the mailbox, durably."""
        size_bytes = len(delivery.payload)
        if size_bytes > abi.MESSAGE_MAX:
            raise CapacityError(f"{size_bytes} bytes are too long for a guest's message")
        service, key = delivery.destination.service_name, mail_key(str(delivery.bundle_id))
        if not await self.file(service, key, delivery.source, delivery.payload):
            raise Elsewhere

    async def file(self, service: str, key: bytes, sender: str, payload: bytes) -> bool:
        """Put a message into the mailbox, durably, once there is room; False: the VM has left."""
        while await self._has_room(service):
            copy_of = self._outside.copy_of()
            try:
                new = self._table.post(self._vm_id, key, sender, service, payload, copy_of)
            except OSError as error:
                await self._disk_failed(error)  # until it takes it, the VM may have left
                continue
            if new:
                self.received_bytes[Eid(sender)] += len(payload)
                self._posted.set()
                if copy_of:
                    self._outside.copied()
            return True
        return False

    async def _has_room(self, service: str) -> bool:
        """Wait for room where mail for a service is filed; False: the mailbox is closed."""
        while self._open:
            stream = self._table.stream_of(self._vm_id, service)
            limit = BOX_MAX_BYTES if stream else self._inbox_max_bytes
            kept = self._table.kept_bytes(self._vm_id)
            if kept <= KEPT_LAST_BYTES and self._table.mail_bytes(self._vm_id, stream) <= limit:
                return True
            self._taken = trio.Event()
            await self._taken.wait()
        return False

    def covered(self) -> None:
        """A checkpoint has made room: what was taken before it is not kept any more."""
        self._taken.set()

    async def feed(self, data: bytes, *, end: bool = False) -> None:
        """More for its standard input, or the end of it. On return it is kept, durably.

        GuestError: it is on its way elsewhere.
        """
        stream = abi.STREAM_STDIN
        while self._open:
            if self._table.mail_bytes(self._vm_id, stream) > BOX_MAX_BYTES:
                self._taken = trio.Event()
                await self._taken.wait()
                continue
            try:
                self._table.feed(self._vm_id, data, end=end)
            except OSError as error:
                await self._disk_failed(error)
                continue
            self._posted.set()
            return
        raise GuestError("the VM is being parked, or has ended")

    async def _answer(self, service: str, reply: bytes) -> None:
        """The node's own reply to a request. Not to wait for room here: it is made by the very task
        that would hear of it."""
        if self._table.mail_bytes(self._vm_id, abi.STREAM_REPLIES) > ANSWERS_MAX_BYTES:
            self._say("too many replies wait for this VM; a request to the node is not answered")
            return
        node = self._outside.node
        copy_of = self._outside.copy_of()
        await self._kept(lambda: self._table.post(self._vm_id, b"", node, service, reply, copy_of))
        self._posted.set()

    def _start_mail(self, stream: int, have: int) -> None:
        self._start(stream, partial(self._deliver_mail, stream, have))

    async def _deliver_mail(self, stream: int, have: int) -> None:
        """Hand a box's mail to the guest, in order, as its window allows."""
        while True:
            posted = self._posted
            while mail := self._table.mail(self._vm_id, have, stream=stream):
                messages = [Message(m.payload, m.sender, m.service, m.end) for m in mail]
                await self.machine.deliver(stream, mail[0].number, messages)
                have = mail[-1].number
            await posted.wait()
            if self._posted is posted:  # the first of those who waited
                self._posted = trio.Event()

    def _start(self, stream: int, serve: Callable[[], Awaitable[None]]) -> None:
        """Serve a stream until it is closed. A no-op when it is served."""
        if stream not in self._scopes:
            self._scopes[stream] = trio.CancelScope()
            self._running().start_soon(self._serve, self._scopes[stream], serve)

    async def _serve(self, scope: trio.CancelScope, serve: Callable[[], Awaitable[None]]) -> None:
        with scope, suppress(GuestError):  # it ended; its last event says how
            await serve()

    async def _close_box(self, stream: int) -> None:
        """A service is no more. A no-op when the stream is none."""
        for box in self._table.boxes(self._vm_id):
            if box.stream == stream:
                await self._kept(lambda: self._table.close_box(self._vm_id, stream))
                registration = self._registrations.pop(box.service, None)
                if registration is not None:
                    registration.close()

    # --- what all parts of a guest need ---------------------------------------------------------

    async def _kept(self, write: Callable[[], Result]) -> Result:
        """What `write` returns, once the disk takes it."""
        while True:
            try:
                return write()
            except OSError as error:
                await self._disk_failed(error)

    async def _disk_failed(self, error: OSError) -> None:
        if not self._disk_full:
            log.error("a guest waits for the disk", vm=self._vm_id.short, reason=str(error))
        self._disk_full = True
        await trio.sleep(FULL_WAIT_S)

    def _say(self, text: str) -> None:
        """A line of the host's in the VM's log."""
        with suppress(OSError):
            self._log.append(f"[radics] {text}\n".encode())

    def _running(self) -> trio.Nursery:
        assert self._nursery is not None
        return self._nursery
