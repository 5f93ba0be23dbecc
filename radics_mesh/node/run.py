"""From a configuration to a running peer."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import trio

from radics_mesh.clock import SystemClock
from radics_mesh.config import Address, Config
from radics_mesh.control import COMMAND, SOCKET_NAME, ControlServer, state_lock
from radics_mesh.dtn.layers.doors import listen
from radics_mesh.errors import UsageError
from radics_mesh.link import UdpLink
from radics_mesh.me import Me
from radics_mesh.membership import Verifier
from radics_mesh.node.joining import enter
from radics_mesh.node.requests import Requests
from radics_mesh.node.rows import INTERNAL_SERVICES
from radics_mesh.node.services import Services, open_link
from radics_mesh.node.state import StateDirectory, medium_errors
from radics_mesh.vmm.accelerator import choose


async def run(config: Config, announce: Callable[[str], None]) -> None:
    """Run a node until cancelled. `announce` gets lines for the person who started it.

    UsageError for all that the person can mend: a port in use, a state directory in use, a token
    that is refused, a missing QEMU.
    """
    _refuse_internal(config)
    state = StateDirectory(config.state)
    with state_lock(config.state), medium_errors(config.state):
        await _run(config, state, announce)


async def _run(config: Config, state: StateDirectory, announce: Callable[[str], None]) -> None:
    identity = state.identity()
    clock = SystemClock()
    await _check_ports(config)
    announce(f"{config.name}, node {identity.node_id.text}")
    # Before a mesh is made or a token used up: QEMU may be missing.
    accelerator = await choose(
        config.state / "accelerator.json",
        config.ram_directory,
        configured=config.accelerator,
    )
    membership = await enter(config, state, identity, clock, announce)
    me = Me(identity, Verifier(membership.mesh), membership.chain.pack(), clock, config.ipn_node)
    udp, link = await open_link(config)
    # Bundles over TCP at the port that UDP got, which with port 0 was any free one.
    bound = replace(
        config,
        listen=Address(config.listen.host, udp.local[1]),
        bootstrap=(*config.bootstrap, *config.neighbours, *membership.peers),
    )
    try:
        await _serve(Services(bound, me, link, accelerator), announce)
    finally:
        udp.close()


def _refuse_internal(config: Config) -> None:
    """UsageError when a peer that signs nothing shall reach what moves VMs."""
    for peer in config.foreign:
        internal = sorted(INTERNAL_SERVICES & set(peer.services))
        if internal:
            raise UsageError(f"{internal[0]} is the node's own service, not for {peer.eid}")


async def _check_ports(config: Config) -> None:
    """UsageError when a port is taken, before a mesh is made or a token used up."""
    udp = await UdpLink.open(config.listen)
    udp.close()
    async with AsyncExitStack() as stack:
        await listen(stack, config.listen)
        if config.foreign_listen is not None:
            await listen(stack, config.foreign_listen)


async def _serve(services: Services, announce: Callable[[str], None]) -> None:
    config = services.config
    server = ControlServer(config.state / SOCKET_NAME)
    Requests(services).register(server)
    async with trio.open_nursery() as nursery:
        await nursery.start(services.run)
        await nursery.start(server.run)
        nursery.start_soon(services.policing.at_hangup)
        for line in greeting(services):
            announce(line)


def greeting(services: Services) -> list[str]:
    """What the person who started the node wants to know."""
    config, mesh = services.config, services.me.mesh
    where = services.addresses()[0]
    state = f" --state {shlex.quote(str(config.state))}"
    return [
        f"in mesh {mesh.mesh_id.text[:8]}, listening at {', '.join(map(str, services.addresses()))}"
        f" (UDP and TCP), guests under {services.accelerator.accelerator}",
        f"others join with:  python -m radics_mesh join --bootstrap {where}",
        f"  and here:        {COMMAND} approve CODE{state}",
        f"or at once with:   {COMMAND} invite{state}",
        f"what happened:     {COMMAND} events{state}   (the log follows here, on stderr)",
        f"watch it with:     {COMMAND} status{state}",
    ]
