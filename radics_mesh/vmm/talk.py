"""What a host wants of one running guest over its channel, and what the guest says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import trio

from radics_mesh.clock import Clock
from radics_mesh.errors import GuestError
from radics_mesh.vmm.changed import Changed
from radics_mesh.vmm.channel import Channel
from radics_mesh.vmm.conversation import Conversation, Garbling
from radics_mesh.vmm.ends import End
from radics_mesh.vmm.events import ChannelEvent, Panicked, Parked, Ready
from radics_mesh.vmm.frames import Hello, Message, StreamState
from radics_mesh.vmm.outputs import Exit, Output
from radics_mesh.vmm.ram import PAGE_BYTES
from radics_mesh.vmm.threads import ThreadReport, ThreadTold

# A guest that keeps to its window of unacknowledged output never fills this; for another one it is
# the bound on memory.
_EVENTS_HELD = 65536
# A guest tells of its threads at its next interrupt; frames may be lost, then it is asked again.
_THREADS_DEADLINE_S, _THREADS_AGAIN_S = 10.0, 1.5
_STAGE_DEADLINE_S = 5.0


Event = Ready | Output | StreamState | Garbling | End


class Talk:
    """Whoever is built upon it sets `_gone` when QEMU has ended."""

    def __init__(self, hello: Hello, clock: Clock, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._send_events, self.events = trio.open_memory_channel[Event](_EVENTS_HELD)
        self._changed = trio.Event()
        self._gone = trio.Event()
        self._conversation = Conversation(hello, clock, self._gone, self._happened)
        self._exit: Exit | None = None
        self._panic: Panicked | None = None
        self._parked: Parked | None = None
        self._staging = trio.Lock()
        self._staged: Changed | None = None
        self._told: dict[int, dict[int, ThreadTold]] = {}

    @property
    def _channel(self) -> Channel:
        return self._conversation.channel

    @property
    def counters(self) -> dict[str, int]:
        """Frames dropped by reason, and duplicates."""
        return dict(self._channel.faults.counters)

    @property
    def ready(self) -> bool:
        """Whether the guest has answered on the channel."""
        return self._channel.ready

    @property
    def silent_s(self) -> float:
        """For how long the guest has owed an answer; 0 when it owes none."""
        return self._channel.silent_s(self._conversation.now())

    def streams(self) -> tuple[StreamState, ...]:
        return self._channel.streams()

    async def wait_ready(self) -> None:
        """Until the guest answers on the channel; GuestError when it ends before."""
        while not self._channel.ready:
            await self._change()

    async def threads(self, *, deadline_s: float = _THREADS_DEADLINE_S) -> list[ThreadReport]:
        """What every thread does at this moment; the program goes on.

        UsageError: the guest does not know how to say. GuestError: it did not, or has ended.
        """
        with trio.move_on_after(deadline_s):
            while True:
                nonce = self._channel.ask_threads()
                self._conversation.kick()
                with trio.move_on_after(_THREADS_AGAIN_S):
                    return await self._threads_told(nonce)
        raise GuestError("the guest did not say what its threads do")

    async def _threads_told(self, nonce: int) -> list[ThreadReport]:
        told = self._told[nonce] = {}
        try:
            while not told or len(told) < next(iter(told.values())).threads:
                await self._change()
        finally:
            del self._told[nonce]
        return [told[index].report for index in sorted(told)]

    async def acknowledge(self, number: int) -> None:
        """Outputs up to `number` are durable here; the guest forgets them."""
        self._channel.acknowledge(number)
        self._conversation.kick()
        await trio.lowlevel.checkpoint()

    def say_hello(self, hello: Hello) -> None:
        """Tell the guest what has changed."""
        self._channel.tell(hello, self._conversation.now(), self._conversation.wall())
        self._conversation.kick()

    def window(self, stream: int) -> int:
        """Bytes that `deliver` would take at once: payloads, and MESSAGE_OVERHEAD a message."""
        return self._channel.window(stream)

    async def deliver(self, stream: int, first: int, messages: Sequence[Message]) -> None:
        """Send messages numbered from `first`; waits for the stream's window.

        Returning means sent, not taken: that a StreamState event says. What was sent already is
        skipped; a gap is a UsageError. GuestError when the guest ends meanwhile.
        """
        await trio.lowlevel.checkpoint()
        while True:
            self._check_alive()
            taken = self._channel.deliver(stream, first, messages, self._conversation.now())
            self._conversation.kick()
            first, messages = first + taken, messages[taken:]
            if not messages:
                return
            await self._change()

    async def stage(
        self, known: int = 0, *, deadline_s: float = _STAGE_DEADLINE_S
    ) -> Changed | None:
        """Which pages may have changed since stage `known` or one before it; the guest runs on.

        The report's `since` says which: one that the caller does not know, and None, mean that
        every page has to be looked at. None: the guest is too old to say, or does not answer in
        time. GuestError when it ends meanwhile.
        """
        async with self._staging:
            await self.wait_ready()
            if not self._channel.can_stage:
                return None
            self._staged = None
            self._channel.stage(known, self._conversation.now())
            self._conversation.kick()
            with trio.move_on_after(deadline_s):
                while self._staged is None:
                    await self._change()
            return self._fitting(self._staged)

    def _fitting(self, changed: Changed | None) -> Changed | None:
        fits = changed is not None and changed.pages * PAGE_BYTES == self._memory_bytes
        return changed if fits else None

    @property
    def is_parked(self) -> bool:
        return self._parked is not None

    @property
    def changed_at_end(self) -> Changed | None:
        """What a parked guest says has changed since its last stage; None as in `stage`."""
        return None if self._parked is None else self._fitting(self._parked.changed)

    async def alive_for(self, seconds: float) -> bool:
        """Wait so long, but no longer than QEMU lives; whether it still does."""
        with trio.move_on_after(seconds):
            await self._gone.wait()
        return not self._gone.is_set()

    async def _happened(self, event: ChannelEvent | Garbling) -> None:
        if isinstance(event, Parked):
            self._parked = event
        elif isinstance(event, Changed):
            self._staged = event
        elif isinstance(event, ThreadTold):
            if event.nonce in self._told:
                self._told[event.nonce][event.index] = event
        elif isinstance(event, Panicked):
            self._panic = event
        elif isinstance(event, Output) and isinstance(event.body, Exit):
            self._exit = event.body
        self._note()
        if not isinstance(event, Changed | Parked | Panicked | ThreadTold):
            await self._tell(event)

    async def _tell(self, event: Event) -> None:
        with suppress(trio.BrokenResourceError):  # nobody takes events any more
            await self._send_events.send(event)

    def _note(self) -> None:
        """Wake everyone who waits for a change."""
        self._changed.set()
        self._changed = trio.Event()

    async def _change(self) -> None:
        self._check_alive()
        await self._changed.wait()
        self._check_alive()

    def _check_alive(self) -> None:
        if self._gone.is_set():
            raise GuestError("the guest has ended")
