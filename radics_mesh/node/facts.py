"""What this node says about itself: its capacity once, its load again and again.

The CPU share is psutil's over the time since the last sample, smoothed, so that one busy second
does not push VMs around; the effective capacity of a throttled Pi is current / maximum frequency.
"""

from __future__ import annotations

import platform
import socket
from dataclasses import dataclass
from typing import Any, cast

import psutil

from radics_mesh.config import Config
from radics_mesh.hosting.fitness import guests_here
from radics_mesh.ids import NodeId

# Weight of a new sample: with one a second, a change shows to 90 % after about eight seconds.
_SMOOTHING = 0.25
_NEIGHBOURS_MAX = 11  # a record has to fit one datagram
ADDRESSES_MAX = 4


@dataclass
class LoadMeter:
    """The smoothed share of this machine's CPU in use, 0 to 1."""

    share: float = 0.0
    _primed: bool = False

    def sample(self) -> float:
        """Take one sample; the first one only starts psutil's clock."""
        now = psutil.cpu_percent(interval=None) / 100
        if self._primed:
            self.share += _SMOOTHING * (now - self.share)
        self._primed = True
        return self.share


def guest_memory_bytes(config: Config) -> int:
    """Memory for all guests together: what the configuration says, else half the machine's."""
    if config.guest_memory_bytes is not None:
        return config.guest_memory_bytes
    return int(psutil.virtual_memory().total // 2)


def cpu_capacity() -> float:
    """Cores, scaled by the clock rate they run at now (a hot Pi runs below its maximum)."""
    cores = float(psutil.cpu_count() or 1)
    # The stubs leave out that it is None where the kernel tells no frequency.
    frequency = cast(Any, psutil.cpu_freq())
    if frequency and frequency.max and frequency.current:
        return cores * min(1.0, float(frequency.current) / float(frequency.max))
    return cores


def own_addresses(listen_host: str, port: int) -> list[tuple[str, int]]:
    """Where others may dial this node: what it was told, else every address of its interfaces.

    Loopback is named only when there is nothing else: on one machine it is the way.
    """
    if listen_host not in ("0.0.0.0", "::"):
        return [(listen_host, port)]
    families = (socket.AF_INET, socket.AF_INET6) if listen_host == "::" else (socket.AF_INET,)
    found = [
        entry.address
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in families and "%" not in entry.address
    ]
    outside = [host for host in found if not host.startswith("127.") and host != "::1"]
    return [(host, port) for host in (outside or ["127.0.0.1"])[:ADDRESSES_MAX]]


def own_networks() -> list[str]:
    """The networks that this node's interfaces are on, as `192.168.1.7/24`."""
    return [
        f"{entry.address.partition('%')[0]}/{_prefix(entry.netmask)}"
        for entries in psutil.net_if_addrs().values()
        for entry in entries
        if entry.family in (socket.AF_INET, socket.AF_INET6) and entry.netmask
    ]


def _prefix(netmask: str) -> int:
    """The length of `255.255.255.0` or `ffff:ffff::`."""
    family = socket.AF_INET6 if ":" in netmask else socket.AF_INET
    return int.from_bytes(socket.inet_pton(family, netmask), "big").bit_count()


def node_body(
    *,
    name: str,
    addresses: list[tuple[str, int]],
    memory_bytes: int,
    memory_used_bytes: int,
    load: float,
    vms: int,
    neighbours: list[tuple[NodeId, float]],
    accelerator: str,
    boot: tuple[int, bytes],
    mesh_key: list[object],
) -> dict[str, object]:
    """The body of this node's record; `neighbours` are (node, round trip in seconds)."""
    nearest = sorted(neighbours, key=lambda pair: pair[1])[:_NEIGHBOURS_MAX]
    return {
        "name": name[:64],
        "addresses": [list(address) for address in addresses[:ADDRESSES_MAX]],
        "arch": platform.machine(),
        "cores": round(cpu_capacity(), 2),
        "memory": memory_bytes,
        "memory_free": max(0, memory_bytes - memory_used_bytes),
        "load": round(load, 3),
        "vms": vms,
        "neighbours": [[node.text, round(rtt_s * 1000, 2)] for node, rtt_s in nearest],
        "accel": accelerator,
        "boot": list(boot),
        "guests": guests_here(),
        "mesh_key": mesh_key,
    }
