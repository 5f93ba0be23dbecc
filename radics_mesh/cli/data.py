"""Commands about data: sources, and bundles sent and received by hand."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any, BinaryIO

import click
import trio

from radics_mesh import cells
from radics_mesh.cli.asking import Finite, ask, each, state_option
from radics_mesh.cli.tables import print_rows
from radics_mesh.errors import LinkError

_FILE = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True, path_type=Path)


@click.command()
@click.argument("name")
@click.option("--file", required=True, type=_FILE, help="Its lines become the messages.")
@click.option("--rate", type=Finite(1e-3, 1e6), metavar="LINES/S")
@state_option
def publish(name: str, file: Path, rate: float | None, state: Path) -> None:
    """Publish a file's lines as the data source NAME, from the first line on.

    Each subscriber gets all of them, once and in order, as fast as it takes them, at most --rate.
    """
    source = ask(state, "publish", name=name, file=str(file), rate=rate)["source"]
    click.echo(cells.printable(f"{source['name']} is published by {source['publisher']}"))


@click.command()
@state_option
def sources(state: Path) -> None:
    """List data sources."""
    rows = ask(state, "sources")["sources"]
    print_rows(cells.SOURCE_COLUMNS, rows, cells.source_row, nothing="no source is known")


@click.command()
@click.argument("destination")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--lifetime", type=click.IntRange(1), metavar="S", help="Seconds, then it expires.")
@state_option
def send(destination: str, file: BinaryIO, lifetime: int | None, state: Path) -> None:
    """Send FILE (default: standard input) as one bundle to DESTINATION.

    DESTINATION is NAME/SERVICE, with a node's name or id or a VM's name, or any EID. Prints the
    bundle's id once the bundle is on disk; from then on it survives a power cut.
    """
    answer = ask(state, "send", destination=destination, payload=file.read(), lifetime_s=lifetime)
    click.echo(cells.printable(answer["id"]))


@click.command()
@click.argument("destination")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--timeout", type=Finite(0, min_open=True), default=60.0, show_default=True)
@state_option
def request(destination: str, file: BinaryIO, timeout: float, state: Path) -> None:
    """Send FILE (default: standard input) to DESTINATION as a request, and print the reply.

    DESTINATION is as for send. The request waits on its way while the service is away, for up to
    --timeout seconds.
    """
    answer = ask(state, "request", destination=destination, payload=file.read(), timeout_s=timeout)
    sys.stdout.buffer.write(_as_text(answer, raw=False))
    sys.stdout.buffer.flush()


@click.command()
@click.argument("service")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.option("--timeout", type=Finite(0), metavar="S", help="End after so long.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object a line, with the sender.")
@click.option("--raw", is_flag=True, help="Payloads as they are, no newline between.")
@state_option
def recv(
    service: str,
    count: int | None,
    timeout: float | None,
    as_json: bool,
    raw: bool,
    state: Path,
) -> None:
    """Print the payloads of bundles to SERVICE of this node, waiting for more.

    A bundle leaves the store when it has been printed, not before.
    """
    received = 0

    def show(item: dict[str, Any]) -> None:
        nonlocal received
        sys.stdout.buffer.write(_as_json(item) if as_json else _as_text(item, raw))
        sys.stdout.buffer.flush()
        received += 1

    async def receive() -> None:
        with trio.move_on_after(float("inf") if timeout is None else timeout):
            await each(state, "recv", show, service=service, count=count)

    trio.run(receive)
    if count is not None and received < count:
        raise LinkError(f"{received} of {count} bundles arrived within {timeout:g} s")


def _as_text(item: dict[str, Any], raw: bool) -> bytes:
    payload: bytes = item["payload"]
    return payload if raw or payload.endswith(b"\n") else payload + b"\n"


def _as_json(item: dict[str, Any]) -> bytes:
    """The payload as text when it is UTF-8, else as base64 under another key."""
    payload: bytes = item["payload"]
    shown: dict[str, Any] = {key: value for key, value in item.items() if key != "payload"}
    try:
        shown["payload"] = payload.decode("utf-8")
    except UnicodeDecodeError:
        shown["payload_base64"] = base64.b64encode(payload).decode("ascii")
    return json.dumps(shown, sort_keys=True).encode() + b"\n"


@click.command()
@state_option
def bundles(state: Path) -> None:
    """List the bundles stored here, and what has been counted."""
    answer = ask(state, "bundles")
    print_rows(
        cells.BUNDLE_COLUMNS, answer["bundles"], cells.bundle_row, nothing="no bundle waits here"
    )
    click.echo("\n".join(cells.bundle_lines(answer["counts"])))


COMMANDS = [publish, sources, send, request, recv, bundles]
