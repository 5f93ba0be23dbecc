from __future__ import annotations

import pytest

from radics_mesh.cli.members import _key
from radics_mesh.cli.rotate import tell_of_rotation


def test_who_has_not_confirmed_is_named_but_not_all(capsys: pytest.CaptureFixture[str]) -> None:
    tell_of_rotation({"epoch": 3, "overlap_s": 300, "waiting": []})
    assert capsys.readouterr().out == "the mesh key is of epoch 3 now\n"
    waiting = ["pi\x1b[1m", *(f"node{n}" for n in range(9))]
    tell_of_rotation({"epoch": 3, "overlap_s": 300, "waiting": waiting})
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "node6 and 2 more, at the latest in 5 min" in said


@pytest.mark.parametrize(
    ("revoked", "key_epoch", "has_key", "cell"),
    [
        (False, 3, True, "3"),
        (False, 2, False, "(2)"),
        (False, None, False, "(?)"),
        (True, 2, False, "no"),
        (True, 2, True, "may have it"),
    ],
)
def test_the_column_of_keys(revoked: bool, key_epoch: int | None, has_key: bool, cell: str) -> None:
    assert _key({"revoked": revoked, "key_epoch": key_epoch, "has_key": has_key}) == cell
