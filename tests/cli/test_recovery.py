"""`doctor` and `recover`, as a person reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from radics_mesh.errors import UsageError
from tests import answers
from tests.cli.test_commands import answering, node, radics

DIAGNOSIS: dict[str, Any] = {
    **{"name": "wc", "id": "v" * 32, "holder": "barn", "epoch": 3, "how": "released"},
    **{"policy": "restartable:60", "state": "running (stale)", "heard_s": 300.0},
    "open": ["released from here to barn at epoch 3, not acknowledged yet"],
    "states": [
        {
            **{"node": "mill", "kind": "checkpoint", "epoch": 3, "age_s": 360.0},
            **{"bytes": 1_200_000, "snapshot": "ab" * 8, "mandate": "restarts after 60 s"},
        }
    ],
    "ways": ["wait for barn: loses nothing", "recover wc --force: goes on here"],
}


async def test_doctor_says_what_is_known_and_the_ways_out(tmp_path: Path) -> None:
    async with node(tmp_path, doctor=answering(DIAGNOSIS)):
        told = await radics("doctor", "wc", state=tmp_path)
    assert told.stdout.decode().splitlines() == [
        "wc (vvvvvvvv), policy restartable:60",
        "held by barn at epoch 3 (released), running (stale); last heard 5 min ago",
        "open: released from here to barn at epoch 3, not acknowledged yet",
        "",
        "NODE  STATE       EPOCH  AGE    SIZE    SNAPSHOT          NOTE",
        "mill  checkpoint  3      6 min  1.2 MB  abababababababab  restarts after 60 s",
        "",
        "1. wait for barn: loses nothing",
        "2. recover wc --force: goes on here",
    ]


async def test_recover_warns_and_says_what_runs(tmp_path: Path) -> None:
    seen = dict[str, Any]()
    answer = {"vm": answers.vm("wc", epoch=65536), "lost": ["all since 6 min ago"]}
    async with node(tmp_path, recover=answering(answer, seen)):
        done = await radics("recover", "wc", "--force", "--snapshot", "abab", state=tmp_path)
    assert seen == {"name": "wc", "force": True, "snapshot": "abab"}
    assert done.stderr == b"warning: all since 6 min ago\n"
    assert done.stdout == b"wc (vvvvvvvv) is running on barn, epoch 65536\n"


async def test_recover_without_force_ends_with_one(tmp_path: Path) -> None:
    async def refuse(**_: object) -> dict[str, object]:
        raise UsageError("wc may be alive: ...; --force recovers it all the same")

    async with node(tmp_path, recover=refuse):
        refused = await radics("recover", "wc", state=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith(b"error: wc may be alive")


async def test_a_policy_is_chosen_anew(tmp_path: Path) -> None:
    seen = dict[str, Any]()
    answer = {"vm": answers.vm("wc", policy="restartable:60")}
    async with node(tmp_path, policy=answering(answer, seen)):
        done = await radics("policy", "wc", "restartable:60", "--keep-at", "mill", state=tmp_path)
    assert seen == {"name": "wc", "policy": "restartable:60", "keep_at": ["mill"]}
    assert done.stdout == b"wc is restartable:60, kept at mill\n"
