from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from radics_mesh.clock import Wall
from radics_mesh.errors import UsageError
from radics_mesh.membership import found
from radics_mesh.node.state import Membership, StateDirectory, medium_errors


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


def test_somebodys_directory_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    tmp_path.chmod(0o755)
    with pytest.raises(UsageError, match=r"no node's state: there is 'diary.txt'"):
        StateDirectory(tmp_path)
    assert (tmp_path.stat().st_mode & 0o777, len(list(tmp_path.iterdir()))) == (0o755, 1)


def test_a_new_file_system_is_an_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    assert StateDirectory(tmp_path).membership() is None


def test_a_damaged_database_is_named(tmp_path: Path) -> None:
    StateDirectory(tmp_path).identity()
    (tmp_path / "hosting").mkdir()
    sqlite3.connect(tmp_path / "hosting" / "whole.sqlite").execute("CREATE TABLE t (x)")
    (tmp_path / "empty.sqlite").touch()
    StateDirectory(tmp_path)
    (tmp_path / "hosting" / "vms.sqlite").write_bytes(b"\xf0" * 300)
    with pytest.raises(UsageError, match=r"hosting/vms\.sqlite is damaged"):
        StateDirectory(tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("database or disk is full"),
        OSError(errno.ENOSPC, "No space left on device"),
        ExceptionGroup("", [ExceptionGroup("", [sqlite3.DatabaseError("malformed")])]),
    ],
)
def test_a_medium_that_fails_is_no_bug(error: Exception) -> None:
    with pytest.raises(UsageError, match="check the disk"), medium_errors(Path("/s")):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOENT, "no such file"),
        sqlite3.IntegrityError("UNIQUE"),
        ExceptionGroup("", [OSError(errno.ENOSPC, "full"), KeyError("bug")]),
    ],
)
def test_a_bug_is_no_failing_medium(error: Exception) -> None:
    with pytest.raises(type(error)), medium_errors(Path("/s")):
        raise error
