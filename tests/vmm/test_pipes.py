"""The line to a guest, with the test at QEMU's end."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from radics_mesh.vmm import pipes
from radics_mesh.vmm.pipes import Pipes
from tests.patience import PATIENCE_S


@contextmanager
def line(directory: Path) -> Iterator[tuple[Pipes, int, int]]:
    """The node's ends, and what QEMU reads from and writes to."""
    with pipes.create(directory, None) as (path, _):
        to_guest = os.open(f"{path}.in", os.O_RDWR | os.O_NONBLOCK)
        from_guest = os.open(f"{path}.out", os.O_RDWR | os.O_NONBLOCK)
    ours = Pipes(directory)
    try:
        yield ours, to_guest, from_guest
    finally:
        ours.close()
        os.close(to_guest)


async def test_bytes_go_both_ways(tmp_path: Path) -> None:
    with line(tmp_path / "channel") as (ours, to_guest, from_guest):
        os.write(from_guest, b"up")
        assert await ours.receive() == b"up"
        await ours.send(b"down")
        assert os.read(to_guest, 10) == b"down"
        os.close(from_guest)


async def test_the_last_words_are_read_after_the_end(tmp_path: Path) -> None:
    with line(tmp_path / "channel") as (ours, _, from_guest):
        os.write(from_guest, b"x" * 300_000)
        os.close(from_guest)
        assert ours.rest() == b"x" * 300_000
        with trio.fail_after(PATIENCE_S):
            assert await ours.receive() == b""


async def test_a_full_window_of_small_writes_fits(tmp_path: Path) -> None:
    """The first capacity of all is what an unprivileged user may have."""
    with line(tmp_path / "channel") as (ours, _, from_guest):
        if fcntl.fcntl(from_guest, fcntl.F_GETPIPE_SZ) < 1 << 20:
            pytest.skip("this user's pipes are full already")
        for _ in range(20_000):
            assert os.write(from_guest, b"y" * 40) == 40
        assert len(ours.rest()) == 800_000
        os.close(from_guest)


async def test_a_guest_that_takes_nothing_holds_the_sender_back(tmp_path: Path) -> None:
    with line(tmp_path / "channel") as (ours, to_guest, from_guest):
        data = bytes(range(256)) * 1024
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.send, data)
                taken = b""
                while len(taken) < len(data):
                    await trio.lowlevel.wait_readable(to_guest)
                    taken += os.read(to_guest, 4096)
        assert taken == data
        os.close(from_guest)


async def test_without_pipes_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Pipes(tmp_path / "channel")
    pipes.remove(tmp_path / "channel")
