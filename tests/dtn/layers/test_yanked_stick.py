"""A stick that is pulled out in the middle: at every system call on it, one after the other.

What fails from then on fails as a vanished device does (EIO), a file that was being written stays
half, and nothing can be tidied up. The stick comes back as it was left.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from radics_mesh.dtn.layers import carried, carrier
from radics_mesh.dtn.wire.bundle import Bundle
from radics_mesh.errors import LinkError, MeshError
from tests.dtn.layers.test_carrier import carrier_of, files
from tests.dtn.layers.test_parts import RealClock
from tests.dtn.world import Members, TrioClock, running

_BY_PATH = ("open", "replace", "unlink", "listdir", "statvfs")
# More than any visit makes, so the last rounds are whole.
CALLS = 16


class Socket:
    """Where the stick is in. `pull_after` so many system calls; None: it stays in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stick: Path) -> None:
        self._stick = str(stick)
        self.pull_after: int | None = None
        self.pulled = 0
        for name in _BY_PATH:
            monkeypatch.setattr(os, name, self._wrapped(getattr(os, name), self._is_path_there))
        monkeypatch.setattr(os, "fsync", self._wrapped(os.fsync, self._is_file_there))

    def _is_path_there(self, path: Any) -> bool:
        return not isinstance(path, int) and os.fspath(path).startswith(self._stick)

    def _is_file_there(self, file: Any) -> bool:
        return os.readlink(f"/proc/self/fd/{int(file)}").startswith(self._stick)

    def _wrapped(
        self, real: Callable[..., Any], there: Callable[[Any], bool]
    ) -> Callable[..., Any]:
        def call(first: Any, *others: Any, **named: Any) -> Any:
            if self.pull_after is not None and there(first):
                if not self.pull_after:
                    self.pulled += 1
                    if isinstance(first, int) and stat.S_ISREG(os.fstat(first).st_mode):
                        os.ftruncate(first, os.fstat(first).st_size // 2)
                    raise OSError(errno.EIO, "no such device any more")
                self.pull_after -= 1
            return real(first, *others, **named)

        return call


async def test_pulled_out_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    members = Members(TrioClock())
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
    ):
        b.agent.register(b.id.service("in"), b.collect)
        socket = Socket(monkeypatch, stick)
        at_a, at_b = carrier_of(a), carrier_of(b)
        for calls in range(CALLS):
            sent = (b"%d " % calls) * 1000
            await a.agent.send(b.id.service("in"), sent)
            for visit in (at_a.write, at_b.take, at_a.write):
                socket.pull_after = calls
                with suppress(MeshError):
                    await visit(stick)
                socket.pull_after = None
                for path in files(stick) + files(stick, carried.RECEIPT):
                    Bundle.parse(path.read_bytes())  # whatever others see is whole
            await at_a.write(stick)
            came = await at_b.take(stick)
            assert came.problems == []
            assert (await b.received(calls + 1))[calls].payload == sent
            await at_a.write(stick)
            assert len(a.store) == 0
            assert files(stick) == files(stick, carried.RECEIPT) == []
        assert len(b.delivered) == CALLS
        assert socket.pulled > CALLS
        left = [path.name for path in stick.iterdir() if not path.name.endswith(carried.CARD)]
        assert [name for name in left if name.startswith(f".{a.id.text}")] == []


async def test_a_long_bundle_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrier, "PIECE_BYTES", 100_000)
    stick = tmp_path / "stick"
    stick.mkdir()
    members = Members(RealClock())
    payload = os.urandom(450_000)
    async with (
        running(members.me("a"), tmp_path / "a") as a,
        running(members.me("b"), tmp_path / "b") as b,
    ):
        b.agent.register(b.id.service("in"), b.collect)
        await a.agent.send(b.id.service("in"), payload)
        socket = Socket(monkeypatch, stick)
        socket.pull_after = 9  # in the third of five pieces
        with pytest.raises(LinkError):
            await carrier_of(a).write(stick)
        socket.pull_after = None
        whole = len(files(stick))
        assert 0 < whole < 5
        assert (await carrier_of(b).take(stick)).taken == whole
        went = await carrier_of(a).write(stick)
        assert (went.confirmed, went.written) == (whole, 5 - whole)
        assert (await carrier_of(b).take(stick)).problems == []
        (delivery,) = await b.received(1)
        assert bytes(delivery.payload) == payload
        assert delivery.signer == a.id
        await carrier_of(a).write(stick)
        assert len(a.store) == 0
