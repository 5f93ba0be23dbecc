"""What a guest puts out, numbered: values, and how the bytes of an OUT frame become one.

An output whose body makes no sense is still a value (`Unreadable`): its number must be
acknowledged, or the guest would repeat it for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from radics_mesh.errors import WireError
from radics_mesh.vmm import abi
from radics_mesh.vmm.body import Body
from radics_mesh.vmm.threads import ThreadReport, read_thread

# What the names of services begin with that are addresses of replies.
REPLY_PREFIX = "~"
# What a request to the node itself is addressed to.
OWN_SERVICE = ":"


@dataclass(frozen=True)
class Log:
    """`level`: 0 stdout, 1 stderr, 2 debug .. 5 error. `text` is whatever bytes it wrote."""

    level: int
    text: bytes


@dataclass(frozen=True)
class Send:
    """`lifetime_s` 0: the node's default."""

    to: str
    lifetime_s: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True)
class Subscribe:
    """From message `after` + 1 on."""

    stream: int
    source: str
    after: int = 0


@dataclass(frozen=True)
class Request:
    """A message whose sender is its `reply_service`. `to` may be the node's own, ":NAME"."""

    token: int
    to: str
    lifetime_s: int
    payload: bytes = field(repr=False)

    @property
    def reply_service(self) -> str:
        return f"{REPLY_PREFIX}{self.token:016x}"


@dataclass(frozen=True)
class Serve:
    stream: int
    service: str


@dataclass(frozen=True)
class Close:
    stream: int


@dataclass(frozen=True)
class Checkpoint:
    """Park the guest, make its state durable, go on; the next hello says how that ended."""


@dataclass(frozen=True)
class Hint:
    """`what`: abi.HINT_*."""

    what: int
    name: str


@dataclass(frozen=True)
class Exit:
    """`how`: 0 exit, 1 signal, 2 out of memory. `thread`: which one, unless it was an exit."""

    how: int
    status: int
    why: str
    thread: ThreadReport | None = None


@dataclass(frozen=True)
class Unreadable:
    """An output of a later minor version, or a broken one: acknowledge it, do nothing."""

    kind: int
    reason: str


OutputBody = (
    Log | Send | Subscribe | Exit | Request | Serve | Close | Checkpoint | Hint | Unreadable
)


@dataclass(frozen=True)
class Output:
    """One of the guest's numbered outputs."""

    number: int
    body: OutputBody


def parse_output(body: bytes) -> Output:
    """The body of an OUT frame, as a guest numbered it."""
    return read_output(Body(body))


def read_output(body: Body) -> Output:
    number, kind = body.integer(8), body.integer(1)
    parse = _OUTPUTS.get(kind)
    if parse is None:
        return Output(number, Unreadable(kind, "unknown kind"))
    try:
        return Output(number, parse(body))
    except WireError as error:
        return Output(number, Unreadable(kind, str(error)))


def _send(body: Body) -> Send:
    sent = Send(body.name(), body.integer(4), body.blob())
    if len(sent.payload) > abi.MESSAGE_MAX:
        raise WireError("send: payload too long")
    return sent


def _subscribe(body: Body) -> Subscribe:
    stream, source = _own_stream(body), body.name()
    if not source:
        raise WireError("subscribe: no source")
    return Subscribe(stream, source, body.integer(8) if body.has_more else 0)


def _own_stream(body: Body) -> int:
    """One that the guest may give a meaning to."""
    stream = body.stream()
    if not 0 < stream < abi.STREAM_TIMERS:
        raise WireError("output: not a stream of the program's")
    return stream


def _request(body: Body) -> Request:
    token, sent = body.integer(8), _send(body)
    return Request(token, sent.to, sent.lifetime_s, sent.payload)


def _serve(body: Body) -> Serve:
    serve = Serve(_own_stream(body), body.name())
    if not serve.service or serve.service.startswith(REPLY_PREFIX):
        raise WireError("serve: not a service's name")
    return serve


def _hint(body: Body) -> Hint:
    hint = Hint(body.integer(1), body.name())
    if hint.what > abi.HINT_STAY:
        raise WireError("hint: of a later version")
    return hint


def _exit(body: Body) -> Exit:
    ended = Exit(body.integer(1), body.integer(4), body.text())
    try:
        return replace(ended, thread=read_thread(body)) if ended.how else ended
    except WireError:  # an older guest says nothing of it; and that it ended counts in any case
        return ended


_OUTPUTS: dict[int, Callable[[Body], OutputBody]] = {
    abi.OUT_LOG: lambda body: Log(body.integer(1), body.blob()),
    abi.OUT_SEND: _send,
    abi.OUT_SUBSCRIBE: _subscribe,
    abi.OUT_EXIT: _exit,
    abi.OUT_REQUEST: _request,
    abi.OUT_SERVE: _serve,
    abi.OUT_CLOSE: lambda body: Close(_own_stream(body)),
    abi.OUT_CHECKPOINT: lambda _: Checkpoint(),
    abi.OUT_HINT: _hint,
}
