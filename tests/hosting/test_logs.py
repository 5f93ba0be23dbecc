"""A VM's log: what counts is what was durable, and it never grows beyond its bound."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from radics_mesh.hosting import logs
from radics_mesh.hosting.logs import VmLog


async def text(log: VmLog) -> bytes:
    return b"".join([part async for part in log.read(follow=False)])


async def test_what_was_not_durable_is_cut_off(tmp_path: Path) -> None:
    log = VmLog(tmp_path)
    log.begin(0)
    log.append(b"one\n")
    log.sync()
    log.append(b"two\n")
    log.finish()
    again = VmLog(tmp_path)
    assert again.end == 8
    assert await text(again) == b"one\ntwo\n"
    again.begin(4)
    again.append(b"TWO\n")
    assert await text(again) == b"one\nTWO\n"
    assert again.end == 8
    again.finish()


async def test_a_follower_hears_all_and_the_end(tmp_path: Path, nursery: trio.Nursery) -> None:
    log = VmLog(tmp_path)
    log.begin(0)
    log.append(b"first ")
    heard: list[bytes] = []

    async def follow() -> None:
        heard.extend([part async for part in log.read(follow=True)])

    async with trio.open_nursery() as inner:
        inner.start_soon(follow)
        await trio.testing.wait_all_tasks_blocked()
        log.append(b"second")
        await trio.testing.wait_all_tasks_blocked()
        log.finish()
    assert b"".join(heard) == b"first second"


async def test_a_long_log_loses_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LOG_MAX_BYTES", 100)
    log = VmLog(tmp_path)
    log.begin(0)
    for n in range(100):
        log.append(b"line %02d\n" % n)
        log.sync()
    kept = await text(log)
    assert kept.endswith(b"line 98\nline 99\n")
    assert 100 < len(kept) < 300
    end = log.end
    log.finish()
    again = VmLog(tmp_path)
    again.begin(end)
    again.append(b"after\n")
    assert again.end == end + 6
    assert (await text(again)).endswith(b"line 99\nafter\n")
    again.finish()
