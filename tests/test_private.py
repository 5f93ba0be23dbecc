from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from radics_mesh.admission.tokens import TokenBook
from radics_mesh.errors import UsageError
from radics_mesh.membership import found
from radics_mesh.node.state import Membership, StateDirectory
from radics_mesh.private import make_private, read_private, write_private
from tests.meshes import NOW


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o377, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def modes(path: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir() if file.is_file()}


def test_secrets_are_made_for_their_owner_alone_under_any_umask(tmp_path: Path, umask: int) -> None:
    state = StateDirectory(tmp_path / "node")
    genesis, mesh, chain = found(state.identity(), "n", NOW)
    state.enter(Membership(mesh, chain), genesis)
    book = TokenBook(tmp_path / "node" / "admission.sqlite")
    book.make(1, NOW)
    made = sorted(file.name for file in (tmp_path / "node").iterdir())
    assert {"identity.key", "membership", "genesis.key", "admission.sqlite"} <= set(made)
    assert modes(tmp_path / "node") == {0o600}  # SQLite's other files too
    book.close()


def test_a_leftover_that_others_can_read_is_no_way_to_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert read_private(path) == b"new"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o666])
def test_what_others_can_reach_is_refused_with_the_way_out(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "admission.sqlite"
    TokenBook(path).close()
    path.chmod(mode)
    for use in (read_private, make_private, TokenBook):
        with pytest.raises(UsageError, match=rf"mode {mode:o}\); run: chmod 600 .*admission"):
            use(path)
    path.chmod(0o600)
    assert sqlite3.connect(path).execute("SELECT count(*) FROM tokens").fetchone() == (0,)
