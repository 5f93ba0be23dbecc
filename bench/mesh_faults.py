"""A mesh in two halves and whole again, and three in ten nodes killed at once, in simulation.

Every tenth node states a VM with the ownership that proves it. While the halves are apart, each
half must know its own VMs as fresh and the other's as stale; healed is a mesh in which every reader
of a sample finds the other half's facts as they were stated after the two met again.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from bench.mesh_figures import at_least, progress, quantile
from bench.mesh_world import Node, Parts, Stopwatch, World, address_of, run
from bench.rows import Row, row
from radics_mesh.codec import Fields
from radics_mesh.config import Config
from radics_mesh.ids import Digest, VmId
from radics_mesh.ownership import born
from radics_mesh.records import Kind

HEALED_S = {0.0: 30.0, 0.3: 90.0}
KILLED_GET_S = 10.0


@dataclass(frozen=True)
class Plan:
    nodes: int
    parts: Parts
    apart_s: float = 1800.0
    losses: tuple[float, ...] = (0.0, 0.3)
    sample: int = 100
    settle_s: float = 30.0


@dataclass
class Healing:
    nodes: int
    apart_s: float
    # By loss, of every reader of the sample: seconds until it found what it should.
    healed_s: dict[float, list[float]] = field(default_factory=dict)
    # While apart: VMs of the own half known fresh, of the other half shown as stale, percent.
    own_fresh: float | None = None
    other_stale: float | None = None
    cpu_s: float = 0.0
    simulated_s: float = 0.0


@dataclass
class Killed:
    nodes: int
    asked: int = 0
    seconds: list[float] = field(default_factory=list)


def heal(plan: Plan, seed: int) -> Healing:
    async def scenario(world: World) -> Healing:
        found, watch = Healing(plan.nodes, plan.apart_s), Stopwatch()
        await world.grow(plan.nodes, progress)
        vms = await _state_vms(world) if plan.parts.directory else {}
        await trio.sleep(plan.settle_s)
        await part_and_heal(world, plan, vms, found)
        found.cpu_s, found.simulated_s = watch.cpu_s, watch.simulated_s
        return found

    return run(f"heal {plan.nodes} {seed}", scenario, parts=plan.parts)


async def part_and_heal(world: World, plan: Plan, vms: dict[int, VmId], found: Healing) -> None:
    """In a mesh that stands."""
    for loss in plan.losses:
        world.wire.loss = loss
        await _part(world, plan, vms, found)
        found.healed_s[loss] = await _healed(world, plan, vms)
        progress(f"N={plan.nodes}: healed at {loss:.0%} loss")


async def _state_vms(world: World) -> dict[int, VmId]:
    made = {}
    for number, node in world.nodes.items():
        if number % 10 < 2:
            image, nonce = Digest.of(b"image"), world.random.randbytes(16)
            chain = born(node.identity, f"vm{number}", image, nonce)
            digest = await node.directory.put_object(chain.pack())
            body = {"name": f"vm{number}", "epoch": chain.epoch, "ownership": bytes(digest)}
            await node.directory.announce(Kind.VM, chain.vm_id.text, body)
            made[number] = chain.vm_id
    return made


async def _part(world: World, plan: Plan, vms: dict[int, VmId], found: Healing) -> None:
    halves = [{address_of(n) for n in world.nodes if n % 2 == half} for half in (0, 1)]
    if vms:  # each has asked for them once, and so goes on to know them
        for node in world.nodes.values():
            for vm in vms.values():
                await node.directory.vm(vm)
    world.wire.partition(halves)
    await trio.sleep(plan.apart_s)
    if vms:
        known = [
            (node.number % 2 == number % 2, node.directory.known_vm(vm))
            for node in world.nodes.values()
            for number, vm in vms.items()
            if node.number != number
        ]
        own = [entry for same, entry in known if same]
        other = [entry for same, entry in known if not same]
        fresh = sum(entry is not None and not entry.entry.stale for entry in own)
        stale = sum(entry is not None and entry.entry.stale for entry in other)
        found.own_fresh = 100 * fresh / len(own)
        found.other_stale = 100 * stale / len(other)
    world.wire.heal()


async def _healed(world: World, plan: Plan, vms: dict[int, VmId]) -> list[float]:
    healed = trio.current_time()
    times: list[float] = []

    async def reader(node: Node, wanted: Node, vm: VmId | None) -> None:
        while not await _finds(node, wanted, vm):  # noqa: ASYNC110 - users ask again
            await trio.sleep(1.0)
        times.append(trio.current_time() - healed)

    async with trio.open_nursery() as nursery:
        for _ in range(plan.sample):
            one = world.random.choice(sorted(world.nodes))
            there = [n for n in sorted(vms or world.nodes) if n % 2 != one % 2]
            wanted = world.random.choice(there)
            nursery.start_soon(reader, world.nodes[one], world.nodes[wanted], vms.get(wanted))
    return times


async def _finds(node: Node, wanted: Node, vm: VmId | None) -> bool:
    """The fact is fresh: what was known of it before the halves parted is not."""
    if vm is not None:
        entry = await node.directory.vm(vm)
        return entry is not None and not entry.entry.stale
    values = await node.dht.get(wanted.key)
    return any(age_s(value) < Config.record_ttl_s for value in values)


def age_s(record: bytes) -> float:
    return Fields.parse(record, "record").integer() / 1000


def kill(plan: Plan, seed: int) -> Killed:
    """Three in ten die at once; then everybody's last record is looked up, by one that lives."""

    async def scenario(world: World) -> Killed:
        await world.grow(plan.nodes, progress)
        await trio.sleep(plan.settle_s)
        keys = [node.key for node in world.nodes.values()]
        for number in world.random.sample(sorted(world.nodes), plan.nodes * 3 // 10):
            world.kill(number)
        found = Killed(plan.nodes)

        async def get(node: Node, key: bytes) -> None:
            started = trio.current_time()
            found.asked += 1
            if await node.dht.get(key):
                found.seconds.append(trio.current_time() - started)

        async with trio.open_nursery() as nursery:
            for key in world.random.sample(keys, min(len(keys), 300)):
                reader = world.nodes[world.random.choice(sorted(world.nodes))]
                nursery.start_soon(get, reader, key)
                await trio.sleep(0.05)
        progress(f"N={plan.nodes}: 30 % killed")
        return found

    return run(f"kill {plan.nodes} {seed}", scenario, parts=plan.parts)


def healing_rows(found: Healing, what: str, stock: Sequence[Sequence[float]] | None) -> list[Row]:
    title = f"{what}, N={found.nodes}, apart {found.apart_s / 60:g} min"
    made = []
    peer = ""
    if stock is not None:
        share = 100 * statistics.fmean(bool(one[0]) for one in stock) if stock else 0.0
        peer = f"after 30 s {share:.0f} % of the other half's facts found"
    for loss, times in found.healed_s.items():
        name = f"{title}, loss {loss:.0%}: healed for all"
        made.append({**row(name, max(times), "simulated s", HEALED_S.get(loss)), "peer": peer})
        made.append(
            row(f"{title}, loss {loss:.0%}: healed, p50", quantile(times, 0.5), "simulated s")
        )
    if found.own_fresh is not None and found.other_stale is not None:
        made.append(at_least(f"{title}: own half's VMs known fresh", found.own_fresh, "%", 99))
        made.append(at_least(f"{title}: other half's shown stale", found.other_stale, "%", 99))
    if found.simulated_s:
        cpu_ms = 1000 * found.cpu_s / found.simulated_s / found.nodes
        made.append(row(f"{title}: processor time of a node", cpu_ms, "ms/simulated s"))
    return made


def killed_rows(found: Killed, what: str, stock: Sequence[Sequence[float]] | None) -> list[Row]:
    title = f"{what}, N={found.nodes}, 30 % killed"
    share = 100 * len(found.seconds) / found.asked
    slowest_s = quantile(found.seconds, 0.99)
    made = [
        at_least(f"{title}: records still found", share, "%", 100),
        row(f"{title}: get p99", slowest_s, "simulated s", KILLED_GET_S),
    ]
    if stock:
        asked = [one for one in stock if one[0]]
        made[0]["peer"] = f"{100 * len(asked) / len(stock):.1f}, of the living only"
        made[1]["peer"] = f"{quantile([one[2] for one in asked], 0.99):.2f}"
    return made
