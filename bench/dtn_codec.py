"""Bundles encoded and decoded a second, without anything else: 100 bytes of payload, signed."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.dtn_nodes import make_bundles, two_members
from bench.rows import Row
from radics_mesh.dtn.wire.bundle import Bundle

_COUNT = 2000
_ROUNDS = 5
AIM = 40_000


def rows() -> list[Row]:
    sender, receiver = two_members()
    raws = make_bundles(sender, receiver.node_id.service("inbox"), 100, _COUNT)
    parsed = [Bundle.parse(raw) for raw in raws]
    rates = {
        "decode": _best(lambda: [Bundle.parse(raw) for raw in raws]),
        "encode": _best(lambda: [bundle.encode() for bundle in parsed]),
    }
    return [
        {
            "name": f"codec alone, {what}, 100 B",
            "value": round(rate),
            "unit": "bundles/s",
            "aim": AIM,
            "met": rate > AIM,
            "peer": "",
        }
        for what, rate in rates.items()
    ]


def _best(work: Callable[[], object]) -> float:
    """A second of the processor's time: others on the machine do not count."""
    taken = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return _COUNT / min(taken)
