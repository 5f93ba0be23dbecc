"""Commands that send and receive bundles by hand, and that follow them on their way."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import click
import trio

from radics_mesh import cells
from radics_mesh.cli.asking import Finite, ask, each, json_option, state_option, wants_json
from radics_mesh.cli.bundles import transfer
from radics_mesh.cli.tables import jsonable, print_json, print_json_line
from radics_mesh.control import ControlClient
from radics_mesh.errors import LinkError, UsageError

# A payload from standard input that is larger goes to the node as a file.
INLINE_BYTES = 1 << 20
_READ_BYTES = 1 << 20
# What `trace` and `send --wait` ask for.
_ALL = ("received", "custody", "forwarded", "delivered", "deleted")
_ENDS = ("delivered", "deleted")
_PRIORITIES = click.Choice(["bulk", "normal", "expedited"])
_Payload = tuple[bytes, str]
# Reports of nodes on the way may come after that of the end, which `trace` hears first then.
_OVERTAKEN_S = 1.0
_LOOK_S = 0.25


@contextmanager
def payload_of(file: BinaryIO, state: Path) -> Iterator[_Payload]:
    """(payload, "") or, of a large one or of a file with a name, (b"", its absolute path)."""
    path = Path(str(getattr(file, "name", "")))
    if file is not sys.stdin.buffer and path.is_file():
        yield b"", str(path.absolute())
        return
    first = file.read(INLINE_BYTES + 1)
    if len(first) <= INLINE_BYTES:
        yield first, ""
        return
    # In the node's own directory: nobody else reads there, and it is on a disk, not in memory.
    with tempfile.NamedTemporaryFile(dir=state, prefix="sending-") as spool:
        taken = 0
        data = first
        while data:
            spool.write(data)
            taken += len(data)
            _progress(f"{cells.size(taken)} read")
            data = file.read(_READ_BYTES)
        spool.flush()
        _progress("")
        yield b"", spool.name


def _progress(text: str) -> None:
    """One line that changes, for somebody who looks on."""
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[K{text}", err=True, nl=False)


@click.command()
@click.argument("destination")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--lifetime", type=click.IntRange(1), metavar="S", help="Seconds, then it expires.")
@click.option("--custody", is_flag=True, help="Each hop answers for it to the one before.")
@click.option(
    "--report",
    type=click.Choice(_ALL),
    multiple=True,
    help="Nodes are to report this; see `bundles why`.",
)
@click.option("--encrypt", is_flag=True, help="Only the destination's node can read it.")
@click.option("--priority", type=_PRIORITIES, default="normal", show_default=True)
@click.option("--wait", is_flag=True, help="Until it was delivered; fail if it was deleted.")
@click.option("--timeout", type=Finite(0), metavar="S", help="With --wait: wait no longer.")
@json_option
@state_option
def send(
    destination: str,
    file: BinaryIO,
    lifetime: int | None,
    custody: bool,
    report: tuple[str, ...],
    encrypt: bool,
    priority: str,
    wait: bool,
    timeout: float | None,
    state: Path,
) -> None:
    """Send FILE (default: standard input) as one bundle to DESTINATION.

    DESTINATION is NAME/SERVICE, with a node's name or id or a VM's name, or any EID. Prints the
    bundle's id once the bundle is on disk; from then on it survives a power cut.
    """
    reports = sorted({*report, *(_ENDS if wait else ())})
    call = partial(ControlClient(state).call, "send")
    with payload_of(file, state) as (payload, path):
        answer = trio.run(
            partial(
                call,
                destination=destination,
                payload=payload,
                file=path,
                lifetime_s=lifetime,
                custody=custody,
                report=reports,
                encrypt=encrypt,
                priority=priority,
            )
        )
    if not wants_json():
        click.echo(cells.printable(answer["id"]))
    seen = follow(state, answer["id"], timeout) if wait else []
    if wants_json():
        print_json({**answer, "sightings": seen})
    if wait:
        _check_delivered(seen, timeout)


def _check_delivered(seen: list[dict[str, Any]], timeout: float | None) -> None:
    """LinkError unless it was."""
    whole = [row for row in seen if row["fragment"] is None]
    if any(row["what"] == "delivered" for row in whole):
        return
    for row in whole:
        if row["what"] == "deleted":
            raise LinkError(f"{row['node']} has deleted it: {row['reason'] or 'no reason given'}")
    within = "" if timeout is None else f" within {timeout:g} s"
    raise LinkError(f"nobody has told{within} that it was delivered")


def follow(state: Path, bundle_id: str, timeout: float | None) -> list[dict[str, Any]]:
    """What is told of it, until it has come to its end or the time is over."""
    seen: list[dict[str, Any]] = []

    def show(row: dict[str, Any]) -> None:
        seen.append(row)
        _progress(f"{cells.printable(row['node'])}: {row['what']}")

    async def track() -> None:
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            async with trio.open_nursery() as nursery:
                if sys.stderr.isatty():
                    nursery.start_soon(_watch, state, bundle_id)
                await each(state, "track", show, id=bundle_id)
                nursery.cancel_scope.cancel()

    trio.run(track)
    _progress("")
    return seen


async def _watch(state: Path, bundle_id: str) -> None:
    """How far it is with the neighbours that are being given it, until it has left."""
    client = ControlClient(state)
    with suppress(UsageError):
        while True:
            found = await client.call("bundle", id=bundle_id)
            if found["transfers"]:
                _progress(cells.printable("; ".join(map(transfer, found["transfers"]))))
            await trio.sleep(_LOOK_S)


@click.command()
@click.argument("destination")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--timeout", type=Finite(0, min_open=True), default=60.0, show_default=True)
@json_option
@state_option
def request(destination: str, file: BinaryIO, timeout: float, state: Path) -> None:
    """Send FILE (default: standard input) to DESTINATION as a request, and print the reply.

    DESTINATION is as for send. The request waits on its way while the service is away, for up to
    --timeout seconds.
    """
    answer = ask(state, "request", destination=destination, payload=file.read(), timeout_s=timeout)
    sys.stdout.buffer.write(_as_text(answer["payload"], raw=False))
    sys.stdout.buffer.flush()


@click.command()
@click.argument("service")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.option("--timeout", type=Finite(0), metavar="S", help="End after so long.")
@click.option("--raw", is_flag=True, help="Payloads as they are, no newline between.")
@json_option
@state_option
def recv(
    service: str,
    count: int | None,
    timeout: float | None,
    raw: bool,
    state: Path,
) -> None:
    """Print the payloads of bundles to SERVICE of this node, waiting for more.

    A SERVICE with a colon is an endpoint that is not this node's alone: a group,
    dtn://group.NAME/..., which is for all who receive from it on any node, or another URI.

    A bundle leaves the store when it has been printed, not before. With --json a JSON object a
    line, with the sender.
    """
    received = 0
    whole = bytearray()

    def show(item: dict[str, Any]) -> None:
        nonlocal received
        part: bytes = item["payload"]
        end = item.get("offset", 0) + len(part)
        is_last = end >= item.get("total", end)
        if wants_json():
            whole.extend(part)
            if is_last:
                print_json_line({**item, "payload": bytes(whole), "offset": 0})
                whole.clear()
        else:
            sys.stdout.buffer.write(_as_text(part, raw) if is_last else part)
            sys.stdout.buffer.flush()
        if not is_last:
            _progress(f"{cells.size(end)} of {cells.size(item['total'])}")
        elif item.get("offset"):
            _progress("")
        received += is_last

    async def receive() -> None:
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            await each(state, "recv", show, service=service, count=count)

    trio.run(receive)
    if count is not None and received < count:
        raise LinkError(f"{received} of {count} bundles arrived within {timeout:g} s")


def _as_text(payload: bytes, raw: bool) -> bytes:
    return payload if raw or payload.endswith(b"\n") else payload + b"\n"


def _echo_of(destination: str) -> str:
    """A node alone means its echo service, which every node has."""
    alone = ":" not in destination and "/" not in destination
    return f"{destination}/echo" if alone else destination


@click.command()
@click.argument("destination")
@click.option("--count", type=click.IntRange(1, 1_000_000), default=5, show_default=True)
@click.option("--interval", type=Finite(0, 86_400), default=1.0, show_default=True, metavar="S")
@click.option("--timeout", type=Finite(0, min_open=True), default=60.0, show_default=True)
@click.option("--size", type=click.IntRange(0, 16 << 20), default=56, show_default=True)
@json_option
@state_option
def ping(
    destination: str, count: int, interval: float, timeout: float, size: int, state: Path
) -> None:
    """Send bundles to a node and back; tell how long each took.

    DESTINATION is a node, or as for send whatever sends back what it gets.
    """
    rtts: list[float] = []
    sent = 0

    def show(item: dict[str, Any]) -> None:
        nonlocal sent
        sent += 1
        if item["rtt_s"] is not None:
            rtts.append(item["rtt_s"])
        if wants_json():
            print_json_line(item)
        else:
            click.echo(_ping_line(item, timeout))

    async def go() -> None:
        params = {"count": count, "interval_s": interval, "timeout_s": timeout, "size": size}
        await each(state, "ping", show, destination=_echo_of(destination), **params)

    try:
        trio.run(go)
    finally:
        if sent and not wants_json():
            click.echo(_ping_summary(sent, rtts))
    if not rtts:
        raise LinkError(f"no echo from {destination}")


def _ping_line(item: dict[str, Any], timeout: float) -> str:
    if item["rtt_s"] is None:
        return f"{item['number']}: no echo within {timeout:g} s"
    altered = "" if item["intact"] else ", altered"
    whence = cells.printable(item["from"])
    return (
        f"{item['number']}: {cells.size(item['bytes'])} from {whence}{altered},"
        f" {item['rtt_s'] * 1000:.1f} ms"
    )


def _ping_summary(sent: int, rtts: list[float]) -> str:
    said = f"{sent} sent, {len(rtts)} came back"
    if not rtts:
        return said
    low, mean, high = (1000 * v for v in (min(rtts), sum(rtts) / len(rtts), max(rtts)))
    return f"{said}; least, mean, most: {low:.1f}, {mean:.1f}, {high:.1f} ms"


@click.command()
@click.argument("destination")
@click.option("--timeout", type=Finite(0, min_open=True), default=60.0, show_default=True)
@json_option
@state_option
def trace(destination: str, timeout: float, state: Path) -> None:
    """Send an empty bundle and print the path that it took, from the reports of the nodes on it.

    DESTINATION is as for ping. Times are by the clocks of those nodes; a node that writes no
    reports is not seen.
    """
    began, seen = trio.run(_trace, state, _echo_of(destination), timeout)
    if wants_json():
        print_json({"began": began, "sightings": jsonable(seen)})
    else:
        for row in seen:
            click.echo(_trace_line(row, began))
    _check_delivered(seen, timeout)


async def _trace(state: Path, to: str, timeout: float) -> tuple[float, list[dict[str, Any]]]:
    """When it was sent, by this machine's clock, and the path."""
    client = ControlClient(state)
    lifetime_s = max(1, int(timeout))
    began = time.time()
    answer = await client.call("send", destination=to, report=list(_ALL), lifetime_s=lifetime_s)
    with trio.move_on_after(timeout):
        async with aclosing(client.stream("track", id=answer["id"])) as rows:
            async for _ in rows:
                pass
        await trio.sleep(_OVERTAKEN_S)
    return began, (await client.call("path", id=answer["id"]))["sightings"]


def _trace_line(row: dict[str, Any], began: float) -> str:
    when = "?" if row["at"] is None else f"{row['at'] - began:+.3f} s"
    reason = f": {cells.printable(row['reason'])}" if row["reason"] else ""
    part = f", of {cells.printable(row['fragment'])}" if row["fragment"] else ""
    return f"{when:>10}  {cells.printable(row['node'])}  {row['what']}{part}{reason}"


COMMANDS = [send, request, recv, ping, trace]
