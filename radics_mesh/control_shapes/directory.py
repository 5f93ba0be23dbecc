"""What the directory knows: facts, services, and what becomes of them."""

from __future__ import annotations

from typing import TypedDict


class FactRow(TypedDict):
    """One fact as one publisher states it."""

    # node, source, service, vm, image, ...
    kind: str
    subject: str
    # Name and id of the node that states it.
    publisher: str
    publisher_id: str
    # What else there is to say, in words.
    what: str
    # Seconds since it was signed, as gathered on its way and here.
    age_s: float
    # It was not renewed for as long as it said that it lives, or its publisher is unreachable.
    stale: bool


class ServiceRow(TypedDict):
    name: str
    # Name of the node where it answers, and whether that is the answering node.
    node: str
    local: bool
    # Where to send to.
    endpoint: str
    # Name of the VM that serves it; empty: the node itself, or not known.
    vm: str
    age_s: float
    stale: bool


class ChangeRow(TypedDict):
    """What happened to a fact."""

    # added, changed, stale, withdrawn
    change: str
    fact: FactRow
