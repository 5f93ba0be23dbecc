"""A node's answers as the control table shapes them, for tests of what people see."""

from __future__ import annotations

from radics_mesh.control_shapes.mesh import EventRow, NodeRow, Status
from radics_mesh.control_shapes.vms import VmRow

MOMENT = 1_790_000_000.0


def node(name: str, *, here: bool = False) -> NodeRow:
    return {
        "id": name[0] * 32,
        "name": name,
        "addresses": ["127.0.0.1:5050"],
        "arch": "x86_64",
        "cores": 4,
        "load": 0.25,
        "memory_free": 512 << 20,
        "memory": 1 << 30,
        "vms": 1,
        "rtt_s": None if here else 0.0042,
        "connected": not here,
        "state": None if here else "alive",
        "state_for_s": None if here else 60.0,
        "age_s": 3.0,
        "stale": False,
        "self": here,
    }


def vm(name: str, **changes: object) -> VmRow:
    row: VmRow = {
        "name": name,
        "id": "v" * 32,
        "state": "running",
        "epoch": 2,
        "node": "barn",
        "local": True,
        "image": "ab" * 26,
        "memory": 64 << 20,
        "accelerator": "tcg",
        "sources": ["camera/door"],
        "rate": 41_000.0,
        "moves": 1,
        "pinned": False,
        "uptime_s": 75.0,
        "boot_s": 0.09,
        "branch": 0,
        "checkpoints": None,
        "policy": "at-most-one",
        "pid": 4711,
        "status": None,
        "moved_share": None,
        "note": None,
    }
    return {**row, **changes}  # type: ignore[typeddict-item]  # changes are a test's own


def event(number: int, text: str = "", level: str = "info") -> EventRow:
    return {
        "number": number,
        "time": MOMENT + number,
        "level": level,
        "text": text or f"event {number}",
    }


def status() -> Status:
    return {
        "node": {
            "id": "b" * 32,
            "name": "barn",
            "mesh": "m" * 52,
            "version": "0.1.0",
            "addresses": ["127.0.0.1:5050"],
            "arch": "x86_64",
            "cores": 4,
            "accelerator": "tcg",
            "uptime_s": 3605.0,
            "bytes_in": 1_250_000,
            "bytes_out": 999,
            "scheduler": True,
            "time": "trusted",
            "key_epoch": 0,
            "keys_live": 1,
            "key_waits": [],
        },
        "nodes": [node("barn", here=True), node("mill"), node("tower")],
        "vms": [vm("wordcount")],
        "moves": [],
        "bundles": {
            "stored": 2,
            "stored_bytes": 4100,
            "quota_bytes": 1 << 30,
            "counters": {"received": 12, "forwarded": 7, "expired": 0},
        },
        "sources": [
            {
                "name": "camera/door",
                "publisher": "tower",
                "local": False,
                "rate": 4000.0,
                "messages": None,
                "subscribers": None,
                "age_s": 1.0,
                "stale": False,
            }
        ],
        "events": [event(n) for n in range(30)],
    }
