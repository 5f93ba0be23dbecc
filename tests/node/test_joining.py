"""Entering a mesh, as far as it needs nobody else; the rest is in tests/e2e."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.config import Config
from radics_mesh.errors import UsageError
from radics_mesh.identity import Identity
from radics_mesh.membership import Token, found
from radics_mesh.node.joining import enter
from radics_mesh.node.state import StateDirectory

NOW = Wall(1.8e9)


@dataclass
class ClockAt:
    """A clock that stands still."""

    at: Wall

    def monotonic(self) -> Monotonic:
        return Monotonic(0.0)

    def wall(self) -> Wall:
        return self.at


async def entered(path: Path, now: Wall, *, invite: str | None = None) -> list[str]:
    """What is announced while the node with this state enters."""
    state, said = StateDirectory(path), list[str]()
    config = Config(path, "n", invite=invite)
    await enter(config, state, state.identity(), ClockAt(now), said.append)
    return said


async def test_the_first_node_makes_a_mesh_and_stays_in_it(tmp_path: Path) -> None:
    assert [line.startswith("made a new mesh") for line in await entered(tmp_path, NOW)] == [True]
    assert await entered(tmp_path, NOW) == []


async def test_no_mesh_is_made_by_a_clock_that_was_never_set(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="clock was never set"):
        await entered(tmp_path, Wall(10.0))
    assert StateDirectory(tmp_path).membership() is None


async def test_a_member_enters_with_any_clock_and_is_told_of_an_expired_certificate(
    tmp_path: Path,
) -> None:
    await entered(tmp_path, NOW)
    assert await entered(tmp_path, Wall(10.0)) == []
    assert ["has expired" in line for line in await entered(tmp_path, Wall(NOW * 2))] == [True]


async def test_a_token_for_another_mesh_is_refused(tmp_path: Path) -> None:
    await entered(tmp_path, NOW)
    _, other, _ = found(Identity.generate(), "o", NOW)
    token = Token(other.mesh_id, b"k" * 32, b"s" * 16, "127.0.0.1", 1)
    with pytest.raises(UsageError, match="already, and the token is for"):
        await entered(tmp_path, NOW, invite=token.text())
