"""This node's beacons: what it announces, and what becomes of those that it hears."""

from __future__ import annotations

import random

from radics_mesh.config import Address, Config
from radics_mesh.dtn.layers.contacts import Contacts, Listening
from radics_mesh.dtn.layers.discovery import Discovery
from radics_mesh.dtn.layers.heard import DATAGRAM_SERVICE, FOREIGN_SERVICE, MEMBER_SERVICE, Heard
from radics_mesh.dtn.layers.ipnd import Service
from radics_mesh.me import Me


def discovery_of(
    me: Me, config: Config, contacts: Contacts, listening: Listening, udp: Address | None
) -> Discovery:
    """For contacts that run already, so that their ports and listed hosts are known; `udp` is
    where datagrams of foreign peers come in."""
    services = [Service(MEMBER_SERVICE, f"port={listening.members.port};")]
    if listening.foreign is not None:
        services.append(Service(FOREIGN_SERVICE, f"port={listening.foreign.port};"))
    if udp is not None:
        services.append(Service(DATAGRAM_SERVICE, f"port={udp.port};"))
    return Discovery(
        own=me.identity.eid,
        services=services,
        heard=Heard(me.node_id, contacts.foreign_hosts, contacts.hear_no_more),
        on_found=lambda found: contacts.hear(found.peer, found.address),
        names=config.discover,
        every_s=config.discover_every_s,
        random=random.random,
    )
