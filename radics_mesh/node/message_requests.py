"""Requests about what people send and receive by hand."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from radics_mesh.dtn.agent import Delivery
from radics_mesh.dtn.handling.endpoints import Elsewhere
from radics_mesh.dtn.wire.admin_records import NOTHING
from radics_mesh.dtn.wire.bundle import BULK, EXPEDITED, NORMAL, BundleId
from radics_mesh.dtn.wire.content import FileBytes
from radics_mesh.errors import LinkError, UsageError, WireError
from radics_mesh.ids import Eid
from radics_mesh.node import rows
from radics_mesh.node.addressees import endpoint_of
from radics_mesh.node.services import Services
from radics_mesh.node.sightings import WORDS
from radics_mesh.node.sightings import path as path_of
from radics_mesh.vmm.outputs import REPLY_PREFIX

Answer = Mapping[str, Any]
TIMEOUT_MAX_S = 30 * 24 * 3600
PING_MAX_BYTES = 16 << 20
# A payload that is larger comes to `recv` in parts of this size.
PART_BYTES = 1 << 20
PRIORITIES = {"bulk": BULK, "normal": NORMAL, "expedited": EXPEDITED}
_REPORTS = {word: status for status, word in WORDS.items()}


@dataclass
class _Offer:
    """A bundle shown to a `recv` client; `kept` once the client has dealt with it."""

    delivery: Delivery
    settled: trio.Event = field(default_factory=trio.Event)
    kept: bool = False


async def _drop(delivery: Delivery) -> None:
    """A reply that nobody waits for any more."""


class MessageRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services
        self._agent = services.agent
        late = services.me.node_id.service(REPLY_PREFIX)
        self._agent.register(late, _drop, prefix=True)

    async def send(
        self,
        destination: str,
        payload: bytes,
        file: str,
        lifetime_s: int | None,
        custody: bool,
        report: list[str],
        encrypt: bool,
        priority: str,
    ) -> Answer:
        to = await endpoint_of(self._node, destination)
        reports = NOTHING
        for word in report:
            if word not in _REPORTS:
                raise UsageError(f"no report on {word!r}; there are: {', '.join(_REPORTS)}")
            reports |= _REPORTS[word]
        if priority not in PRIORITIES:
            raise UsageError(f"no priority {priority!r}; there are: {', '.join(PRIORITIES)}")
        bundle_id = await self._agent.send(
            to,
            self._content(Path(file)) if file else payload,
            lifetime_s=lifetime_s,
            custody=custody,
            reports=reports,
            encrypt=encrypt,
            priority=PRIORITIES[priority],
        )
        return {"id": str(bundle_id)}

    def _content(self, path: Path) -> FileBytes:
        limit = self._node.config.store_quota_bytes
        try:
            content = FileBytes.of(path)
        except OSError as error:
            raise UsageError(f"cannot read {path}: {error.strerror}") from error
        if len(content) > limit:
            raise UsageError(f"{path} is larger than the store here may be: {limit} bytes")
        return content

    async def track(self, id: str) -> AsyncGenerator[Answer, None]:
        """Ends with the report that a sender need not wait beyond."""
        bundle_id = _parsed(id)
        news = self._node.sightings.news.listen()
        told = 0
        while True:
            for sighting in self._node.sightings.of(bundle_id)[told:]:
                told += 1
                yield rows.sighting_row(self._node, sighting)
                if sighting.is_end:
                    return
            while await news.receive() != bundle_id.whole:
                pass

    async def path(self, id: str) -> Answer:
        seen = path_of(self._node.sightings.of(_parsed(id)))
        return {"id": id, "sightings": [rows.sighting_row(self._node, s) for s in seen]}

    async def request(self, destination: str, payload: bytes, timeout_s: float) -> Answer:
        """A bundle from an address that only it knows; the reply is what comes there first."""
        _check_timeout(timeout_s)
        to = await endpoint_of(self._node, destination)
        with self._replies() as (source, replies):
            await self._agent.send(to, payload, source=source, lifetime_s=math.ceil(timeout_s))
            with trio.move_on_after(timeout_s):
                return rows.received(await replies.receive())
        raise LinkError(f"no reply from {destination} within {timeout_s:g} s")

    @contextmanager
    def _replies(self) -> Iterator[tuple[Eid, trio.MemoryReceiveChannel[Delivery]]]:
        """An endpoint that nobody else knows, and the first thing that comes there."""
        endpoint = self._node.me.node_id.service(REPLY_PREFIX + os.urandom(8).hex())
        replies, taken = trio.open_memory_channel[Delivery](1)

        async def take(delivery: Delivery) -> None:
            with suppress(trio.WouldBlock):  # a second reply
                replies.send_nowait(delivery)

        registration = self._agent.register(endpoint, take)
        try:
            yield endpoint, taken
        finally:
            registration.close()

    async def ping(
        self, destination: str, count: int, interval_s: float, timeout_s: float, size: int
    ) -> AsyncGenerator[Answer, None]:
        """One after the other: a late echo is no echo of the next one."""
        _check_timeout(timeout_s)
        if not 1 <= count <= 1_000_000 or not 0 <= interval_s <= 86_400:
            raise UsageError("1 to 1000000 pings, with up to a day between")
        if not 0 <= size <= PING_MAX_BYTES:
            raise UsageError(f"a ping has up to {PING_MAX_BYTES} bytes")
        to = await endpoint_of(self._node, destination)
        for number in range(1, count + 1):
            answer = await self._ping(to, number, os.urandom(size), timeout_s)
            yield answer
            if number < count:
                rtt_s = answer["rtt_s"]
                await trio.sleep(max(0.0, interval_s - (rtt_s or timeout_s)))

    async def _ping(self, to: Eid, number: int, payload: bytes, timeout_s: float) -> Answer:
        clock = self._node.me.clock
        with self._replies() as (source, replies):
            sent = clock.monotonic()
            bundle_id = await self._agent.send(
                to, payload, source=source, lifetime_s=math.ceil(timeout_s)
            )
            rtt_s, intact, node = None, None, None
            with trio.move_on_after(timeout_s):
                reply = await replies.receive()
                rtt_s = clock.monotonic() - sent
                intact = reply.payload == payload
                node = str(reply.source)
        return {
            "number": number,
            "id": str(bundle_id),
            "rtt_s": rtt_s,
            "bytes": len(payload),
            "intact": intact,
            "from": node,
        }

    async def recv(self, service: str, count: int | None) -> AsyncGenerator[Answer, None]:
        """Each bundle leaves the store when the client asks for the next one, or has all."""
        offered, taken = trio.open_memory_channel[_Offer](0)

        async def offer(delivery: Delivery) -> None:
            item = _Offer(delivery)
            try:
                await offered.send(item)
            except trio.BrokenResourceError:
                raise Elsewhere from None  # the client has gone before it saw this one
            await item.settled.wait()
            if not item.kept:
                raise Elsewhere

        endpoint = self._own_service(service)
        registration = self._agent.register(endpoint, offer)
        self._node.advertising.open(endpoint)
        left, item = count, None
        try:
            while left is None or left > 0:
                item = await taken.receive()
                for part in _parts(item.delivery):
                    yield part
                item.kept = True
                item.settled.set()
                await self._gone(item.delivery)
                left = None if left is None else left - 1
        finally:
            self._node.advertising.close(endpoint)
            registration.close()
            taken.close()
            if item is not None:
                item.settled.set()

    async def _gone(self, delivery: Delivery) -> None:
        """Until a delivered bundle would not be delivered again, whatever happens. A group's stays
        for others, and for members here who have not had it yet."""
        while not delivery.destination.is_group and self._node.store.holds(delivery.bundle_id):
            await trio.lowlevel.checkpoint()
        await self._node.store.flushed()

    def _own_service(self, service: str) -> Eid:
        """The endpoint of a service here; or one that is nobody's own, a group's or a URI's."""
        if not service:
            raise UsageError("a service's name is empty")
        if ":" in service:
            return _shared(service)
        if service in rows.INTERNAL_SERVICES or service.startswith(REPLY_PREFIX):
            raise UsageError(f"{service} is the node's own service")
        try:
            return self._node.me.node_id.service(service)
        except WireError as error:
            raise UsageError(f"not a service name: {service!r}") from error


def _shared(text: str) -> Eid:
    try:
        eid = Eid(text)
    except WireError as error:
        raise UsageError(str(error)) from error
    if eid.is_group or eid.scheme not in ("dtn", "ipn"):
        return eid
    raise UsageError(f"{text} is no group (dtn://group.NAME/...); of this node name the service")


def _parts(delivery: Delivery) -> Iterator[Answer]:
    for offset in range(0, max(1, len(delivery.content)), PART_BYTES):
        yield rows.received(delivery, offset, PART_BYTES)


def _parsed(text: str) -> BundleId:
    try:
        return BundleId.parse(text)
    except WireError as error:
        raise UsageError(str(error)) from error


def _check_timeout(timeout_s: float) -> None:
    if not 0 < timeout_s <= TIMEOUT_MAX_S:
        raise UsageError(f"a timeout is more than 0 and at most {TIMEOUT_MAX_S} s")
