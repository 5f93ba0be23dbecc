"""Trio shell of all that this node publishes: publishing, restoring, announcing, flushing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from radics_mesh import paths
from radics_mesh.clock import Clock
from radics_mesh.directory.service import Directory
from radics_mesh.errors import UsageError
from radics_mesh.ids import Eid, NodeId
from radics_mesh.records import Kind
from radics_mesh.sources.ledger import Published
from radics_mesh.sources.log import FileLog
from radics_mesh.sources.publisher import PublishedSource, Send
from radics_mesh.sources.scribe import Scribe

log = structlog.get_logger(__name__)

# A crash makes the publisher send again at most what was acknowledged in this time.
FLUSH_EVERY_S = 1.0
# A published file that is gone or altered at start (a disk not mounted yet?) is tried again.
REOPEN_EVERY_S = 10.0


@dataclass(frozen=True)
class Subscriber:
    """One active subscriber of a source of this node, for the scheduler and for `status`."""

    source: str
    subscriber: Eid
    node: NodeId
    rate_bytes_s: float
    acknowledged: int


class Publications:
    """The sources of this node. `served`: those whose file is what was published."""

    def __init__(
        self, me: NodeId, scribe: Scribe, directory: Directory, clock: Clock, send: Send
    ) -> None:
        self.served: dict[str, PublishedSource] = {}
        # Publications whose file is not what was published, with the reason.
        self.broken: dict[str, str] = {}
        self._me = me
        self._scribe = scribe
        self._directory = directory
        self._clock = clock
        self._send = send
        self._nursery: trio.Nursery | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started when the publications of the last run are back."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for kept in self._scribe.ledger.publications():
                    if not await self._restore(kept):
                        nursery.start_soon(self._restore_later, kept)
                task_status.started()
                await self._flush()
        finally:
            self._nursery = None

    def get(self, name: str) -> PublishedSource | None:
        return self.served.get(name)

    async def publish(self, name: str, file: Path, rate: float | None) -> None:
        """Make a file's lines the messages of source `name`, `rate` a second (None: as taken).

        Durable on return. The same file again only changes the rate. UsageError for anything that
        would change what message n is, and for a file that cannot be a source.
        """
        if wrong := paths.fault(name):
            raise UsageError(f"{name[:80]!r} is no name of a source: {wrong}")
        if rate is not None and not rate > 0:
            raise UsageError("a rate is a number of messages a second, above 0")
        opened = await trio.to_thread.run_sync(FileLog.open, file.resolve())
        known = self.served.get(name)
        if known is not None and known.file.content != opened.content:
            raise UsageError(f"{name} is already published, from {known.kept.path}: use a new name")
        if name in self.broken:
            raise UsageError(f"{name} is already published, and broken: {self.broken[name]}")
        kept = Published(name, file.resolve(), rate, opened.content)
        await self._scribe.keep_publication(kept)
        if known is not None:
            known.republish(kept, opened)
        else:
            self._open(kept, opened)
        await self._announce(self.served[name])
        log.info("published", source=name, messages=opened.length, rate=rate)

    async def unpublish(self, name: str) -> None:
        """Stop publishing `name` and forget its subscribers; UsageError if it is not published."""
        source = self.served.pop(name, None)
        if source is None and self.broken.pop(name, None) is None:
            raise UsageError(f"{name} is not published on this node")
        if source is not None:
            source.stopped.cancel()
            source.produced.ring()
        await self._scribe.drop_publication(name)
        await self._directory.withdraw(Kind.SOURCE, name)

    def subscribers(self) -> list[Subscriber]:
        """Who takes from this node's sources, where it runs, and how much of late."""
        now = self._clock.monotonic()
        return [
            Subscriber(name, s.subscriber, s.node, s.meter.rate(now), s.acknowledged)
            for name, source in self.served.items()
            for s in source.core.subscriptions.values()
            if s.active
        ]

    async def _announce(self, source: PublishedSource) -> None:
        body = {
            "rate": source.bytes_a_second,
            "format": "lines",
            "messages": source.file.length,
        }
        await self._directory.announce(Kind.SOURCE, source.kept.name, body)

    def _open(self, kept: Published, file: FileLog) -> None:
        cursors = self._scribe.ledger.cursors(kept.name)
        source = PublishedSource(kept, file, cursors, self._scribe, self._clock)
        self.served[kept.name] = source
        self._running().start_soon(self._run_source, source)

    async def _run_source(self, source: PublishedSource) -> None:
        with source.stopped:
            await source.run(self._send)

    async def _restore(self, kept: Published) -> bool:
        try:
            file = await trio.to_thread.run_sync(FileLog.open, kept.path, kept.content)
        except UsageError as error:
            if kept.name not in self.broken:
                log.error("source not served", source=kept.name, reason=str(error))
            self.broken[kept.name] = str(error)
            return False
        self.broken.pop(kept.name, None)
        self._open(kept, file)
        await self._announce(self.served[kept.name])
        return True

    async def _restore_later(self, kept: Published) -> None:
        while kept.name in self.broken:
            await trio.sleep(REOPEN_EVERY_S)
            if kept.name not in self.broken or await self._restore(kept):
                return

    async def _flush(self) -> None:
        while True:
            await trio.sleep(FLUSH_EVERY_S)
            for source in list(self.served.values()):
                await source.flush()

    def _running(self) -> trio.Nursery:
        if self._nursery is None:
            raise UsageError("the node's sources are not running")
        return self._nursery
