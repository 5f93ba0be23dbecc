from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from radics_mesh.errors import PeerError, UsageError
from radics_mesh.node import policing
from radics_mesh.node.policing import Policing
from radics_mesh.permits import Party
from tests.meshes import identity

SOMEBODY = Party(identity(2).node_id, None)
NOBODY = "[vms.nobody]\nallow = false\n"


@pytest.fixture
def notes() -> list[tuple[str, str]]:
    return []


def of(path: Path, notes: list[tuple[str, str]]) -> Policing:
    return Policing(path, lambda text, level: notes.append((level, text)))


def test_a_file_that_makes_no_sense_ends_a_node_that_starts(
    tmp_path: Path, notes: list[tuple[str, str]]
) -> None:
    (tmp_path / "policy.toml").write_text("[vms.a")
    with pytest.raises(UsageError, match=r"policy\.toml"):
        of(tmp_path, notes)
    (tmp_path / "policy.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="cannot be read"):
        of(tmp_path, notes)


async def test_a_change_is_seen_and_nonsense_leaves_the_rules(
    tmp_path: Path, notes: list[tuple[str, str]], autojump_clock: MockClock
) -> None:
    rules = of(tmp_path, notes)
    rules.permits.check_vm(SOMEBODY)
    file = tmp_path / "policy.toml"
    async with trio.open_nursery() as nursery:
        await nursery.start(rules.run)
        for text in (NOBODY, "[vms.", ""):
            file.write_text(text)
            os.utime(file, ns=(len(text), len(text)))
            await trio.sleep(2 * policing.LOOK_EVERY_S)
            if text:
                with pytest.raises(PeerError, match="nobody"):
                    rules.permits.check_vm(SOMEBODY)
        rules.permits.check_vm(SOMEBODY)
        nursery.cancel_scope.cancel()
    assert [level for level, _ in notes] == ["info", "error", "info"]
    assert notes[1][1].startswith("the rules stay as they were: policy.toml")


async def test_a_denial_is_told_once_a_minute(
    tmp_path: Path, notes: list[tuple[str, str]], autojump_clock: MockClock
) -> None:
    rules = of(tmp_path, notes)
    rules.tell_denied("x")
    rules.tell_denied("x")
    await trio.sleep(61)
    rules.tell_denied("x")
    assert notes == [("warning", "denied: x")] * 2
