"""Anti-entropy where only bundles pass: over a session, or on a stick that somebody carries.

A bundle to a node's service says what its sender holds, and brings what the other lacked:

  [kind, items, records, proofs]     kind 2 asks, 1 answers that, 0 brings news and names no items

Who is asked sends the records that are missing in the question, with the chains of ownership of
the VMs among them, and answers with its own items, if there is anything in the question that it
lacks. A record has grown older by what the bundle took.

Neighbours are asked at each contact, unless datagrams reach them anyway. Of those who are gone, a
few are asked now and then, in case somebody carries bundles there: a node that is away for a week
hears what there is with the first stick.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from random import Random, SystemRandom
from typing import Protocol

import structlog
import trio

from radics_mesh.clock import Clock
from radics_mesh.codec import Fields, pack
from radics_mesh.dtn.agent import Agent
from radics_mesh.dtn.rules.processing import Delivery
from radics_mesh.errors import MeshError, PeerError, WireError
from radics_mesh.gossip.digests import ITEM_BYTES, Index, Item, parse_items
from radics_mesh.gossip.entropy import Holdings
from radics_mesh.ids import NodeId
from radics_mesh.knowledge.book import Entry, aged
from radics_mesh.records import RECORD_MAX_BYTES, Kind

log = structlog.get_logger(__name__)

SERVICE = "records"
_NEWS, _ANSWER, _QUESTION = 0, 1, 2
ITEMS_MAX = 1024
# In one bundle, and of one exchange.
RECORDS_MAX = 64
SENT_MAX = 512
PROOF_MAX_BYTES = 1 << 17
# Neighbours that datagrams reach are found by them meanwhile.
SETTLE_S = 5.0
# A neighbour that comes and goes is asked no more often than this; one that is gone, than that.
_AGAIN_S = 60.0
_GONE_AGAIN_S = 6 * 3600.0
_GONE_EVERY_S = 600.0
_GONE_MAX = 2
_LIFETIME_S = 600
_GONE_LIFETIME_S = 86400


class ProvingHoldings(Holdings, Protocol):
    """Holdings with chains of ownership, which datagrams fetch from the DHT."""

    def proof(self, entry: Entry) -> bytes | None:
        """The packed chain that a VM record names, if it is known."""
        ...

    def learn_proof(self, packed: bytes) -> None:
        """Check and keep it. Never raises."""
        ...


class RecordBundles:
    """`run` it beside the agent. `reached`: whether datagrams reach a node; `gone`: who is.

    `counters`: asked, records_in, records_new, records_out.
    """

    def __init__(
        self,
        *,
        own: NodeId,
        agent: Agent,
        holdings: ProvingHoldings,
        clock: Clock,
        reached: Callable[[NodeId], bool],
        gone: Callable[[], Collection[NodeId]],
        random: Random | None = None,
        settle_s: float = SETTLE_S,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._own = own
        self._agent = agent
        self._holdings = holdings
        self._clock = clock
        self._reached = reached
        self._gone = gone
        self._random = random or SystemRandom()
        self._settle_s = settle_s
        self._index = Index()
        self._asked: dict[NodeId, float] = {}
        self._woken = trio.Event()
        agent.follow_contacts(lambda: self._woken.set())
        agent.register(own.service(SERVICE), self._take)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        gone_at = self._clock.monotonic() + _GONE_EVERY_S
        while True:
            self._woken = trio.Event()
            with trio.move_on_after(_GONE_EVERY_S):
                await self._woken.wait()
            await trio.sleep(self._settle_s)
            for peer in self._neighbours():
                if not self._reached(peer):
                    await self._ask(peer, _AGAIN_S, _LIFETIME_S)
            if self._clock.monotonic() >= gone_at:
                gone_at = self._clock.monotonic() + _GONE_EVERY_S
                await self._ask_the_gone()

    def _neighbours(self) -> list[NodeId]:
        return sorted({c.peer for c in self._agent.contacts() if isinstance(c.peer, NodeId)})

    async def _ask_the_gone(self) -> None:
        now = self._clock.monotonic()
        gone = sorted(self._gone())
        # Each is remembered once it was asked, whoever is not gone any more is not.
        self._asked = {n: at for n, at in self._asked.items() if now - at < _GONE_AGAIN_S}
        due = [node for node in gone if node not in self._asked]
        for node in self._random.sample(due, min(_GONE_MAX, len(due))):
            await self._ask(node, _GONE_AGAIN_S, _GONE_LIFETIME_S)

    async def _ask(self, node: NodeId, again_s: float, lifetime_s: int) -> None:
        now = self._clock.monotonic()
        if now - self._asked.get(node, -again_s) < again_s:
            return
        self._asked[node] = now
        self.counters["asked"] += 1
        await self._send(node, _QUESTION, self._items(), [], lifetime_s)

    def _held(self) -> dict[bytes, tuple[Item, Entry]]:
        return self._index.of(self._holdings.held())

    def _items(self) -> list[Item]:
        """Of a large book a part, another each time."""
        items = [item for item, _ in self._held().values()]
        return self._random.sample(items, min(ITEMS_MAX, len(items)))

    # --- taking ---------------------------------------------------------------------------------

    async def _take(self, delivery: Delivery) -> None:
        """WireError, PeerError: the agent counts it and drops the bundle."""
        peer = delivery.signer
        if peer is None:
            raise PeerError("records that nobody signed")
        kind, items, records, proofs = _parse(delivery.payload)
        for proof in proofs:
            self._holdings.learn_proof(proof)
        for record in records:
            self.counters["records_in"] += 1
            self.counters["records_new"] += self._holdings.learn(aged(record, delivery.age_s))
        if kind == _NEWS:
            return
        held = self._held()
        lacking = self._lacking(items, held)
        for at in range(0, len(lacking), RECORDS_MAX):
            await self._send(peer, _NEWS, [], lacking[at : at + RECORDS_MAX], _GONE_LIFETIME_S)
        if kind == _QUESTION and any(_is_newer(item, held) for item in items):
            await self._send(peer, _ANSWER, self._items(), [], _GONE_LIFETIME_S)

    def _lacking(self, items: list[Item], held: dict[bytes, tuple[Item, Entry]]) -> list[Entry]:
        """What the other holds older or not at all, as it names them, the most lasting first."""
        named = {item.name: item for item in items}
        entries = [
            entry
            for name, (item, entry) in held.items()
            if name not in named or named[name].sequence < item.sequence
        ]
        entries.sort(key=lambda entry: (entry.stale, entry.record.kind is not Kind.NODE))
        # Whoever named as many as fit may hold the others.
        return entries[: SENT_MAX if len(items) < ITEMS_MAX else RECORDS_MAX]

    # --- sending --------------------------------------------------------------------------------

    async def _send(
        self, node: NodeId, kind: int, items: list[Item], entries: list[Entry], lifetime_s: int
    ) -> None:
        proofs = [self._holdings.proof(entry) for entry in entries]
        payload = pack(
            [
                kind,
                b"".join(item.pack() for item in items),
                [entry.record.pack(entry.age_s) for entry in entries],
                sorted({proof for proof in proofs if proof is not None}),
            ]
        )
        self.counters["records_out"] += len(entries)
        try:
            await self._agent.send(node.service(SERVICE), payload, lifetime_s=lifetime_s)
        except MeshError as error:  # a full store; the next contact is another occasion
            log.warning("records not sent", peer=node.text, reason=str(error))


def _is_newer(item: Item, held: dict[bytes, tuple[Item, Entry]]) -> bool:
    return item.name not in held or held[item.name][0].sequence < item.sequence


def _parse(payload: bytes) -> tuple[int, list[Item], list[bytes], list[bytes]]:
    limit = RECORDS_MAX * (PROOF_MAX_BYTES + RECORD_MAX_BYTES)
    fields = Fields.parse(payload, "records", limit_bytes=limit)
    kind = fields.integer(_NEWS, _QUESTION)
    items = parse_items(fields.blob(limit=ITEMS_MAX * ITEM_BYTES))
    records = _blobs(fields.items(limit=RECORDS_MAX), RECORD_MAX_BYTES)
    proofs = _blobs(fields.items(limit=RECORDS_MAX), PROOF_MAX_BYTES)
    fields.end()
    for record in records:
        if record[:1] != b"\x94":
            raise WireError("a record of another form")
    return kind, items, records, proofs


def _blobs(items: Iterable[object], limit: int) -> list[bytes]:
    return [Fields([item], "records").blob(limit=limit) for item in items]
