"""One running guest: what it says becomes bundles and log, what comes for it is handed in.

The guest's own memory is the truth about how far it got (Ready): after a restart of the node or a
move, mail and sources go on from there. An output is acknowledged to the guest only when its
effect is durable and the table says so; a crash in between repeats the output, and the repeat has
no second effect, because its bundle has the same id and the log is cut back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import trio

from radics_mesh.debug.explain import explain, title
from radics_mesh.errors import CapacityError, UsageError, WireError
from radics_mesh.hosting.logs import VmLog
from radics_mesh.hosting.outbox import HELD_MAX_BYTES, Outbound
from radics_mesh.hosting.papers import Settings
from radics_mesh.hosting.table import Ending
from radics_mesh.hosting.vm_feeds import FeedTask
from radics_mesh.hosting.vm_limits import Limits
from radics_mesh.hosting.vm_mail import FULL_WAIT_S, Outside
from radics_mesh.ids import Eid
from radics_mesh.ownership import Ownership
from radics_mesh.vmm import abi
from radics_mesh.vmm.conversation import Garbling
from radics_mesh.vmm.ends import End
from radics_mesh.vmm.events import Ready
from radics_mesh.vmm.frames import StreamState
from radics_mesh.vmm.machine import Machine
from radics_mesh.vmm.outputs import (
    OWN_SERVICE,
    Checkpoint,
    Close,
    Exit,
    Hint,
    Log,
    Output,
    Request,
    Send,
    Serve,
    Subscribe,
)
from radics_mesh.vmm.talk import Event

# Outputs that are made durable together.
_BATCH = 64
# What the node itself answers.
MESH_SERVICE = f"{OWN_SERVICE}mesh"


class Guest(FeedTask):
    """Made for one life of one QEMU; `run` ends with how it ended, or None after `detach`."""

    def __init__(
        self,
        machine: Machine,
        chain: Ownership,
        settings: Settings,
        vm_log: VmLog,
        outside: Outside,
    ) -> None:
        super().__init__(machine, chain, vm_log, outside)
        self.ready = trio.Event()
        # When it said its first word here, by this node's monotonic clock.
        self.ready_at: float | None = None
        self.finished = trio.Event()
        self.sent_bytes: Counter[Eid] = Counter()
        conduct, warn = settings.conduct, outside.warn
        self.limits = Limits(machine, outside.agent, chain.vm_id, warn, conduct.messages_s)
        if conduct.storage_bytes:
            self._inbox_max_bytes = min(self._inbox_max_bytes, conduct.storage_bytes // 4)
        self._settings = settings
        self._commits = settings.commit.output
        self._scope = trio.CancelScope()
        self._end: End | None = None
        self._explained = False
        # Said, to be held with the next commit.
        self._saying: list[Outbound] = []

    async def run(self) -> End | None:
        """Serve the guest until it ends, or until `detach`, after which it is left as it is."""
        self.open_mailbox()
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    nursery.start_soon(self.machine.run)
                    await self._take_events()
                    nursery.cancel_scope.cancel()
        finally:
            self.close_mailbox()
            self.finished.set()
        if self._end is not None:
            await self._leave_sources()
        return self._end

    async def detach(self) -> None:
        """Stop serving; QEMU stays."""
        self.close_mailbox()
        self._scope.cancel()
        await self.finished.wait()

    async def _take_events(self) -> None:
        async for event in self.machine.events:
            batch = [event]
            while len(batch) < _BATCH:
                try:
                    batch.append(self.machine.events.receive_nowait())
                except (trio.WouldBlock, trio.EndOfChannel):
                    break
            await self._take(batch)

    async def _take(self, batch: Sequence[Event]) -> None:
        """Give a run of events their effect, make it durable once, tell the guest."""
        await self.limits.wait([event.body for event in batch if isinstance(event, Output)])
        await self._room_to_hold()
        number, ending, checkpoint = 0, None, 0
        progress: dict[int, StreamState] = {}
        for event in batch:
            if isinstance(event, Output):
                await self._effect(event)
                number = event.number
                ending = _ending(event) or ending
                checkpoint = number if isinstance(event.body, Checkpoint) else checkpoint
            elif isinstance(event, StreamState):
                progress[event.stream] = event
            elif isinstance(event, Ready):
                await self._on_ready(event)
            elif isinstance(event, Garbling):
                self.limits.note("is slowed down: it sends garbage")
            else:
                self._end = event
        if number:
            await self._commit(number, ending)
            await self.machine.acknowledge(number)
        if ending is not None and ending.how and not self._explained:
            await self._explain(ending, batch)
            await self._commit(number, None)
        for state in progress.values():
            await self._progressed(state)
        if checkpoint:  # behind its acknowledgement: it shall not ask for itself again
            self._outside.wishes.program(checkpoint)

    async def _commit(self, number: int, ending: Ending | None) -> None:
        saying, self._saying = self._saying, []

        def make_durable() -> None:
            self._log.sync()
            self._table.outputs(self._vm_id, number, self._log.end, ending, saying)

        while True:
            try:
                await trio.to_thread.run_sync(make_durable)
            except OSError as error:
                await self._disk_failed(error)
            else:
                break
        if saying:
            self._outside.wishes.waits(pressed=False)

    async def _room_to_hold(self) -> None:
        """Until not too much waits for a checkpoint."""
        if not self._commits:
            return
        while self._table.held_bytes(self._vm_id) > HELD_MAX_BYTES:
            self._outside.wishes.waits(pressed=True)
            await trio.sleep(FULL_WAIT_S)

    async def _effect(self, output: Output) -> None:
        match output.body:
            case Log(_, text):
                await self._kept(lambda: self._log.append(text))
            case Send():
                await self._send(output.number, output.body, self._eid)
            case Request():
                await self._request(output.number, output.body)
            case Subscribe(stream, source, after):
                self._start_feed(stream, source, after)
            case Serve(stream, service):
                await self._kept(lambda: self._table.serve(self._vm_id, stream, service))
                self._register(service)
                self._start_mail(stream, 0)
            case Close(stream):
                await self._close(stream)
            case Hint(what, name):
                await self._kept(lambda: self._outside.hint(hint_text(what, name)))
            case _:
                pass  # Exit: recorded with the batch. Unreadable: there is nothing to do.

    async def _explain(self, ending: Ending, batch: Sequence[Event]) -> None:
        """How it ended, for who reads its log. That it ended is durable by now, since a backtrace
        takes its time; a crash meanwhile costs the backtrace only."""
        self._explained = True  # whoever ends more than once is not worth more processes
        lines = [ending.why]
        for event in batch:
            if isinstance(event, Output) and isinstance(event.body, Exit) and event.body.thread:
                ((_, *frames),) = await explain(self.machine.files.image, [event.body.thread])
                lines += [f"  {line}" for line in (f"in {title(event.body.thread)}", *frames)]
                break
        text = "".join(f"[radics] {line}\n" for line in lines)
        await self._kept(lambda: self._log.append(text.encode("utf-8", "replace")))

    async def _request(self, number: int, request: Request) -> None:
        if not request.to.startswith(OWN_SERVICE):
            source = Eid(self._eid + request.reply_service)
            await self._send(number, request, source)
        elif request.to != MESH_SERVICE:
            self._say(f"this node has no service {request.to[:80]!r}")
        elif await self.machine.alive_for(0):  # else nobody is there to be answered
            await self._answer(request.reply_service, self._outside.mesh())

    async def _send(self, number: int, send: Send | Request, source: Eid) -> None:
        if self._commits:
            self._hold(number, send, source)
            return
        while True:
            try:
                destination = Eid(send.to)
                await self._agent.send(
                    destination,
                    send.payload,
                    source=source,
                    lifetime_s=send.lifetime_s or None,
                    stamp=(self._settings.created, number),
                    ownership=self._packed_chain,
                )
            except CapacityError:
                await trio.sleep(FULL_WAIT_S)
            except (WireError, UsageError) as error:
                self._say(f"cannot send to {send.to[:80]!r}: {error}")
                return
            else:
                self.sent_bytes[destination] += len(send.payload)
                return

    def _hold(self, number: int, send: Send | Request, source: Eid) -> None:
        """It is sent once a durable checkpoint covers it."""
        try:
            destination = Eid(send.to)
        except WireError as error:
            self._say(f"cannot send to {send.to[:80]!r}: {error}")
            return
        created, lifetime_s = self._settings.created, send.lifetime_s
        self._saying.append(
            Outbound(created, number, source, destination, send.payload, lifetime_s)
        )
        self.sent_bytes[destination] += len(send.payload)

    async def _on_ready(self, ready: Ready) -> None:
        """The guest says how far it got: go on from there, once; later ones are reconnections."""
        if self.ready.is_set():
            return
        if self.ready_at is None:
            self.ready_at = trio.current_time()
        self.ready.set()
        boxes = [s for s in ready.streams if s.stream == 0 or s.kind]
        await self._kept(lambda: self._table.align(self._vm_id, boxes))
        for state in ready.streams:
            if state.kind == abi.KIND_SERVICE:
                self._register(state.source)
            if state.stream == 0 or state.kind:
                self._start_mail(state.stream, state.have)
            else:
                self._start_feed(state.stream, state.source, state.have)
        if self._table.held_bytes(self._vm_id):
            self._outside.wishes.waits(pressed=False)
        if ready.checkpoint:
            self._outside.wishes.program(ready.checkpoint)

    async def _close(self, stream: int) -> None:
        """A subscription or a service is no more."""
        scope = self._scopes.pop(stream, None)
        if scope is not None:
            scope.cancel()
        feed = self._feeds.pop(stream, None)
        if feed is not None:
            await self._close_feed(feed)
        else:
            await self._close_box(stream)

    async def _progressed(self, state: StreamState) -> None:
        feed = self._feeds.get(state.stream)
        if feed is not None:
            await self._fed(feed, state)
            return
        await self._kept(lambda: self._table.taken(self._vm_id, state.done, state.stream))
        self._outside.wishes.kept()
        self._taken.set()


def _ending(output: Output) -> Ending | None:
    body = output.body
    return Ending(body.how, body.status, body.why) if isinstance(body, Exit) else None


def hint_text(what: int, name: str) -> str:
    """A hint as the VM's settings keep it; empty: there is none."""
    return {
        abi.HINT_NEAR: f"near {name}",
        abi.HINT_NODE: f"on {name}",
        abi.HINT_STAY: "stay",
    }.get(what, "")
