from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import WireError
from radics_mesh.vmm.image import least_memory_bytes, load_segments, loaded_pages
from tests.guest.channel_host import LOW_BYTES, PAGE, Host
from tests.guest.conftest import Guest
from tests.guest.plain import plain_status, run_plain
from tests.guest.seen import World

MEMORY = 32 << 20


def is_device_tree(index: int) -> bool:
    return MEMORY // 2 <= index * PAGE < MEMORY // 2 + (1 << 20)


def test_loaded_pages_are_what_qemu_loads(guest: Callable[[str], Guest]) -> None:
    image = guest("hello").image
    with Host(image, World(), hello=False, paused=True) as host:
        host.monitor("info status")
        ram = host.pages()
    if not host.is_x86:  # the device tree, in the middle of memory
        ram = {index: page for index, page in ram.items() if not is_device_tree(index)}
    assert min(loaded_pages(image.read_bytes(), MEMORY)) >= LOW_BYTES // PAGE
    assert loaded_pages(image.read_bytes(), MEMORY) == ram


def test_program_pages_stay_as_loaded_while_it_runs(guest: Callable[[str], Guest]) -> None:
    image, world = guest("wanderer").image, World()
    with Host(image, world, sources=("numbers",)) as host:
        host.until(lambda: bool(world.subscribed))
        parked = host.park()
    loaded = loaded_pages(image.read_bytes(), MEMORY)
    changed = [index for index in loaded if parked.get(index, bytes(PAGE)) != loaded[index]]
    assert len(changed) <= 12  # the kernel's data and bss
    own = [index for index in parked if index not in loaded]
    assert len(own) * PAGE < 2 << 20


@pytest.mark.parametrize("cut", [0, 63, 100, 5000])
def test_a_cut_image_is_refused(guest: Callable[[str], Guest], cut: int) -> None:
    with pytest.raises(WireError):
        loaded_pages(guest("hello").image.read_bytes()[:cut], MEMORY)


def test_an_image_larger_than_memory_is_refused(guest: Callable[[str], Guest]) -> None:
    with pytest.raises(WireError, match="fit"):
        loaded_pages(guest("hello").image.read_bytes(), 1 << 20)


def test_a_running_guest_has_cleared_the_device_tree(guest_aarch64: Callable[[str], Guest]) -> None:
    world = World()
    with Host(guest_aarch64("wanderer").image, world, sources=("numbers",)) as host:
        host.until(lambda: bool(world.subscribed))
        parked = host.park()
    assert not any(is_device_tree(index) for index in parked)


@given(st.binary(max_size=400))
def test_any_bytes_give_segments_or_wire_error(data: bytes) -> None:
    for candidate in (data, b"\x7fELF\x02\x01" + data):
        try:
            load_segments(candidate)
        except WireError:
            continue


def test_the_least_memory_is_what_qemu_takes_on_aarch64(
    guest_aarch64: Callable[[str], Guest],
) -> None:
    image = guest_aarch64("hello").image
    least_mb = least_memory_bytes(image.read_bytes()) >> 20
    assert run_plain(image, least_mb).returncode == plain_status(3)
    assert b"Not enough space for DTB" in run_plain(image, least_mb - 1).stderr
