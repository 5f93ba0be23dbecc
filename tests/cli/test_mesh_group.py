from __future__ import annotations

import json
from pathlib import Path

import click
import pytest

from radics_mesh.cli.entry import radics, run
from radics_mesh.cli.mesh_group import mesh_group
from radics_mesh.node.state import StateDirectory


def test_all_about_membership_is_in_one_group_and_under_its_old_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert {"init", "invite", "approve", "revoke", "members", "rotate"} <= set(mesh_group.commands)
    for name, command in mesh_group.commands.items():
        assert "--json" in [flag for option in command.params for flag in option.opts]
        if name != "init":
            assert radics.commands[name] is command
    assert isinstance(mesh_group, click.Group)
    assert run(["mesh", "invite", "--help"]) == 0
    assert "--expires" in capsys.readouterr().out


def test_a_mesh_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "n"
    words = ["mesh", "init", "--name", "barn", "--owner", "farm", "--state", str(state), "--json"]
    assert run(words) == 0
    made = json.loads(capsys.readouterr().out)
    kept = StateDirectory(state)
    membership = kept.membership()
    assert membership is not None
    member = membership.chain.member
    assert (member.name, member.owner) == ("barn", "farm")
    assert made == {
        "mesh": membership.mesh.mesh_id.text,
        "id": kept.identity().node_id.text,
        "name": "barn",
        "owner": "farm",
        "state": str(state),
    }
    assert kept.genesis() is not None
    assert run(words) == 1
    assert "is in mesh" in capsys.readouterr().err
    assert kept.membership() == membership


@pytest.mark.parametrize("expires", ["0x", "-1d", "7w"])
def test_a_time_that_is_none_is_refused(expires: str, tmp_path: Path) -> None:
    assert run(["mesh", "invite", "--expires", expires, "--state", str(tmp_path)]) == 2
