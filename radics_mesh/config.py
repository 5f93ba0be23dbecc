"""A node's configuration: every field with its meaning, unit, bound and trade-off."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import Eid

DEFAULT_PORT = 5050
QUOTA_FORM = "MEMBER=vms:N,memory:MB,storage:MB"
# Less, and a move would outlive what it carries.
MOVE_LIMIT_MIN = 1024.0


@dataclass(frozen=True)
class Address:
    """Where a node listens, UDP for the DHT and TCP for bundles at the same port number."""

    host: str
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> Address:
        """`host`, `host:port`, `[v6]` or `[v6]:port`; UsageError otherwise."""
        host, port = text, str(DEFAULT_PORT)
        if text.startswith("["):
            host, closed, rest = text[1:].partition("]")
            if not closed or (rest and not rest.startswith(":")):
                raise UsageError(f"not an address: {text} (want HOST, HOST:PORT or [IPV6]:PORT)")
            port = rest[1:] or port
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise UsageError(f"not an address: {text} (want HOST, HOST:PORT or [IPV6]:PORT)")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Foreign:
    """A peer that is no member (another implementation), admitted by name only."""

    eid: Eid
    # Where it is dialled, or datagrams are sent; None: it begins, and is known by its source
    # address `host`.
    address: Address | None
    host: str
    # Services of this node that it may reach unsigned.
    services: tuple[str, ...] = ()
    # It is an IBR-DTN, whose custody signals have a status byte of their own.
    is_ibr: bool = False
    # It speaks UDPCL (radics_mesh.dtn.layers.udpcl) and not TCPCL: nothing is acknowledged.
    over_udp: bool = False


ROUTE_FORM = "PATTERN=MODULE[:OPTIONS]"


@dataclass(frozen=True)
class Route:
    """Which routing module decides about the endpoints that a pattern matches."""

    pattern: str
    # See radics_mesh.dtn.routes.choice for modules and their options.
    module: str
    options: str = ""

    @classmethod
    def parse(cls, text: str) -> Route:
        """PATTERN=MODULE[:OPTIONS]; UsageError otherwise."""
        pattern, _, rest = text.partition("=")
        module, _, options = rest.partition(":")
        if not (pattern and module):
            raise UsageError(f"not a route: {text} (want {ROUTE_FORM})")
        return cls(pattern, module, options)


EVERYONE = "*"


@dataclass(frozen=True)
class Quota:
    """What the VMs of one member, those born in its name, may have on this node; None: no bound."""

    # By name or id; EVERYONE: of each member that has none of its own.
    member: str
    vms: int | None = None
    memory_bytes: int | None = None
    # Logs, waiting mail and snapshots.
    storage_bytes: int | None = None

    @classmethod
    def parse(cls, text: str) -> Quota:
        """MEMBER=vms:N,memory:MB,storage:MB, each optional; UsageError otherwise."""
        member, equals, rest = text.rpartition("=")
        found = dict(re.findall(r"(?:^|,)(vms|memory|storage):(\d{1,9})(?=,|$)", rest))
        if not (member and equals and found and len(found) == rest.count(",") + 1):
            raise UsageError(f"not a quota: {text} (want {QUOTA_FORM}; any of the three)")
        bytes_of = {k: int(v) << 20 for k, v in found.items() if k != "vms"}
        vms = int(found["vms"]) if "vms" in found else None
        return cls(member, vms, bytes_of.get("memory"), bytes_of.get("storage"))


def encrypt_rule(text: str) -> str:
    """One of `Config.encrypt`; UsageError for what can never match."""
    if not text:
        raise UsageError("nothing to encrypt to: want a service, an EID or *")
    if ":" in text:
        try:
            Eid(text)
        except WireError as error:
            raise UsageError(f"nothing to encrypt to: {error}") from error
    return text


@dataclass(frozen=True)
class Config:
    # Everything the node keeps lives below this directory, mode 0700. One running node a directory.
    state: Path
    # What people call the node. Unique is better; ambiguity is answered by asking for the id.
    name: str
    # Interface and port for UDP (DHT) and TCP (bundles). Port 0: any free one, printed at start.
    listen: Address = Address("0.0.0.0")
    # Members to dial first; more are learned from the DHT.
    bootstrap: tuple[Address, ...] = ()
    # The invite token, if there is one.
    invite: str | None = None
    # Talk (datagrams and bundles) only with these addresses, as if nothing else were in radio
    # range. Empty: with everyone. Bundles for others go through these neighbours.
    neighbours: tuple[Address, ...] = ()
    # This node's number in `ipn:` names, for ION and its like; None: it has none.
    ipn_node: int | None = None
    # Peers that are no members.
    foreign: tuple[Foreign, ...] = ()
    # A plain TCPCLv3 listener for foreign peers; None: there is none.
    foreign_listen: Address | None = None

    # Interfaces on which this node says that it is there and listens for others (IPND beacons, UDP
    # port 4551); "all": every one but the loopback. They tell anybody in reach its EID and ports.
    discover: tuple[str, ...] = ()
    # Seconds between two of its beacons, give or take a quarter. Shorter: met sooner, more air.
    discover_every_s: float = 5.0

    # Directories that are carried about (a folder on a USB stick): whenever one is there, bundles
    # are taken from it, and those that no contact leads to the destination of are written to it.
    carry: tuple[Path, ...] = ()

    # --- DTN ---
    # How long a bundle may live when its sender does not say. Longer survives longer partitions.
    bundle_lifetime_s: int = 86_400
    # Bytes of bundles on disk, all together; a full store refuses, it drops nothing.
    store_quota_bytes: int = 1 << 30
    # The same of what one node, VM or foreign peer has sent, this node included. None: all.
    store_source_quota_bytes: int | None = None
    # Let a full store drop what passes through it, below the priority of what comes and not in
    # custody. More urgent bundles get through; others are lost whose senders ask for no custody.
    store_evicts: bool = False
    # Where payloads go encrypted, so that only the destination node can read them: "*" everywhere,
    # a service's name at every node, an EID, or the beginning of EIDs with a slash at its end.
    # Costs 133 bytes a bundle. "*" leaves out what is for VMs, which have no key; a rule that names
    # a VM, or a service of one, has nothing sent there.
    encrypt: tuple[str, ...] = ()
    # Idle seconds before a keepalive; three missed ones end a session.
    keepalive_s: int = 10
    # Bytes of a bundle in one TCPCL segment. Smaller: keepalives and answers of the other direction
    # wait less on a slow link, and a break costs less of what was acknowledged; larger: less to
    # parse. From 1 KB to 64 KB minus 16 bytes, so that a segment fills one sealed record.
    segment_bytes: int = (1 << 16) - 16
    # Seconds without a bundle after which a session that a foreign peer opened is shut down; it
    # opens another when it has something. 0: never.
    foreign_idle_s: float = 0.0
    # Where datagrams of peers over UDP come in; None: only answers to ours do.
    udp_listen: Address | None = None
    # The longest datagram to such a peer; longer bundles are fragmented. 1400 bytes pass Ethernet
    # and most tunnels in one piece. Longer: fewer signatures, but IP fragments, of which one lost
    # loses all.
    datagram_max_bytes: int = 1400
    # Bytes a second to each of them. More than the path takes is lost.
    datagram_bytes_per_s: float = 1e6
    # Dial again after a failure: first wait, and the bound to which it doubles (with jitter).
    redial_first_s: float = 0.5
    redial_max_s: float = 15.0

    # Which way to choose next hops, by endpoint; the first pattern that matches decides. What none
    # matches goes by least cost over the links that members advertise: one copy, and it waits
    # where no such way is known. Modules that spread copies need no way, and cost traffic and room.
    routes: tuple[Route, ...] = ()

    # The owner vouches for this machine's clock, where neither NTP nor a clock with a battery is
    # seen to keep it. Others may go by it, so a wrong one is worse than none.
    trust_clock: bool = False

    # --- directory ---
    # How often a node's own record is renewed, and how long records live without renewal.
    publish_every_s: float = 10.0
    record_ttl_s: int = 60

    # --- gossip ---
    # Seconds between two probes of another node, one after the other. Longer: less traffic and
    # fewer mistakes over slow links, but failures are found later: after about 6 of these at 10
    # nodes, 9 at 100. At least 0.1; a third of it must be longer than a round trip.
    probe_every_s: float = 1.0
    # Seconds between two comparisons of records with another node, up to four times as much while
    # there is nothing to tell; what is news is told at once besides. Longer: less traffic, and what
    # got lost is found later.
    compare_every_s: float = 10.0

    # --- virtual machines ---
    # Memory for guests, all together. None: half of what the machine has.
    guest_memory_bytes: int | None = None
    # Bytes a second that a move of a VM may send, unless it is given its own limit. None: no limit.
    move_limit: float | None = None
    # Compressed pages of VMs on disk (saved states, checkpoints, VMs that come), all together. A
    # page that several need counts once; a full store refuses, and the VM goes on.
    page_quota_bytes: int = 4 << 30
    # Bytes of images on disk. Full: those go that no VM here uses and nobody pinned.
    image_quota_bytes: int = 1 << 30
    # What members' VMs may have here; a member without one may have all that there is.
    quotas: tuple[Quota, ...] = ()
    # tcg, kvm, or None for a timed probe at first use.
    accelerator: str | None = None
    # QEMUs that are started ahead, so that `run` and `resume` do not wait for them. More: several
    # in a row are quick. Each takes 15 MB while it waits, and no processor; 0: none.
    pool_size: int = 2
    # Start no guest before a peer has confirmed that this disk was not set back to an older copy
    # (radics_mesh.hosting.witness). Safe where SD cards are swapped; a node that is alone does
    # nothing then.
    require_witness: bool = False
    # Where guests' RAM files live: a tmpfs, never an SD card.
    ram_directory: Path = field(default=Path("/dev/shm"))

    # --- scheduler ---
    scheduler: bool = True
    # A move must beat staying by this share of its cost. More: calmer, slower to adapt.
    hysteresis: float = 0.15
    # How long an advantage is expected to last when a move's cost is set against it.
    horizon_s: float = 60.0
    # CPU share of a host, 0 to 1, above which it pushes VMs away (k of n samples).
    overload: float = 0.85
