"""Version 1.1 of the client API with real guests on real nodes: no hand of ours between them."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path

import pytest
import trio

from radics_mesh.dtn.agent import Delivery
from radics_mesh.errors import CapacityError, UsageError
from radics_mesh.hosting.life import Life
from radics_mesh.ids import Eid
from radics_mesh.vmm import qemu
from tests.hosting.world import Site, World, until
from tests.patience import PATIENCE_S

MEMORY_BYTES = 16 << 20


async def run(site: Site, image: Path, name: str, *words: str, **more: object) -> Eid:
    vm = await site.hosting.run_vm(
        image,
        name,
        arguments=words,
        memory_bytes=MEMORY_BYTES,
        **more,  # type: ignore[arg-type]
    )
    return vm.vm_id.eid


async def log_of(site: Site, name: str) -> str:
    return b"".join([text async for text in site.hosting.logs(name)]).decode()


async def printed(site: Site, name: str, text: str) -> None:
    """Until a VM has printed it here."""
    with trio.fail_after(PATIENCE_S):
        while text not in await log_of(site, name):  # noqa: ASYNC110 - another process prints
            await trio.sleep(0.01)


# --- requests and services ---


async def test_one_vm_asks_another_that_moves_meanwhile(world: World, caller: Path) -> None:
    here, there = await world.start(0), await world.start(1)
    server = await run(there, caller, "server", "serve")
    await printed(there, "server", "1 1 1")
    # The nodes do not know each other yet: the request waits.
    await run(here, caller, "client", "request", "60", f"{server}echo")
    await until(lambda: any(str(b.destination).endswith("echo") for b in here.agent.bundles()))
    world.connect(0, 1)
    await until(lambda: here.has("client", "exited"))
    assert await log_of(here, "client") == f"{server}echo: 4 ping\ndone\n"
    # The server moves; its service moves with it.
    await there.hosting.migrate("server", here.id)
    await until(lambda: here.has("server"))
    await run(there, caller, "client2", "request", "60", f"{server}echo")
    await until(lambda: there.has("client2", "exited"))
    assert await log_of(there, "client2") == f"{server}echo: 4 ping\ndone\n"


async def test_a_reply_follows_its_requester(world: World, caller: Path) -> None:
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    asked: list[Delivery] = []

    async def take(delivery: Delivery) -> None:
        asked.append(delivery)

    here.agent.register(here.id.service("slow"), take)
    await run(here, caller, "client", "request", "60", str(here.id.service("slow")))
    await until(lambda: bool(asked))
    assert asked[0].payload == b"ping"
    await here.hosting.migrate("client", there.id)
    for text in (b"first", b"second"):
        await here.agent.send(asked[0].source, text)
    await until(lambda: there.has("client", "exited"))
    assert "slow: 5 first\ndone\n" in await log_of(there, "client")


async def test_a_full_mailbox_keeps_no_service_waiting(world: World, caller: Path) -> None:
    """Nor a reply: each is a box of its own."""
    site = await world.start(0)
    server = await run(site, caller, "server", "deaf")
    await printed(site, "server", "serving")
    for _ in range(130):  # more than the mailbox holds
        await site.agent.send(server, bytes(60_000))
    await run(site, caller, "client", "request", "60", f"{server}echo")
    await until(lambda: site.has("client", "exited"))
    assert "echo: 4 ping" in await log_of(site, "client")


# --- standard input and environment ---


async def test_standard_input_moves_with_its_vm(world: World, caller: Path) -> None:
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await run(here, caller, "reader", "cat", has_stdin=True)
    first, second = "a" * 70_000 + "|", "b" * 1000
    await here.hosting.feed("reader", first.encode())
    await printed(here, "reader", first)
    await here.hosting.migrate("reader", there.id)
    await until(lambda: there.has("reader"))
    with pytest.raises(UsageError):
        await here.hosting.feed("reader", b"x")
    await there.hosting.feed("reader", second.encode(), end=True)
    await until(lambda: there.has("reader", "exited"))
    assert f"{second}\n{len(first + second)} bytes, 0, 0" in await log_of(there, "reader")
    with pytest.raises(UsageError, match="has ended"):
        await there.hosting.feed("reader", b"more")


async def test_who_was_not_to_be_fed_is_not(world: World, caller: Path) -> None:
    site = await world.start(0)
    await run(site, caller, "reader", "serve")
    with pytest.raises(UsageError, match="--stdin"):
        await site.hosting.feed("reader", b"x")


async def test_a_program_gets_its_environment(world: World, caller: Path) -> None:
    site = await world.start(0)
    await run(site, caller, "it", "environment", environment=("MOOD=good", "EMPTY="))
    await until(lambda: site.has("it", "exited"))
    assert await log_of(site, "it") == "MOOD=good EMPTY=\ndone\n"


# --- checkpoints, hints ---


async def test_a_checkpoint_is_where_a_lost_vm_goes_on(world: World, caller: Path) -> None:
    site = await world.start(0)
    eid = await run(site, caller, "it", "checkpoint")
    await printed(site, "it", "checkpoint 0 in branch 0\n")
    assert site.vm("it").last_snapshot_bytes > 0
    pid = site.vm("it").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: site.has("it", "exited"))
    log = await log_of(site, "it")
    assert log.count("before\n") == 1
    assert log.endswith("checkpoint 0 in branch 0\ncheckpoint 1 in branch 1\ndone\n")
    assert eid


async def test_a_checkpoint_that_does_not_fit_the_disk_is_an_error(
    world: World, caller: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Life, files: qemu.Files) -> None:
        raise CapacityError("the disk is full")

    site = await world.start(0)
    monkeypatch.setattr(Life, "_check_disk", full)
    eid = await run(site, caller, "it", "checkpoint")
    await printed(site, "it", f"checkpoint {-errno.ENOSPC} in branch 0\n")
    await site.agent.send(eid, b"go")
    await until(lambda: site.has("it", "exited"))


async def test_a_checkpoint_survives_the_node(world: World, caller: Path) -> None:
    """The node is gone before it could write one, or after: the next one does what is left."""
    site = await world.start(0)
    await run(site, caller, "it", "checkpoint")
    await until(lambda: site.has("it"))
    await world.stop(0)
    site = await world.start(0)
    await printed(site, "it", "checkpoint 0 in branch 0\n")


async def test_a_checkpoint_is_written_while_a_move_is_under_way(
    world: World, caller: Path
) -> None:
    here, there = await world.start(0), await world.start(1)
    eid = await run(here, caller, "it", "checkpoint-on-mail")
    await printed(here, "it", "waiting")
    world.nursery.start_soon(here.hosting.migrate, "it", there.id)
    await until(lambda: here.vm("it").moving)
    await here.agent.send(eid, b"now")
    await printed(here, "it", "checkpoint 0 in branch 0\n")
    assert here.vm("it").moving
    world.connect(0, 1)
    await until(lambda: there.has("it"))


async def test_hints_are_kept_and_move_along(world: World, caller: Path) -> None:
    here, there = await world.start(0), await world.start(1)
    world.connect(0, 1)
    await run(here, caller, "it", "hint", "text")
    await until(lambda: here.vm("it").hint == "near text")
    await here.hosting.migrate("it", there.id)
    await until(lambda: there.has("it"))
    assert there.vm("it").hint == "near text"


# --- subscriptions ---


async def test_a_slow_program_stops_the_flow(world: World, caller: Path, tmp_path: Path) -> None:
    """It takes one message and no more: the rest of a big source stays where it is."""
    site = await world.start(0)
    (tmp_path / "big").write_text("".join(f"{n:01000d}\n" for n in range(5000)))
    await site.sources.publish("text", tmp_path / "big", None)
    await run(site, caller, "it", "slow", sources=("text",))
    await printed(site, "it", "took one")
    await until(lambda: site.vm("it").feeds[0].bytes_total > 100_000)
    with trio.move_on_after(0.5):
        await until(lambda: site.vm("it").feeds[0].bytes_total > 600_000)
    assert site.vm("it").feeds[0].bytes_total <= 600_000
    await site.agent.send(site.vm("it").vm_id.eid, b"go")
    await until(lambda: site.has("it", "exited"))
    assert "took 5000, at the end" in await log_of(site, "it")


async def test_a_subscription_starts_late_and_is_left(
    world: World, caller: Path, tmp_path: Path
) -> None:
    site = await world.start(0)
    (tmp_path / "text").write_text("".join(f"line {n}\n" for n in range(1, 101)))
    await site.sources.publish("text", tmp_path / "text", None)
    await run(site, caller, "it", "late", "90")
    await printed(site, "it", "line 91 number 91\nclosed 0\n")
    await until(lambda: not site.vm("it").feeds)
    await printed(site, "it", "again line 1 number 1\n")
