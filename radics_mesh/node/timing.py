"""Time on a node: whether the machine's clock is right, and what the others' say.

  [1, nonce]          asks a member for its time
  [2, nonce, time]    answers, in microseconds of Unix time, if its clock is trusted

By bundles, which their members sign; the nonce makes sure that an answer is one to this question.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path

import structlog
import trio
from nacl.bindings import randombytes

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.codec import Fields, pack
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.dtn.wire.bundle import EXPEDITED
from radics_mesh.durable import write_durably
from radics_mesh.errors import MeshError, PeerError, UsageError, WireError
from radics_mesh.ids import NodeId
from radics_mesh.me import Me
from radics_mesh.timekeeping import APART_S, ROUND_TRIP_MAX_S, SOURCES_MAX, Quality, Timekeeper

log = structlog.get_logger(__name__)

SERVICE = "time"
FILE_NAME = "time.msgpack"
_FORMAT = 1
_ASK, _SAY = 1, 2
_NONCE_BYTES = 16
# Others are asked, and the highest time known is kept, so often; and the first time so soon after
# a contact.
EVERY_S = 600.0
SETTLE_S = 1.0
_STATUS_UNSYNCHRONISED = 0x40
_RTC = Path("/sys/class/rtc")


def is_vouched() -> bool:
    """Whether NTP keeps this machine's clock (adjtimex(2)), or its kernel set it from a clock with
    a battery."""
    return _is_synchronised() or any(
        _read(clock / "hctosys") == "1" for clock in (_RTC.glob("rtc*") if _RTC.exists() else ())
    )


def _is_synchronised() -> bool:
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return False
    timex = ctypes.create_string_buffer(512)  # modes is 0: only read
    if adjtimex(timex) < 0:
        return False
    # modes, offset, freq, maxerror, esterror, status: as the C compiler lays them out.
    [status] = struct.unpack_from("i", timex, struct.calcsize("Illll"))
    return not status & _STATUS_UNSYNCHRONISED


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


class Timing:
    """Made before anything that judges chains; `attach` to the agent, then `run` beside it.

    `vouched`: asked again and again, as NTP may come later. `tell`: this node's user.
    """

    def __init__(
        self,
        me: Me,
        state: Path,
        *,
        vouched: Callable[[], bool] = is_vouched,
        tell: Callable[[str, str], None] = lambda text, level: None,
    ) -> None:
        """UsageError when the file is damaged."""
        self._me = me
        self._path = state / FILE_NAME
        self._vouched = vouched
        self._tell = tell
        self._agent: Agent | None = None
        self._members: Callable[[], list[NodeId]] = list
        self._asked: dict[bytes, tuple[NodeId, Monotonic]] = {}
        self._woken = trio.Event()
        self._told_apart = False
        self.keeper = Timekeeper(me.clock, vouched=vouched(), mark=self._load())
        me.verifier.judged = self.keeper.judged
        self._quality = self.keeper.quality()

    def attach(self, agent: Agent, members: Callable[[], list[NodeId]]) -> None:
        """`members`: whom to ask besides neighbours."""
        self._agent, self._members = agent, members
        agent.register(self._me.node_id.service(SERVICE), self._take)
        agent.follow_contacts(lambda: self._woken.set())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        try:
            while True:
                self._woken = trio.Event()
                await self.look()
                with trio.move_on_after(EVERY_S):
                    await self._woken.wait()
                    await trio.sleep(SETTLE_S)
        finally:
            self._save()

    async def look(self) -> None:
        """Look at the machine's clock, ask the others, keep what is known by now."""
        self.keeper.vouched = self._vouched()
        self._save()
        self._judge()
        now = self._me.clock.monotonic()
        self._asked = {
            nonce: (node, at)
            for nonce, (node, at) in self._asked.items()
            if now - at <= ROUND_TRIP_MAX_S
        }
        waiting = {node for node, _ in self._asked.values()}
        for node in self._others():
            if node not in waiting:
                nonce = randombytes(_NONCE_BYTES)
                self._asked[nonce] = node, now
                await self._send(node, [_ASK, nonce])

    def _others(self) -> list[NodeId]:
        contacts = self._agent.contacts() if self._agent else ()
        near = [c.peer for c in contacts if isinstance(c.peer, NodeId)]
        found = dict.fromkeys([*near, *self._members()])
        found.pop(self._me.node_id, None)
        return list(found)[:SOURCES_MAX]

    async def _take(self, delivery: Delivery) -> None:
        """WireError, PeerError: the agent counts it and drops the bundle."""
        peer = delivery.signer
        if peer is None:
            raise PeerError("a time that nobody signed")
        fields = Fields.parse(delivery.payload, "time", limit_bytes=256)
        kind, nonce = fields.integer(_ASK, _SAY), fields.blob(_NONCE_BYTES)
        said_us = fields.integer(0, 1 << 62) if kind == _SAY else 0
        fields.end()
        if kind == _ASK:
            if self.keeper.quality() is Quality.TRUSTED:
                await self._send(peer, [_SAY, nonce, int(self._me.clock.wall() * 1e6)])
            return
        node, asked = self._asked.pop(nonce, (None, Monotonic(0.0)))
        if node != peer:
            raise PeerError("a time that it was not asked for")
        if self.keeper.hear(peer, Wall(said_us / 1e6), asked):
            self._judge()

    def _judge(self) -> None:
        """Tell the user when the time is worth more or less than before, or is not the others'."""
        quality, apart_s = self.keeper.quality(), self.keeper.apart_s()
        if quality is not self._quality:
            self._quality = quality
            self._tell(f"time is {quality.value} here", "info")
        is_apart = apart_s is not None and abs(apart_s) > APART_S
        if is_apart and not self._told_apart and apart_s is not None:
            ahead = "ahead of" if apart_s > 0 else "behind"
            self._tell(f"this clock is {abs(apart_s):.0f} s {ahead} the others'", "warning")
        self._told_apart = is_apart

    async def _send(self, node: NodeId, message: list[object]) -> None:
        if self._agent is None:
            raise UsageError("time is attached to no agent")
        try:
            await self._agent.send(
                node.service(SERVICE),
                pack(message),
                lifetime_s=int(ROUND_TRIP_MAX_S),
                priority=EXPEDITED,
            )
        except MeshError as error:  # a full store; it is asked again
            log.debug("time not sent", peer=node.text, reason=str(error))

    # --- the medium -----------------------------------------------------------------------------

    def _save(self) -> None:
        mark = self.keeper.mark
        if mark > 0:
            write_durably(self._path, pack([_FORMAT, int(mark)]))

    def _load(self) -> Wall:
        if not self._path.exists():
            return Wall(0.0)
        try:
            fields = Fields.parse(self._path.read_bytes(), "time")
            fields.integer(_FORMAT, _FORMAT)
            mark = Wall(float(fields.integer(0, 1 << 40)))
            fields.end()
        except WireError as error:
            raise UsageError(f"{self._path} is damaged ({error}); remove it") from error
        return mark
