"""Guests that mean harm, on a real node: they are held back, that is said, and the others go on."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import trio

from radics_mesh.hosting import vm_limits, vm_view
from radics_mesh.vmm.bake import bake
from radics_mesh.vmm.build import build_kernel, compile_program
from radics_mesh.vmm.tools import GUEST_LIB, cross_prefix
from tests.hosting.conftest import CALLER, PROGRAMS
from tests.hosting.world import Site, World, until

MEMORY_BYTES = 16 << 20
BUILD = GUEST_LIB / "build" / "x86_64"


def objects(folder: str) -> list[Path]:
    sources = [path for path in (GUEST_LIB / folder).iterdir() if path.suffix in (".c", ".S")]
    return [BUILD / folder / f"{path.stem}.o" for path in sorted(sources)]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library OS with a heart of stone; the program in it never runs."""
    folder = tmp_path_factory.mktemp("hostile")
    build_kernel()
    compile_program([CALLER], folder / "caller")
    link = ("-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,noexecstack")
    subprocess.run(
        (
            *(
                f"{cross_prefix('x86_64')}gcc",
                "-std=gnu11",
                "-O2",
                "-ffreestanding",
                "-fno-pic",
                "-fno-stack-protector",
            ),
            *("-mcmodel=kernel", "-mno-red-zone", "-mgeneral-regs-only", "-fcf-protection=none"),
            *(f"-I{GUEST_LIB}/{part}" for part in ("include", "kernel", "kernel/arch/x86_64")),
            *(f"-I{BUILD}", *link, "-Wl,-z,max-page-size=4096", "-Wl,--wrap=threads_run"),
            *("-T", GUEST_LIB / "kernel/arch/x86_64/kernel.ld", "-o", folder / "kernel.elf"),
            PROGRAMS / "hostile_kernel.c",
            *objects("kernel"),
            *objects("kernel/arch/x86_64"),
        ),
        check=True,
    )
    image = folder / "hostile.img"
    image.write_bytes(
        bake((folder / "kernel.elf").read_bytes(), (folder / "caller").read_bytes(), "hostile")
    )
    return image


async def run(site: Site, image: Path, name: str, *words: str) -> None:
    await site.hosting.run_vm(image, name, arguments=words, memory_bytes=MEMORY_BYTES)


async def goes_on(site: Site, caller: Path) -> None:
    """The node serves a VM that means well, from its start to its end."""
    await run(site, caller, "good", "hints")
    await until(lambda: site.has("good", "exited"))


def journalled(site: Site, text: str) -> bool:
    return any(text in row.text for row in site.hosting.journal())


@pytest.mark.parametrize("how", ["garbage", "endless", "repeat"])
async def test_who_sends_garbage_is_slowed_down(
    world: World, hostile: Path, caller: Path, how: str
) -> None:
    site = await world.start(0)
    await run(site, hostile, how)
    await until(lambda: "sends garbage" in site.vm(how).note)
    assert journalled(site, f"{how} is slowed down: it sends garbage")
    await goes_on(site, caller)
    assert site.vm(how).state in ("running", "starting")
    await site.hosting.stop(how)


async def test_who_says_more_than_its_window_is_ended(
    world: World, hostile: Path, caller: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        vm_limits, "SAID_BYTES_S", 1 << 16
    )  # so that it is not acknowledged at once
    site = await world.start(0)
    await run(site, hostile, "flood")
    await until(lambda: site.has("flood", "failed"))
    assert "bytes of output at once" in site.vm("flood").note
    await goes_on(site, caller)


async def test_who_reads_nothing_is_told_of(
    world: World, hostile: Path, caller: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm_view, "SILENT_S", 1.0)
    site = await world.start(0)
    await run(site, hostile, "deaf")
    await until(lambda: site.has("deaf"))
    for _ in range(40):  # more than its pipe holds
        await site.agent.send(site.vm("deaf").vm_id.eid, bytes(60_000))
    await until(lambda: "has not answered" in site.vm("deaf").note)
    await goes_on(site, caller)
    await site.hosting.stop("deaf")


@pytest.mark.parametrize("how", ["flood-log", "flood-streams", "flood-send", "flood-mesh"])
async def test_who_floods_by_the_rules_is_slowed_down(
    world: World, caller: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(vm_limits, "SAID_BYTES_S", 1 << 18)
    monkeypatch.setattr(vm_limits, "SAID_S", 20)
    monkeypatch.setattr(vm_limits, "CHANGES_S", 5)
    site = await world.start(0)
    await run(site, caller, "flood", how)
    await until(lambda: "says too much" in site.vm("flood").note)
    assert journalled(site, "flood is slowed down: it says too much")
    await goes_on(site, caller)
    await site.hosting.stop("flood")


async def test_one_vm_does_not_fill_the_store(
    world: World, caller: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vm_limits, "STORE_SHARE", 0.01)  # of the 64 MiB of a site here
    site = await world.start(0)
    await run(site, caller, "flood", "flood-send")
    await until(lambda: "fill the store" in site.vm("flood").note)
    held = site.store.bytes_held
    with trio.move_on_after(0.5):
        await until(lambda: site.store.bytes_held > held + (5 << 20))
    assert site.store.bytes_held <= held + (5 << 20)
    await goes_on(site, caller)
    await site.hosting.stop("flood")
