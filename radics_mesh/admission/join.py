"""The stranger's side of admission. It listens nowhere, it only dials out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog
import trio

from radics_mesh.admission import exchange
from radics_mesh.admission.exchange import Admitted, Knocker, TokenBearer
from radics_mesh.admission.service import PING, PING_S, REPLY, SILENCE_S, STEP_TIMEOUT_S
from radics_mesh.clock import Clock, SystemClock
from radics_mesh.config import Address
from radics_mesh.errors import LinkError, MeshError, PeerError, WireError
from radics_mesh.identity import Identity
from radics_mesh.membership import Token
from radics_mesh.sealed import ADMISSION_MAGIC, dial, read_exactly, read_message, send_message

log = structlog.get_logger(__name__)

RETRY_FIRST_S, RETRY_MAX_S = 1.0, 15.0


async def join_with_token(
    token: Token, identity: Identity, name: str, *, clock: Clock | None = None
) -> Admitted:
    """Join at once, at the first of the token's addresses where the inviter answers.

    LinkError: nobody there; PeerError: not the inviter; UsageError: the inviter declines, with its
    reason. Asking again with the same identity gives the same certificate.
    """
    failure: MeshError | None = None
    for host in (token.host, *token.others):
        address = Address(host, token.port)
        try:
            return await _join_at(address, token, identity, name, clock or SystemClock())
        except (LinkError, PeerError, WireError) as error:
            # Private addresses repeat: somebody else may answer at one of them.
            log.info("not the inviter", address=str(address), reason=str(error))
            failure = failure or error
    assert failure is not None
    raise failure


async def _join_at(
    address: Address, token: Token, identity: Identity, name: str, clock: Clock
) -> Admitted:
    bearer = TokenBearer(token, identity, name)
    stream = await dial(address)
    async with stream:
        try:
            with trio.fail_after(STEP_TIMEOUT_S):
                await stream.send_all(ADMISSION_MAGIC + bearer.hello())
                answer = await read_exactly(stream, exchange.ANSWER_BYTES)
                await send_message(stream, bearer.prove(answer))
                reply = await read_message(stream, exchange.REPLY_MAX_BYTES)
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            raise LinkError(f"the inviter at {address} hung up") from error
    return _with_dialled(bearer.admitted(reply, clock.wall()), address)


async def knock(
    address: Address,
    identity: Identity,
    name: str,
    on_code: Callable[[str], None],
    *,
    clock: Clock | None = None,
) -> Admitted:
    """Show a code by `on_code` and wait, for ever if need be, until a person approves it there.

    A connection that breaks is made again, if possible with the same code; `on_code` is called for
    each new one. LinkError only while the member has never answered; PeerError when its answers
    do not hold.
    """
    knocker = Knocker(identity, name)
    answered = False
    retry_s = RETRY_FIRST_S
    while True:
        try:
            reply = await _knock_once(address, knocker, on_code)
        except LinkError as error:
            answered = answered or bool(knocker.code)
            if not answered:
                raise
            log.info("knocking again", reason=str(error), wait_s=retry_s)
            await trio.sleep(retry_s)
            retry_s = min(RETRY_MAX_S, retry_s * 2)
            continue
        if reply is None:
            # The member has forgotten us. The old code must not be opened to its new values.
            knocker = Knocker(identity, name)
            continue
        return _with_dialled(knocker.admitted(reply, (clock or SystemClock()).wall()), address)


async def _knock_once(
    address: Address, knocker: Knocker, on_code: Callable[[str], None]
) -> bytes | None:
    """The reply; None when the member's values are other ones than before."""
    stream = await dial(address)
    async with stream:
        try:
            with trio.fail_after(STEP_TIMEOUT_S):
                await stream.send_all(ADMISSION_MAGIC + knocker.hello())
                answer = await read_exactly(stream, exchange.ANSWER_BYTES)
            if not knocker.fits(answer):
                return None
            is_new = not knocker.code
            opening = knocker.open(answer)
            with trio.fail_after(STEP_TIMEOUT_S):
                await send_message(stream, opening)
            if is_new:
                on_code(knocker.code)
            return await _wait(stream)
        except (trio.BrokenResourceError, trio.TooSlowError) as error:
            raise LinkError(f"{address} hung up") from error


async def _wait(stream: trio.SocketStream) -> bytes:
    """Until the member replies; LinkError when it falls silent."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ping, stream)
        failure: LinkError | None = None
        reply = b""
        try:
            reply = await _read_reply(stream)
        except (MeshError, trio.BrokenResourceError, trio.TooSlowError) as error:
            failure = LinkError(f"the member hung up: {error}")
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return reply


async def _read_reply(stream: trio.SocketStream) -> bytes:
    while True:
        with trio.fail_after(SILENCE_S):
            kind = await read_exactly(stream, 1)
        if kind == REPLY:
            with trio.fail_after(STEP_TIMEOUT_S):
                return await read_message(stream, exchange.REPLY_MAX_BYTES)
        if kind != PING:
            raise LinkError("neither a ping nor a reply")


async def _ping(stream: trio.SocketStream) -> None:
    try:
        while True:
            await trio.sleep(PING_S)
            await stream.send_all(PING)
    except trio.BrokenResourceError:
        log.debug("the member hung up")  # the reader sees it, too


def _with_dialled(admitted: Admitted, address: Address) -> Admitted:
    """The address that led here is the first to dial as a member."""
    others = [peer for peer in admitted.peers if peer != address]
    return replace(admitted, peers=[address, *others])
