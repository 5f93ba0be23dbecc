"""What a hostile member does. It has joined in order, knows the mesh key, and proves its own id."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from random import Random

import trio
from kademlia.node import Node

from radics_mesh.codec import Fields
from radics_mesh.dht import rpc
from radics_mesh.link import SocketAddress
from radics_mesh.link_memory import MemoryLink
from radics_mesh.records import Kind, dht_key
from tests.dht.world import at
from tests.hostile.world import Attack, HostileWorld, Member

_PERIOD_S = 0.02  # between two datagrams of an active one


def _answers(one: Member, find: Callable[[SocketAddress, Fields], object]) -> None:
    for name in ("find_node", "find_value"):
        one.dht.protocol._procedures[name] = find


def _key_of(fields: Fields) -> bytes:
    fields.blob(20)
    return fields.blob(20)


def garbage(world: HostileWorld, one: Member, random: Random) -> None:
    """Look-ups are answered with anything but what was asked for."""
    junk: list[Callable[[], object]] = [
        lambda: {"value": random.randbytes(40)},
        lambda: {"value": rpc.pack_values([random.randbytes(300)])},
        lambda: {"value": rpc.pack_values([])},
        lambda: [[random.randbytes(20), "999.1.1.1", 70_000]] * 8,
        lambda: [["x"]],
        lambda: 7,
        lambda: None,
    ]
    _answers(one, lambda sender, fields: random.choice(junk)())


def _close_to(key: bytes, random: Random) -> bytes:
    """An id that lies nearer to the key than any real one."""
    return key[:6] + random.randbytes(14)


def fakes(world: HostileWorld, one: Member, random: Random) -> None:
    """Look-ups are answered with nodes that do not exist, all closer to the key than real ones."""

    def find(sender: SocketAddress, fields: Fields) -> object:
        key = _key_of(fields)
        return rpc.pack_nodes(
            (_close_to(key, random), (f"10.9.{n}.{random.randrange(1, 250)}", 5050))
            for n in range(rpc.NODES_MAX)
        )

    _answers(one, find)


def thousand(world: HostileWorld, one: Member, random: Random) -> None:
    """The same, a thousand in one answer."""

    def find(sender: SocketAddress, fields: Fields) -> object:
        key = _key_of(fields)
        return rpc.pack_nodes(
            (_close_to(key, random), (f"10.9.{n // 250}.{n % 250}", 5050)) for n in range(1000)
        )

    _answers(one, find)


def many_faces(world: HostileWorld, one: Member, random: Random) -> None:
    """Look-ups are answered with made-up ids at addresses of its own, where it answers too."""
    hosts = [f"10.8.{one.number}.{n + 1}" for n in range(8)]
    for host in hosts:
        link = world.network.link((host, 5050))
        world.nursery.start_soon(_serve, one, link)

    def find(sender: SocketAddress, fields: Fields) -> object:
        key = _key_of(fields)
        return rpc.pack_nodes((_close_to(key, random), (host, 5050)) for host in hosts)

    _answers(one, find)


async def _serve(one: Member, link: MemoryLink) -> None:
    while True:
        data, sender = await link.receive()
        answer = one.dht.protocol.handle(data, sender)
        if answer is not None:
            await link.send(answer, sender)


def silent(world: HostileWorld, one: Member, random: Random) -> None:
    """It keeps its place in the tables and tells nothing: no values, no nodes."""
    _answers(one, lambda sender, fields: [])
    one.dht.protocol._procedures["store"] = lambda sender, fields: True


def forge(world: HostileWorld, one: Member, random: Random) -> None:
    """Others' records with other contents: stored everywhere, and shown when asked."""

    def forged(of: Member) -> bytes:
        record = bytearray(of.record(9))
        record[random.randrange(80, len(record))] ^= 1 << random.randrange(8)
        return bytes(record)

    async def act() -> None:
        victim, target = random.choice(world.honest), random.choice(world.honest)
        await _store(world, one, target, victim.key, [forged(victim)])

    by_key = {of.key: of for of in world.honest}

    def find(sender: SocketAddress, fields: Fields) -> object:
        of = by_key.get(_key_of(fields))
        return {"value": rpc.pack_values([forged(of)])} if of else []

    _answers(one, find)
    _again(world, act, random)


def roll_back(world: HostileWorld, one: Member, random: Random) -> None:
    """Records as they were at first, kept, shown and stored again."""
    kept = {of.key: of.record(1) for of in world.honest}

    def find(sender: SocketAddress, fields: Fields) -> object:
        value = kept.get(_key_of(fields))
        return {"value": rpc.pack_values([value])} if value else []

    async def act() -> None:
        key, target = random.choice([*kept]), random.choice(world.honest)
        await _store(world, one, target, key, [kept[key]])

    _answers(one, find)
    _again(world, act, random)


def flood(world: HostileWorld, one: Member, random: Random) -> None:
    """A thousand calls a second to one member after the other."""

    async def act() -> None:
        target = random.choice(world.honest)
        for _ in range(200):
            name = random.choice(["ping", "find_node", "find_value", "seek"])
            arguments = [bytes(one.dht.node.id), random.randbytes(20), 4]
            datagram = rpc.pack_call(os.urandom(20), name, arguments)
            world.network.forge(datagram, one.link.local, target.link.local)

    _again(world, act, random, every_s=0.2)


def steal_names(world: HostileWorld, one: Member, random: Random) -> None:
    """Calls in others' names, from its own address and from theirs, with its own name at theirs."""

    async def act() -> None:
        target, victim = random.sample(world.honest, 2)
        for name, source in (
            (victim.dht.node.id, one.link.local),
            (one.dht.node.id, victim.link.local),
            (_close_to(victim.key, random), victim.link.local),
            (_close_to(victim.key, random), one.link.local),
        ):
            datagram = rpc.pack_call(
                os.urandom(20), "find_node", [bytes(name), random.randbytes(20)]
            )
            world.network.forge(datagram, source, target.link.local)

    _again(world, act, random)


def spoof(world: HostileWorld, one: Member, random: Random) -> None:
    """Calls from addresses where nobody is, and from a bystander's who should be flooded."""

    async def act() -> None:
        target, key = random.choice(world.honest), random.choice(world.honest).key
        for source in (
            (f"10.7.{random.randrange(250)}.{random.randrange(1, 250)}", 5050),
            at(9999),
        ):
            call = rpc.pack_call(os.urandom(20), "find_value", [random.randbytes(20), key])
            world.network.forge(call, source, target.link.local)

    _again(world, act, random)


def fill(world: HostileWorld, one: Member, random: Random) -> None:
    """Records of its own by the thousand, in order and signed, for every store."""
    numbers = iter(range(1 << 30))

    async def act() -> None:
        for target in random.sample(world.honest, 2):
            subject = f"filler/{one.number}/{next(numbers)}"
            record = one.record(1, subject)
            await _store(world, one, target, dht_key(Kind.SOURCE, subject), [record])

    _again(world, act, random)


def echo(world: HostileWorld, one: Member, random: Random) -> None:
    """Whatever is stored at it goes to everybody else, again and again."""
    heard: list[tuple[bytes, bytes]] = []

    def store(sender: SocketAddress, fields: Fields) -> bool:
        fields.blob(20)
        heard.append((fields.blob(20), fields.blob(limit=8192)))
        return True

    async def act() -> None:
        if heard:
            key, packed = random.choice(heard)
            call = rpc.pack_call(os.urandom(20), "store", [bytes(one.dht.node.id), key, packed])
            for target in world.honest:
                world.network.forge(call, one.link.local, target.link.local)

    one.dht.protocol._procedures["store"] = store
    _again(world, act, random, every_s=0.2)


async def _store(
    world: HostileWorld, one: Member, target: Member, key: bytes, values: list[bytes]
) -> None:
    node = Node(target.dht.node.id, *target.link.local)
    arguments = [bytes(one.dht.node.id), key, rpc.pack_values(values)]
    world.network.forge(
        rpc.pack_call(os.urandom(20), "store", arguments), one.link.local, (node.ip, node.port)
    )


def _again(
    world: HostileWorld,
    act: Callable[[], Awaitable[None]],
    random: Random,
    every_s: float = _PERIOD_S,
) -> None:
    async def run() -> None:
        while True:
            await act()
            await trio.sleep(every_s * random.uniform(0.5, 1.5))

    world.nursery.start_soon(run)


ALL: dict[str, Attack] = {
    "garbage": garbage,
    "fakes": fakes,
    "thousand": thousand,
    "many faces": many_faces,
    "silent": silent,
    "forge": forge,
    "roll back": roll_back,
    "flood": flood,
    "steal names": steal_names,
    "spoof": spoof,
    "fill": fill,
    "echo": echo,
}
