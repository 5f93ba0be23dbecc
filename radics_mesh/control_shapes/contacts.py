"""Neighbours, and contacts that a plan expects."""

from __future__ import annotations

from typing import TypedDict


class PlannedContact(TypedDict):
    """One direction. Names of nodes, or words of the plan; Unix times, bytes a second."""

    # "from" is a word of Python's, so it is not listed here: the node that sends.
    to: str
    start: float
    end: float
    rate: float
    delay_s: float
    # It goes on now.
    now: bool


class PlanRow(TypedDict):
    file: str
    # The routes that go by it.
    patterns: list[str]
    # Contacts in all, also those that are over.
    all: int
    # Words that stand for no node that is known here.
    unknown: list[str]
    contacts: list[PlannedContact]


class ContactRow(TypedDict):
    """A neighbour: one in reach (up), one that was (down), or one that is being looked for."""

    node: str
    id: str
    # up, down, sought or expected
    state: str
    # Unix time of the last change; None: it was never in reach. For expected: when.
    since: float | None
    address: str
    rtt_s: float | None
    # Of all contacts with it since this node was started.
    contacts: int
    bytes_in: int
    bytes_out: int
    bundles_out: int
    # Bytes a second, lately.
    rate_in: float
    rate_out: float
    in_flight: int
    refused: int
