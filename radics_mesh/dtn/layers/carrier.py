"""Carries bundles by way of directories: a USB stick, an SD card, a folder that two nodes share.

One visit at a time. Writing begins with the receipts that came back, so that what another node has
makes room first. What was taken is answered by a receipt before its file goes; files of bundles for
somebody else stay, since they may be on their way to another reader, and the receipt that lies
beside them says that they are not news here. A long bundle goes in pieces (fragments), each a file
with a receipt of its own, so that it goes on where it was when the stick was pulled out.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog
import trio

from radics_mesh.clock import to_dtn
from radics_mesh.config import Foreign
from radics_mesh.dtn.agent import Agent
from radics_mesh.dtn.layers import carried
from radics_mesh.dtn.layers.carried import CARD, RECEIPT, Receipt, ReceiptName, Written
from radics_mesh.dtn.layers.stick import Stick
from radics_mesh.dtn.layers.tcpcl_session import BUNDLE_MAX_BYTES
from radics_mesh.dtn.rules.processing import originate
from radics_mesh.dtn.storage.held import Held
from radics_mesh.dtn.storage.store import BundleStore
from radics_mesh.dtn.wire.bundle import EXPEDITED, Bundle, BundleId
from radics_mesh.errors import CapacityError, LinkError, MeshError, PeerError, WireError
from radics_mesh.ids import NodeId
from radics_mesh.me import Me
from radics_mesh.records import RECORD_MAX_BYTES

_R = TypeVar("_R")

log = structlog.get_logger(__name__)

# A slow stick writes so much in some seconds.
PIECE_BYTES = 16 << 20
WATCH_EVERY_S = 2.0
_RECEIPT_MAX_BYTES = 1 << 20


@dataclass
class Outward:
    """What `write` did. `left`: what did not fit and waits for another stick."""

    written: int = 0
    written_bytes: int = 0
    there: int = 0
    left: int = 0
    left_bytes: int = 0
    confirmed: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass
class Inward:
    """What `take` did. `confirmed`: bundles of ours that others say they have."""

    taken: int = 0
    known: int = 0
    cards: int = 0
    confirmed: int = 0
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Taken:
    name: str
    said: Written | None
    bundle_id: BundleId
    is_here: bool


class Carrier:
    """`card` gives this node's own record; `learn` takes a node's, and says whether it is known."""

    def __init__(
        self,
        *,
        me: Me,
        agent: Agent,
        store: BundleStore,
        foreign: Iterable[Foreign],
        card: Callable[[], bytes | None],
        learn: Callable[[NodeId, bytes], bool],
    ) -> None:
        self._me = me
        self._agent = agent
        self._store = store
        self._foreign = tuple(foreign)
        self._card = card
        self._learn = learn
        self._visiting = trio.Lock()

    # --- writing --------------------------------------------------------------------------------

    async def write(self, directory: Path, nodes: Collection[NodeId] | None = None) -> Outward:
        """Write what would be handed to these nodes, None: all that is not for here.

        LinkError: the medium failed; what it had by then is whole. A full one is told in the
        result.
        """
        return await self._write(directory, lambda: self._agent.outgoing(nodes))

    async def _write(self, directory: Path, choose: Callable[[], list[Held]]) -> Outward:
        done = Outward()
        async with self._visiting:
            stick = await trio.to_thread.run_sync(Stick, directory)
            await _blocking(stick.clear_leftovers, self._me.node_id.text)
            names = await _blocking(stick.names)
            done.confirmed = await self._read_receipts(stick, names, done.problems)
            mine = carried.written_by(self._me.node_id, names)
            await self._cut(choose())
            for held in carried.in_order(choose()):
                await self._write_one(stick, held, mine.pop(held.key, None), done)
            await self._clear(stick, mine.values())
            await self._leave_card(stick, done.problems)
            await _blocking(stick.settle)
        return done

    async def _cut(self, bundles: Collection[Held]) -> None:
        """Long bundles go as pieces: who pulls the stick out loses one, and not all."""
        for held in bundles:
            if held.size_bytes > PIECE_BYTES:
                await self._agent.cut(held, PIECE_BYTES)

    async def _write_one(self, stick: Stick, held: Held, there: str | None, done: Outward) -> None:
        raw = await self._agent.departing(held)
        if raw is None:
            return
        if there is not None:
            with _telling(done.problems, there):
                known = await _blocking(stick.read, there, BUNDLE_MAX_BYTES)
                if await _blocking(lambda: carried.is_same(known, Bundle.parse(raw))):
                    done.there += 1
                    return
            await _blocking(stick.remove, [there])
        free = await _blocking(stick.free_bytes)
        name = Written(self._me.node_id, held.key, int(max(0, self._me.clock.wall()))).text
        try:
            if not carried.fits(len(raw), free):
                raise CapacityError(f"{stick.directory} is full")
            await _blocking(stick.write, name, raw)
        except CapacityError:
            done.left += 1
            done.left_bytes += len(raw)
            return
        done.written += 1
        done.written_bytes += len(raw)

    async def _clear(self, stick: Stick, names: Collection[str]) -> None:
        """Files of ours whose bundles have left by another way; not those for other readers now."""
        held = set(self._store.keys())
        gone = [name for name in names if (said := Written.parse(name)) and said.key not in held]
        await _blocking(stick.remove, gone)

    async def leave_card(self, directory: Path) -> None:
        """Write this node's own record, by which others know its name and key."""
        problems: list[str] = []
        async with self._visiting:
            stick = await trio.to_thread.run_sync(Stick, directory)
            await self._leave_card(stick, problems)
            await _blocking(stick.settle)
        if problems:
            raise LinkError(problems[0])

    async def _leave_card(self, stick: Stick, problems: list[str]) -> None:
        card, name = self._card(), f"{self._me.node_id.text}{CARD}"
        if card is not None:
            with _telling(problems, name):
                await _blocking(stick.write, name, card)

    # --- taking ---------------------------------------------------------------------------------

    async def take(self, directory: Path) -> Inward:
        """Take everything that this node may have; what is wrong with a file is told, no more."""
        done = Inward()
        async with self._visiting:
            stick = await trio.to_thread.run_sync(Stick, directory)
            names = await _blocking(stick.names)
            done.cards = await self._read_cards(stick, names, done.problems)
            done.confirmed = await self._read_receipts(stick, names, done.problems)
            known = await self._known(stick, names)
            taken = []
            for name in carried.to_read(self._me.node_id, names, known):
                with _telling(done.problems, name):
                    taken.append(await self._take_one(stick, name, done))
            await self._answer(stick, taken, done.problems)
            with _telling(done.problems):
                await self._leave_card(stick, done.problems)
                await _blocking(stick.settle)
        return done

    async def learn_cards(self, directory: Path) -> int:
        """Learn who left cards there, before somebody speaks of them."""
        stick = await trio.to_thread.run_sync(Stick, directory)
        names = await _blocking(stick.names)
        return await self._read_cards(stick, names, [])

    async def _read_cards(self, stick: Stick, names: Iterable[str], problems: list[str]) -> int:
        learned = 0
        for name in names:
            if name.endswith(CARD) and name != f"{self._me.node_id.text}{CARD}":
                with _telling(problems, name):
                    node = NodeId.parse(name.removesuffix(CARD))
                    if not self._learn(node, await _blocking(stick.read, name, RECORD_MAX_BYTES)):
                        raise PeerError("not the card of this member")
                    learned += 1
        return learned

    async def _take_one(self, stick: Stick, name: str, done: Inward) -> _Taken:
        raw = await _blocking(stick.read, name, BUNDLE_MAX_BYTES)
        said, now = Written.parse(name), self._me.clock.wall()

        def prepare() -> tuple[Bundle, bytes]:
            bundle = Bundle.parse(raw)
            older = carried.aged(bundle, said, now)
            return older, raw if older is bundle else older.encode()

        bundle, content = await _blocking(prepare)
        peer = carried.brought_by(said, bundle, self._foreign)
        if await self._agent.receive(content, peer):
            done.taken += 1
        else:
            done.known += 1
        return _Taken(name, said, bundle.id, self._agent.is_here(bundle.destination))

    # --- receipts -------------------------------------------------------------------------------

    async def _answer(self, stick: Stick, taken: Sequence[_Taken], problems: list[str]) -> None:
        """Receipts for what is here now, then away with the files that nobody else wants."""
        by_writer: dict[NodeId, list[tuple[int, BundleId]]] = defaultdict(list)
        for one in taken:
            if one.said is not None:
                by_writer[one.said.writer].append((one.said.key, one.bundle_id))
        with _telling(problems):
            for writer, bundles in by_writer.items():
                for receipt in carried.receipts(bundles):
                    await self._write_receipt(stick, writer, receipt)
            if by_writer:
                await _blocking(stick.settle)
            await _blocking(stick.remove, [one.name for one in taken if one.is_here])

    async def _write_receipt(self, stick: Stick, writer: NodeId, receipt: Receipt) -> None:
        """Not stored here: if the stick is lost, what it is about is written and answered again."""
        wall, nth = self._me.clock.wall(), await self._store.sequence()
        bundle = originate(
            self._me,
            writer.service(carried.SERVICE),
            receipt.pack(),
            source=self._me.identity.eid,
            stamp=(to_dtn(wall), nth),
            lifetime_s=carried.RECEIPT_LIFETIME_S,
            ownership=b"",
            priority=EXPEDITED,
        )
        name = ReceiptName(writer, self._me.node_id, int(max(0, wall)), nth).text
        await _blocking(stick.write, name, bundle.encode())

    async def _read_receipts(self, stick: Stick, names: Iterable[str], problems: list[str]) -> int:
        """Let go of what others have; how many bundles.

        A receipt stays beside the file of a bundle that is held on (several copies of it may be
        made), or else its taker would take it again.
        """
        confirmed, read = 0, []
        for name in names:
            said = ReceiptName.parse(name) if name.endswith(RECEIPT) else None
            if said is not None and said.writer == self._me.node_id:
                with _telling(problems, name):
                    receipt = await self._receipt(stick, name, said)
                    confirmed += sum(
                        self._agent.taken_over(what, key, said.taker) for key, what in receipt.taken
                    )
                    if not any(self._agent.holds(what) for _, what in receipt.taken):
                        read.append(name)
        if read:
            await self._store.flushed()
            with _telling(problems):
                await _blocking(stick.remove, read)
        return confirmed

    async def _known(self, stick: Stick, names: Collection[str]) -> set[str]:
        """Files of which this node's own receipts on the stick say that it has had them."""
        had: set[tuple[NodeId, int]] = set()
        for name in names:
            said = ReceiptName.parse(name) if name.endswith(RECEIPT) else None
            if said is not None and said.taker == self._me.node_id:
                with _telling([], name):
                    receipt = await self._receipt(stick, name, said)
                    had |= {(said.writer, key) for key, _ in receipt.taken}
        parsed = ((name, Written.parse(name)) for name in names)
        return {name for name, w in parsed if w is not None and (w.writer, w.key) in had}

    async def _receipt(self, stick: Stick, name: str, said: ReceiptName) -> Receipt:
        raw = await _blocking(stick.read, name, _RECEIPT_MAX_BYTES)
        admitted = self._agent.judge(raw, said.taker)
        if admitted is None or admitted.held.signer != said.taker:
            raise PeerError("a receipt that another node signed")
        if admitted.held.destination != said.writer.service(carried.SERVICE):
            raise WireError("no receipt for whom its name says")
        return Receipt.parse(Bundle.parse(raw).payload)

    # --- watching -------------------------------------------------------------------------------

    async def watch(self, directory: Path, told: Callable[[str], None]) -> None:
        """Take and write by itself whenever the directory is there and something is new.

        It is not made: name a folder on the stick, so that it is there only while the stick is.
        Written is only what no contact leads to the destination of.
        """
        seen: object = None
        while True:
            state = await trio.to_thread.run_sync(_state_of, directory)
            news = (state, self._agent.stranded_mark())
            if state is None:
                seen = None
            elif news != seen:
                await self._visit(directory, told)
                state = await trio.to_thread.run_sync(_state_of, directory)
                seen = (state, self._agent.stranded_mark())
            await trio.sleep(WATCH_EVERY_S)

    async def _visit(self, directory: Path, told: Callable[[str], None]) -> None:
        try:
            came = await self.take(directory)
            went = await self._write(directory, self._agent.stranded)
        except MeshError as error:
            told(f"{directory}: {error}")
            return
        if came.taken or came.confirmed or went.confirmed:
            confirmed = came.confirmed + went.confirmed
            told(f"{directory}: {came.taken} bundles taken, {confirmed} of ours have arrived")
        if went.written:
            told(f"{directory}: {went.written} bundles written")
        if went.left:
            told(f"{directory} is full: {went.left} bundles, {went.left_bytes} bytes, stay here")
        for problem in (*came.problems, *went.problems):
            log.warning("carried", reason=problem)


async def _blocking(work: Callable[..., _R], *arguments: object) -> _R:
    return await trio.to_thread.run_sync(partial(work, *arguments))


@contextmanager
def _telling(problems: list[str], name: str = "") -> Iterator[None]:
    """What is wrong with one file, or the medium, is a line of the report."""
    try:
        yield
    except (WireError, PeerError, CapacityError, LinkError) as error:
        text = f"{name}: {error}" if name else str(error)
        if text not in problems:
            problems.append(text)


def _state_of(directory: Path) -> object:
    """Something that changes when files there do; None: it is not there."""
    try:
        found = directory.stat()
        with os.scandir(directory) as entries:
            rows = sorted((e.name, e.stat(follow_symlinks=False).st_size) for e in entries)
    except OSError:
        return None
    return found.st_dev, found.st_ino, tuple(rows)
