"""Moves as they go: pages ahead of the guest, over links that lose and repeat, through a relay that
can read nothing, given up at any time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import trio

from radics_mesh.codec import unpack
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.errors import LinkError, PeerError, UsageError
from radics_mesh.hosting import arrival, sending, staging
from radics_mesh.hosting.arrival import keep_pages
from radics_mesh.hosting.pace import Pace
from radics_mesh.ids import VmId
from radics_mesh.records import Kind
from radics_mesh.vmm.build import build_image
from radics_mesh.vmm.handoff_messages import (
    Lacks,
    Listing,
    Message,
    Missing,
    Offer,
    Pages,
    Release,
    Staged,
    decode,
)
from radics_mesh.vmm.handoff_state import Phase
from radics_mesh.vmm.pagepack import make, page_hash
from tests.hosting.conftest import PROGRAMS
from tests.hosting.test_service import check_exactly_once, post, publish_lines, run_counter
from tests.hosting.world import MEMORY_BYTES, Site, World, step, until
from tests.members import member
from tests.patience import PATIENCE_S


async def pair(world: World, counter: Path) -> tuple[Site, Site]:
    """Two nodes with a link and the image, and a guest on the first that has begun."""
    one, other = await world.start(0), await world.start(1)
    world.connect(0, 1)
    other.hosting._host.images.put(counter.read_bytes())
    await run_counter(one, counter, other, ())
    await until(lambda: one.has())
    return one, other


async def test_nothing_is_sent_that_the_target_holds_from_whatever_vm(
    world: World, tmp_path: Path
) -> None:
    """And most of it before the pause."""
    image = tmp_path / "filler.img"
    build_image([PROGRAMS / "filler.c"], image)
    one, other = await world.start(0), await world.start(1)
    world.connect(0, 1)
    other.hosting._host.images.put(image.read_bytes())
    for name in ("first", "twin"):
        await one.hosting.run_vm(image, name, arguments=("1024",), memory_bytes=MEMORY_BYTES)
    for name in ("first", "twin"):
        log = one.hosting.tenant(one.vm(name).vm_id).life.log
        await until(lambda log=log: log.end > 0)  # type: ignore[misc]
    first = await one.hosting.migrate("first", other.id)
    twin = await one.hosting.migrate("twin", other.id)
    assert first.sent_bytes > 1 << 20
    assert twin.sent_bytes < 100_000
    assert first.rounds >= 2
    assert first.pages >= 256
    assert first.sent_bytes - first.staged_bytes < 100_000
    await until(lambda: other.has("first") and other.has("twin"))


async def test_staging_over_a_link_that_loses_repeats_and_reorders(
    world: World, counter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging.Staging, "_first_wait_s", lambda _: 0.3)
    monkeypatch.setattr(sending, "PAGES_A_PACK", 16)  # many bundles
    random = Random(4)
    one, other = await world.start(0), await world.start(1)
    lost, first = 0, {Listing, Lacks, Pages}  # the first of each is lost in any case

    def trouble(a: int, b: int, raw: bytes) -> bool:
        nonlocal lost
        message = step(b, raw)
        if message is None:
            return False
        dice = random.random()
        if dice < 0.15 or type(message) in first:
            first.discard(type(message))
            lost += 1
            return True
        if dice < 0.5:  # later, or twice
            world.nursery.start_soon(later, world.sites[a], world.sites[b], raw)
        return dice < 0.35

    async def later(a: Site, b: Site, raw: bytes) -> None:
        await trio.sleep(random.random() * 0.2)
        await b.agent.receive(raw, a.id)

    world.lost = trouble
    world.connect(0, 1)
    lines = publish_lines(tmp_path / "text", 100)
    await one.sources.publish("text", tmp_path / "text", 100.0)
    await run_counter(one, counter, other, ("text",))
    vm = one.vm().vm_id
    world.nursery.start_soon(post, one, vm, 10, 0.1)
    await until(lambda: "lines 20 at node0 1" in other.reports)
    await one.hosting.migrate("counter", other.id)
    await until(lambda: other.has())
    await until(lambda: any(r.startswith("end") for r in other.reports))
    await until(lambda: sum(r.startswith("mail") for r in other.reports) == 10)
    await one.agent.send(vm.eid, b"stop")
    await until(lambda: other.has(state="exited"))
    check_exactly_once(other, lines, 10)
    assert lost >= 3


@pytest.mark.parametrize(
    ("missing", "phase"),
    [
        (lambda m: isinstance(m, Offer), Phase.OFFERED),
        (lambda m: isinstance(m, Lacks), Phase.STAGING),
        (lambda m: isinstance(m, Staged), Phase.FROZEN),
    ],
    ids=["offered", "staging", "frozen"],
)
async def test_a_move_is_cancelled_and_the_guest_goes_on(
    world: World, counter: Path, missing: Callable[[Message | None], bool], phase: Phase
) -> None:
    one, other = await pair(world, counter)
    vm, pid = one.hosting.tenant(one.vm().vm_id), one.vm().pid
    world.lost = lambda a, b, raw: missing(step(b, raw))
    ended: list[str] = []

    async def move() -> None:
        with pytest.raises(LinkError, match="was cancelled"):
            await one.hosting.migrate("counter", other.id)
        ended.append("cancelled")

    world.nursery.start_soon(move)
    await until(lambda: vm.phase is phase)
    progress = one.hosting.progress("counter")
    assert progress is not None
    assert (progress.target, progress.phase) == (other.id, phase.value)
    assert (progress.share == 1.0) is (phase is Phase.FROZEN)
    await one.hosting.cancel_move("counter")
    await until(lambda: bool(ended) and one.has() and not other.hosting.vms())
    assert one.hosting.progress("counter") is None
    assert (one.vm().pid == pid) is (phase is not Phase.FROZEN)
    assert one.vm().branch == 0
    with pytest.raises(UsageError, match="not being moved"):
        await one.hosting.cancel_move("counter")
    world.lost = lambda a, b, raw: False
    await one.hosting.migrate("counter", other.id)
    await until(lambda: other.has())


async def test_what_is_released_cannot_be_cancelled(world: World, counter: Path) -> None:
    one, other = await pair(world, counter)
    world.lost = lambda a, b, raw: isinstance(step(b, raw), Release)
    world.nursery.start_soon(one.hosting.migrate, "counter", other.id)
    await until(lambda: one.has(state="released"))
    with pytest.raises(UsageError, match="cannot be taken back"):
        await one.hosting.cancel_move("counter")
    world.lost = lambda a, b, raw: False
    await until(lambda: other.has() and not one.hosting.vms())


async def test_a_list_whose_base_is_lost_goes_as_a_whole(world: World, counter: Path) -> None:
    """The target forgets between two rounds what the first list said, as in a crash."""
    one, other = await pair(world, counter)
    vm = one.vm().vm_id
    whole: list[bool] = []

    def watch(a: int, b: int, raw: bytes) -> bool:
        message = step(b, raw)
        if isinstance(message, Listing):
            if message.base is not None and not whole:
                tenant = other.hosting.tenant(vm)
                tenant._arrival.latest = None
            whole.append(message.base is None)
        return False

    world.lost = watch
    await one.hosting.migrate("counter", other.id)
    await until(lambda: other.has())
    assert whole.count(True) >= 1


async def test_a_move_through_a_relay_that_can_read_nothing(
    world: World, counter: Path, tmp_path: Path
) -> None:
    """The ends are never connected at the same time, and the relay keeps what it carries."""
    world.routes = {0: {1: 2}, 1: {0: 2}}
    one, other, relay = [await world.start(number) for number in (0, 1, 2)]
    other.hosting._host.images.put(counter.read_bytes())
    await until(lambda: bool(one.directory.known(Kind.NODE, other.id.text)))
    seen: list[type[Message]] = []

    def look(a: int, b: int, raw: bytes) -> bool:
        bundle = Bundle.parse(raw)
        if bundle.destination.endswith("/handoff"):
            assert unpack(bundle.payload, limit_bytes=2 << 20)[1] == "sealed"
            with pytest.raises(PeerError):
                decode(bundle.payload, member(2)[0])
            to = next(n for n in (0, 1) if bundle.destination.startswith(member(n)[0].node_id.eid))
            seen.append(type(decode(bundle.payload, member(to)[0])))
        return False

    world.lost = look
    await run_counter(one, counter, other, ())
    await until(lambda: one.has())
    await post(one, one.vm().vm_id, 3)
    world.nursery.start_soon(lambda: one.hosting.migrate("counter", other.id, patience_s=600))
    with trio.fail_after(PATIENCE_S):
        while not (other.has() and not one.hosting.vms()):
            for end in (0, 1):
                world.connect(end, 2)
                site = world.sites[end]
                await trio.sleep(0.3)
                world.cut(end, 2)
                assert site.agent.contacts() == []
    assert other.vm().epoch == 2
    assert {Offer, Listing, Pages, Release} <= set(seen)
    assert relay.agent.counters["received"] > 5


async def test_pages_of_a_one_way_move_may_come_before_anything_else(
    world: World, counter: Path
) -> None:
    """And the node may crash before it learns what they are of."""
    one, other = await pair(world, counter)
    world.lost = lambda a, b, raw: isinstance(step(b, raw), Release)
    await one.hosting.migrate("counter", other.id, one_way=True)
    await one.hosting.all_sent("counter")
    await until(lambda: len(other.hosting._host.pages) > 0)
    world.lost = lambda a, b, raw: isinstance(step(b, raw), Missing | Lacks)  # no asking
    await world.stop(1)
    other = await world.start(1)
    other.hosting._host.pages.collect()
    world.connect(0, 1)
    await until(lambda: other.has())
    await until(lambda: not other.hosting._host.pages.owners())


async def test_pages_of_vms_that_never_come_make_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "EARLY_BYTES", 8 * 4096)
    site = await world.start(0)
    host = site.hosting._host
    for number in range(4):
        pages = [bytes([number, n]) * 2048 for n in range(3)]
        packed = make([(page_hash(page), page) for page in pages])
        await keep_pages(host, VmId(bytes([number]) * 20), packed, hold=True)
    assert len(host.pages.owners()) == 2


@pytest.mark.parametrize(
    ("guests", "memory", "reason"),
    [
        ([1, 2, ["aarch64"]], 1 << 30, "no QEMU for x86_64"),
        ([1, 99, ["x86_64"]], 1 << 30, "another version"),
        ([1, 2, ["x86_64"]], 1 << 20, "1 MiB for guests"),
        (None, 1 << 30, "takes no VM from this one"),
    ],
)
async def test_what_a_node_cannot_take_is_refused_before_anything_is_sent(
    world: World, counter: Path, guests: list[object] | None, memory: int, reason: str
) -> None:
    one, other = await pair(world, counter)
    body = {"name": "node1", "arch": "x86_64", "memory": memory, "guests": guests}
    told = {key: value for key, value in body.items() if value is not None}
    await other.directory.announce(Kind.NODE, other.id.text, told)
    await until(
        lambda: any(
            "arch" in entry.record.body for entry in one.directory.known(Kind.NODE, other.id.text)
        )
    )
    before = one.agent.counters["sent"]
    with pytest.raises(UsageError, match=reason):
        await one.hosting.migrate("counter", other.id)
    assert one.agent.counters["sent"] == before
    assert one.has()


async def test_a_limit_holds_over_any_stretch_of_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    pace = Pace(1000.0)
    begun = trio.current_time()
    for _ in range(5):
        await pace.wait(500)
    assert trio.current_time() - begun == pytest.approx(2.0)
    await trio.sleep(10)  # what was not used is not saved up
    begun = trio.current_time()
    for _ in range(3):
        await pace.wait(500)
    assert trio.current_time() - begun == pytest.approx(1.0)
