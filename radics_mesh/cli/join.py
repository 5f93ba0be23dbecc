"""`join`: run the node itself, in the foreground, until SIGINT or SIGTERM."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import trio

from radics_mesh.cli.amounts import RATE
from radics_mesh.cli.asking import StatePath, state_option
from radics_mesh.cli.endings import only_mistakes
from radics_mesh.cli.logs import log_to_stderr
from radics_mesh.config import (
    DEFAULT_PORT,
    MOVE_LIMIT_MIN,
    QUOTA_FORM,
    ROUTE_FORM,
    Address,
    Config,
    Foreign,
    Quota,
    Route,
    encrypt_rule,
)
from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import Eid
from radics_mesh.private import read_private

# The node: a configuration, and what it tells the user.
Run = Callable[[Config, Callable[[str], None]], Awaitable[None]]
CRASH_NAME = "crash.log"
NAME_MAX_BYTES = 64  # what a certificate has room for
FOREIGN_FORM = "EID=[udp:]HOST:PORT:SERVICE,...[@ibr] (port 0: it dials us)"


_MEGABYTES = click.IntRange(1, 1 << 30)


@click.command()
@click.option("--bootstrap", multiple=True, metavar="HOST[:PORT]", help="A member to dial first.")
@state_option
@click.option("--invite", metavar="TOKEN", envvar="RADICS_INVITE", help="Join without waiting.")
@click.option(
    "--invite-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The same token, in a file that only you can read.",
)
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default=f"0.0.0.0:{DEFAULT_PORT}",
    show_default=True,
    help="UDP and TCP; port 0: any free one.",
)
@click.option("--name", default=lambda: socket.gethostname(), show_default="the host's name")
@click.option(
    "--neighbours",
    multiple=True,
    metavar="HOST:PORT",
    help="Talk with these only, as if nothing else were in radio range.",
)
@click.option("--foreign", multiple=True, metavar="PEER", help=f"Admit {FOREIGN_FORM}.")
@click.option(
    "--ipn",
    type=click.IntRange(1, (1 << 64) - 1),
    metavar="NODE",
    help="This node is ipn:NODE.0 too, and its service called 7 is ipn:NODE.7.",
)
@click.option("--foreign-listen", metavar="HOST:PORT", help="Plain TCPCLv3 for --foreign peers.")
@click.option("--udp-listen", metavar="HOST:PORT", help="UDPCL for --foreign peers by udp:.")
@click.option(
    "--udp-max",
    type=click.IntRange(512, 65507),
    default=Config.datagram_max_bytes,
    show_default=True,
    metavar="BYTES",
    help="Bundles to peers over UDP are cut to this.",
)
@click.option(
    "--segment",
    type=click.IntRange(1024, Config.segment_bytes),
    default=Config.segment_bytes,
    show_default=True,
    metavar="BYTES",
    help="Of a bundle, in one message of a session.",
)
@click.option(
    "--foreign-idle",
    type=click.FloatRange(min=0),
    default=Config.foreign_idle_s,
    show_default=True,
    metavar="S",
    help="Shut down --foreign peers' sessions that carry nothing for so long; 0: never.",
)
@click.option(
    "--discover",
    multiple=True,
    metavar="INTERFACE",
    help="Find peers on this link, and be found, by beacons; all: on every one.",
)
@click.option(
    "--encrypt",
    multiple=True,
    metavar="WHAT",
    help="Encrypt payloads to a service, an EID, EIDs up to a slash, or to all but VMs (*).",
)
@click.option(
    "--route",
    "routes",
    multiple=True,
    metavar=ROUTE_FORM,
    help="links, direct, static:NODE, epidemic, spray:copies=8, prophet or plan:FILE.",
)
@click.option(
    "--carry",
    multiple=True,
    type=StatePath(),
    metavar="DIR",
    help="A folder on a stick: take and write bundles whenever it is there.",
)
@click.option("--store", type=_MEGABYTES, metavar="MB", help="For all bundles that wait here.")
@click.option("--store-each", type=_MEGABYTES, metavar="MB", help="The same, of any one sender.")
@click.option(
    "--evict",
    is_flag=True,
    help="When full, drop what passes through and is less urgent than what comes.",
)
@click.option(
    "--probe-every",
    type=click.FloatRange(0.1, 3600),
    default=Config.probe_every_s,
    show_default=True,
    metavar="S",
    help="Between two probes of whether another node is there; slow links want more.",
)
@click.option(
    "--compare-every",
    type=click.FloatRange(0.5, 3600),
    default=Config.compare_every_s,
    show_default=True,
    metavar="S",
    help="Between two comparisons of records with another node.",
)
@click.option("--guest-memory", type=click.IntRange(8, 1 << 20), metavar="MB", help="For all VMs.")
@click.option("--quota", "quotas", multiple=True, metavar=QUOTA_FORM, help="For a member's VMs.")
@click.option(
    "--limit",
    type=RATE,
    metavar="RATE",
    help="Bytes a second of each move of a VM from here, unless it has its own: 1M.",
)
@click.option(
    "--pool",
    type=click.IntRange(0, 64),
    default=Config.pool_size,
    show_default=True,
    metavar="N",
    help="QEMUs that wait for VMs.",
)
@click.option("--accelerator", type=click.Choice(["tcg", "kvm"]), help="Instead of a probe.")
@click.option(
    "--require-witness",
    is_flag=True,
    help="Start no VM before a peer confirms that this disk is not an old copy.",
)
@click.option("--trust-clock", is_flag=True, help="This machine's clock is right, whatever set it.")
@click.option("--no-scheduler", is_flag=True, help="Move VMs only when told to.")
@click.option("-v", "--verbose", is_flag=True, help="Log more.")
def join(verbose: bool, invite_file: Path | None, **options: Any) -> None:
    """Run a node: make a mesh, or join one with --bootstrap.

    With --invite TOKEN it is a member at once. Without, it knocks, prints a code and waits until
    `approve CODE` is run on a member.
    """
    if invite_file is not None:
        options["invite"] = _token_in(invite_file, options["invite"])
    config = config_from(options)
    log_to_stderr(logging.DEBUG if verbose else logging.INFO)
    # Imported here only: every other command is a client and starts faster without the node.
    from radics_mesh.node.run import run

    with _bugs_kept(config.state / CRASH_NAME):
        trio.run(until_signal, run, config)


@contextmanager
def _bugs_kept(path: Path) -> Iterator[None]:
    """A node's bug cannot be had again at will, so its traceback is kept in the state directory."""
    try:
        yield
    except Exception as error:  # raised again, whatever it is
        if not only_mistakes(error):
            with suppress(OSError):
                path.write_text("".join(traceback.format_exception(error)), errors="replace")
                error.add_note(f"its traceback is in {path}")
        raise


def config_from(options: dict[str, Any]) -> Config:
    """The node's configuration from the command's options; UsageError if one makes no sense."""
    memory = options["guest_memory"]
    foreign_listen = options["foreign_listen"]
    foreign = tuple(parse_foreign(text) for text in options["foreign"])
    _refuse_unreachable(foreign, foreign_listen, options["udp_listen"])
    state: Path = options["state"]
    store, store_each = options["store"], options["store_each"]
    return Config(
        state=state,
        name=parse_name(options["name"]),
        listen=parse_listen(options["listen"]),
        bootstrap=_addresses(options["bootstrap"]),
        invite=options["invite"],
        neighbours=_addresses(options["neighbours"]),
        ipn_node=options["ipn"],
        foreign=foreign,
        discover=tuple(options["discover"]),
        carry=tuple(options["carry"]),
        store_quota_bytes=store << 20 if store else Config.store_quota_bytes,
        store_source_quota_bytes=store_each << 20 if store_each else None,
        store_evicts=options["evict"],
        encrypt=tuple(encrypt_rule(rule) for rule in options["encrypt"]),
        routes=tuple(Route.parse(text) for text in options["routes"]),
        foreign_listen=parse_listen(foreign_listen) if foreign_listen else None,
        udp_listen=parse_listen(options["udp_listen"]) if options["udp_listen"] else None,
        datagram_max_bytes=options["udp_max"],
        segment_bytes=options["segment"],
        foreign_idle_s=options["foreign_idle"],
        probe_every_s=options["probe_every"],
        compare_every_s=options["compare_every"],
        guest_memory_bytes=memory << 20 if memory is not None else None,
        accelerator=options["accelerator"],
        pool_size=options["pool"],
        move_limit=_limit(options["limit"]),
        require_witness=options["require_witness"],
        quotas=tuple(Quota.parse(text) for text in options["quotas"]),
        scheduler=not options["no_scheduler"],
        trust_clock=options["trust_clock"],
    )


def _token_in(file: Path, given: str | None) -> str:
    if given is not None:
        raise UsageError("give the token once, or its file")
    try:
        return read_private(file).decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"no token can be read from {file}: {error}") from error


def _limit(rate: float | None) -> float | None:
    if rate is not None and rate < MOVE_LIMIT_MIN:
        raise UsageError(f"a limit is {MOVE_LIMIT_MIN:g} bytes a second or more")
    return rate


def parse_name(text: str) -> str:
    """What people will call the node, as one types it: `send NAME/SERVICE`, `migrate --to NAME`."""
    if (
        0 < len(text.encode("utf-8", "surrogateescape")) <= NAME_MAX_BYTES
        and text.isprintable()
        and text == text.strip()
        and not set("/:") & set(text)
    ):
        return text
    raise UsageError(
        f"not a node's name: {text[:NAME_MAX_BYTES]!a} (1 to {NAME_MAX_BYTES} bytes of printable"
        " text, no / or :); give another --name"
    )


def parse_listen(text: str) -> Address:
    """An address to listen at: port 0 is allowed there, and means any free one."""
    host, colon, port = text.rpartition(":")
    if colon and port == "0":
        return Address(Address.parse(f"{host}:1").host, 0)
    return Address.parse(text)


def parse_foreign(text: str) -> Foreign:
    """A peer of another implementation: EID=[udp:]HOST:PORT:SERVICE,...[@ibr]; UsageError
    otherwise."""
    eid, equals, rest = text.partition("=")
    rest, _, kind = rest.partition("@")
    over_udp = rest.startswith("udp:")
    place, colon, services = rest.removeprefix("udp:").rpartition(":")
    if not equals or not colon or kind not in ("", "ibr"):
        raise UsageError(f"not a foreign peer: {text} (want {FOREIGN_FORM})")
    try:
        address = parse_listen(place)
        return Foreign(
            eid=Eid(eid),
            address=address if address.port else None,
            host=address.host,
            services=tuple(name for name in services.split(",") if name),
            is_ibr=kind == "ibr",
            over_udp=over_udp,
        )
    except WireError as error:
        raise UsageError(f"not a foreign peer: {text}: {error}") from error


def _refuse_unreachable(foreign: tuple[Foreign, ...], listens: str | None, udp: str | None) -> None:
    """UsageError when a peer shall begin with us at a listener that there is not."""
    for peer in foreign:
        option, listener = ("--udp-listen", udp) if peer.over_udp else ("--foreign-listen", listens)
        if peer.address is None and not listener:
            raise UsageError(f"{peer.eid} shall dial this node: give {option} HOST:PORT too")


def _addresses(texts: Iterable[str]) -> tuple[Address, ...]:
    """Repeated options, each with one address or several with commas between.

    An empty one is refused like any other nonsense: `--bootstrap "$FORGOTTEN"` must not found a
    mesh.
    """
    return tuple(Address.parse(part) for text in texts for part in text.split(","))


async def until_signal(run: Run, config: Config) -> None:
    """The node until SIGINT or SIGTERM; then it is cancelled and closes everything in order."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_signal, signals, nursery.cancel_scope)
            await run(config, _announce)
            nursery.cancel_scope.cancel()


async def _cancel_at_signal(signals: Any, scope: trio.CancelScope) -> None:
    async for number in signals:
        _announce(f"stopping ({signal.Signals(number).name})")
        scope.cancel()
        return


def _announce(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


COMMANDS = [join]
