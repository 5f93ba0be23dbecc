"""The member's side of admission: the Trio shell that serves strangers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog
import trio

from radics_mesh.admission import exchange
from radics_mesh.admission.exchange import Claim, TokenTaker
from radics_mesh.admission.knocks import LIFETIME_S, Knock, Knocks, Pending
from radics_mesh.admission.tokens import TokenBook
from radics_mesh.clock import Wall, is_plausible
from radics_mesh.config import Address
from radics_mesh.errors import LinkError, MeshError, PeerError, UsageError
from radics_mesh.ids import NodeId
from radics_mesh.keyring import Given
from radics_mesh.me import Me
from radics_mesh.membership import TOKEN_HOSTS_MAX, YEAR_S, Chain, Grant, Token, check_grant, invite
from radics_mesh.sealed import AdmissionRequest, ByteStream, read_exactly, read_message

log = structlog.get_logger(__name__)

STEP_TIMEOUT_S = 10.0
# A waiting stranger sends a byte so often, and gets one back; both give up after three.
PING_S = 20.0
SILENCE_S = 3 * PING_S
PING, REPLY = b".", b"!"
STRANGERS_MAX = 64


class Admission:
    """Admits strangers in this node's name. `own` is where members can dial this node, `mesh_keys`
    what seals datagrams now.

    `counters`: admitted, tokens, knocks, crowded, refused.
    """

    def __init__(
        self,
        me: Me,
        *,
        state: Path,
        own: Callable[[], list[Address]],
        mesh_keys: Callable[[], list[Given]] = list,
    ) -> None:
        self._me = me
        self._own = own
        self._mesh_keys = mesh_keys
        self._tokens = TokenBook(state / "admission.sqlite")
        self._knocks = Knocks(me.identity.public)
        # Replaced when a stranger comes back on another connection: the older one ends.
        self._serving: dict[Pending, trio.CancelScope] = {}
        self._approved = trio.Event()
        self._strangers = 0
        self.counters: Counter[str] = Counter()

    def close(self) -> None:
        self._tokens.close()

    # --- for people ---

    def pending(self) -> list[Knock]:
        """Who waits for `approve`."""
        return self._knocks.waiting(self._me.clock.monotonic())

    def approve(self, code: str, grant: Grant | None = None) -> Knock:
        """Let the stranger in that shows this code. UsageError: no such code, several, or this
        node may not invite, or not so."""
        now = self._me.clock.monotonic()
        knock = self._knocks.approve(code, now, lambda claim: self._welcome(claim, grant))
        log.info("knock approved", name=knock.name, node=knock.node_id.text)
        self._approved.set()
        self._approved = trio.Event()
        return knock

    def make_token(
        self,
        host: str,
        port: int,
        uses: int = 1,
        lifetime_s: float = 86_400,
        grant: Grant | None = None,
    ) -> Token:
        """A token that lets `uses` strangers join here at once; `host` and `port` are where they
        reach this node; its other addresses at that port are tried after it. Durable on return.
        UsageError when this node may not invite, or not so."""
        self._check_may_invite(grant)
        if uses < 1 or lifetime_s <= 0:
            raise UsageError("a token needs at least one use and some lifetime")
        expiry = Wall(self._me.clock.wall() + lifetime_s)
        secret = self._tokens.make(uses, expiry, grant)
        others = [a.host for a in self._own() if a.port == port and a.host != host]
        return Token(
            self._me.mesh.mesh_id,
            self._me.identity.public,
            secret,
            host,
            port,
            tuple(others[:TOKEN_HOSTS_MAX]),
        )

    # --- for strangers ---

    async def serve(self, request: AdmissionRequest) -> None:
        """One stranger, to the end. MeshError when it is refused; the caller closes the stream."""
        if self._strangers >= STRANGERS_MAX:
            self.counters["crowded"] += 1
            return
        self._strangers += 1
        try:
            await self._serve(request.stream, Address(*request.remote))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise LinkError(f"a stranger's link broke: {error}") from error
        except trio.TooSlowError as error:
            raise LinkError("a stranger was too slow") from error
        except MeshError:
            self.counters["refused"] += 1
            raise
        finally:
            self._strangers -= 1

    async def _serve(self, stream: ByteStream, remote: Address) -> None:
        with trio.fail_after(STEP_TIMEOUT_S):
            kind, value = exchange.parse_hello(await read_exactly(stream, exchange.HELLO_BYTES))
        self._check_may_invite()
        if kind == exchange.KIND_TOKEN:
            with trio.fail_after(STEP_TIMEOUT_S):
                await self._serve_token(stream, value)
        else:
            await self._serve_knock(stream, value, remote)

    async def _serve_token(self, stream: ByteStream, theirs: bytes) -> None:
        taker = TokenTaker(self._me)
        await stream.send_all(taker.answer(theirs))
        claim, identifier, proof = taker.open(
            await read_message(stream, exchange.MESSAGE_MAX_BYTES)
        )
        try:
            packed = self._tokens.redeem(
                identifier,
                lambda secret: taker.is_proof(secret, claim, proof),
                claim.public,
                self._me.clock.wall(),
                lambda grant: self._invite(claim, grant).pack(),
            )
        except UsageError as error:
            await _send_reply(stream, taker.reply(exchange.decline(str(error))))
            raise PeerError(f"token of {claim.name} refused: {error}") from error
        await _send_reply(stream, taker.reply(self._content(Chain.parse(packed))))
        self._count_admitted("tokens", claim)

    async def _serve_knock(self, stream: ByteStream, commitment: bytes, remote: Address) -> None:
        pending = self._knocks.begin(commitment, remote, self._me.clock.monotonic())
        try:
            with trio.fail_after(STEP_TIMEOUT_S):
                await stream.send_all(pending.taker.answer)
                message = await read_message(stream, exchange.MESSAGE_MAX_BYTES)
            claim = pending.taker.open(message)
            if pending.claim is None:
                self._knocks.opened(pending, claim)
                self.counters["knocks"] += 1
                log.info("knock", code=pending.taker.code, name=claim.name, remote=str(remote))
        finally:
            self._knocks.abandon(pending)
        await self._wait_with(stream, pending, claim)

    async def _wait_with(self, stream: ByteStream, pending: Pending, claim: Claim) -> None:
        """Until a person approves, the stranger leaves, or its knock is too old."""
        older = self._serving.pop(pending, None)
        if older is not None:
            older.cancel()
        with trio.move_on_after(LIFETIME_S) as scope:
            self._serving[pending] = scope
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._answer_pings, stream, nursery.cancel_scope)
                    while pending.reply is None:
                        await self._approved.wait()
                    nursery.cancel_scope.cancel()
            finally:
                if self._serving.get(pending) is scope:
                    del self._serving[pending]
        if pending.reply is not None and not scope.cancelled_caught:
            with trio.fail_after(STEP_TIMEOUT_S):
                await stream.send_all(REPLY)
                await _send_reply(stream, pending.reply)
            self._count_admitted("knocks", claim)

    async def _answer_pings(self, stream: ByteStream, scope: trio.CancelScope) -> None:
        """A byte for a byte: the stranger never gets more than it brought."""
        try:
            while True:
                with trio.fail_after(SILENCE_S):
                    if await stream.receive_some(1) != PING:
                        break
                await stream.send_all(PING)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            log.debug("a stranger left")
        scope.cancel()

    # --- inside ---

    def _check_may_invite(self, grant: Grant | None = None) -> None:
        own = Chain.parse(self._me.chain).member
        check_grant(own, grant or Grant())
        if own.is_stale(self._me.judged()):
            raise UsageError("this node's own certificate has expired; it can invite when renewed")

    def _invite(self, claim: Claim, grant: Grant | None) -> Chain:
        self._check_may_invite(grant)
        own, now = Chain.parse(self._me.chain), self._me.clock.wall()
        # Without a clock nobody can say when a year is over: the inviter's own expiry bounds it.
        expiry = Wall(now + YEAR_S) if is_plausible(now) else own.member.expiry
        return invite(self._me.identity, own, claim.public, claim.name, expiry, grant)

    def _welcome(self, claim: Claim, grant: Grant | None) -> bytes:
        return self._content(self._invite(claim, grant))

    def _content(self, chain: Chain) -> bytes:
        return exchange.welcome(self._me.mesh, chain, self._own(), self._mesh_keys())

    def _count_admitted(self, how: str, claim: Claim) -> None:
        self.counters["admitted"] += 1
        log.info("admitted", by=how, name=claim.name, node=NodeId.of_key(claim.public).text)


async def _send_reply(stream: ByteStream, reply: bytes) -> None:
    await stream.send_all(len(reply).to_bytes(2, "big") + reply)
