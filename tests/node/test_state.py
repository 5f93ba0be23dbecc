from __future__ import annotations

from pathlib import Path

import pytest

from radics_mesh.clock import Wall
from radics_mesh.errors import UsageError
from radics_mesh.membership import found
from radics_mesh.node.state import Membership, StateDirectory


def test_the_same_directory_is_the_same_node(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "n")
    first = state.identity()
    genesis, mesh, chain = found(first, "n", Wall(1.8e9))
    state.enter(Membership(mesh, chain), genesis)
    again = StateDirectory(tmp_path / "n")
    assert again.identity().node_id == first.node_id
    assert again.membership() == Membership(mesh, chain)


@pytest.mark.parametrize("name", ["identity.key", "membership"])
def test_secrets_that_others_can_read_are_refused(tmp_path: Path, name: str) -> None:
    state = StateDirectory(tmp_path)
    genesis, mesh, chain = found(state.identity(), "n", Wall(1.8e9))
    state.enter(Membership(mesh, chain), genesis)
    (tmp_path / name).chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        (state.identity(), state.membership())


def test_damage_is_one_clear_error(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.identity()
    (tmp_path / "identity.key").write_bytes(b"short")
    with pytest.raises(UsageError, match="damaged"):
        state.identity()
    (tmp_path / "membership").write_bytes(b"\x93\x01\x02\x03")
    (tmp_path / "membership").chmod(0o600)
    with pytest.raises(UsageError, match="damaged"):
        state.membership()


def test_a_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="cannot use"):
        StateDirectory(tmp_path / "file" / "state")
