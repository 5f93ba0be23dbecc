"""Contacts as people want to see them: those that are up, how busy they are, and those that were.

What a session carried is counted by its contact, which is gone when it ends; so it is looked at
while it lasts, and when it is over what it was is remembered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from radics_mesh.clock import Clock, Wall
from radics_mesh.dtn.agent import Agent, Contact
from radics_mesh.dtn.layers.contacts import Contacts
from radics_mesh.dtn.rules.processing import Peer

# Rates are those of the last so many seconds, or of the contact if it is younger.
SAMPLE_S = 2.0
_SAMPLES_MAX = 6
# Peers that were in reach and are not, the latest ones.
_GONE_MAX = 256


@dataclass
class Met:
    """A neighbour in this life of the node. Totals are of all its contacts."""

    peer: Peer
    up_at: Wall
    down_at: Wall | None = None
    contacts: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bundles_out: int = 0
    now: Contact | None = None
    # (moment, bytes in, bytes out) of the present contact.
    samples: list[tuple[float, int, int]] = field(default_factory=list)

    def sample(self, moment: float) -> None:
        """Of the present contact, not more often than SAMPLE_S; the latest one is of now."""
        assert self.now is not None
        if len(self.samples) > 1 and moment - self.samples[-2][0] < SAMPLE_S:
            self.samples.pop()
        self.samples.append((moment, self.now.bytes_in, self.now.bytes_out))
        del self.samples[:-_SAMPLES_MAX]

    def rates(self) -> tuple[float, float]:
        """Bytes a second in and out, lately."""
        if self.now is None or len(self.samples) < 2:
            return 0.0, 0.0
        first, last = self.samples[0], self.samples[-1]
        span = max(1e-9, last[0] - first[0])
        return (last[1] - first[1]) / span, (last[2] - first[2]) / span

    def totals(self) -> tuple[int, int, int]:
        """Bytes in, bytes out, bundles out."""
        now = self.now
        if now is None:
            return self.bytes_in, self.bytes_out, self.bundles_out
        return (
            self.bytes_in + now.bytes_in,
            self.bytes_out + now.bytes_out,
            self.bundles_out + now.forwarded,
        )


class ContactLog:
    def __init__(self, agent: Agent, contacts: Contacts, clock: Clock) -> None:
        self._agent = agent
        self._contacts = contacts
        self._clock = clock
        self._met: dict[Peer, Met] = {}

    async def run(self) -> None:
        changes = self._contacts.changes.listen()
        while True:
            self.look()
            with trio.move_on_after(SAMPLE_S):
                await changes.receive()

    def rows(self) -> list[Met]:
        """Those in reach first."""
        self.look()
        return sorted(self._met.values(), key=lambda met: (met.now is None, -met.up_at))

    def look(self) -> None:
        now = {contact.peer: contact for contact in self._agent.contacts()}
        for peer, met in self._met.items():
            if met.now is not None and now.get(peer) is not met.now:
                self._ended(met)
        moment = self._clock.monotonic()
        for peer, contact in now.items():
            met = self._met.setdefault(peer, Met(peer, self._clock.wall()))
            if met.now is not contact:
                met.now, met.down_at = contact, None
                met.contacts += 1
                met.up_at = self._clock.wall()
                # When it began, nothing had been carried yet.
                met.samples = [(contact.since, 0, 0)]
            met.sample(moment)
        self._forget()

    def _ended(self, met: Met) -> None:
        met.bytes_in, met.bytes_out, met.bundles_out = met.totals()
        met.now, met.down_at = None, self._clock.wall()

    def _forget(self) -> None:
        gone = [met for met in self._met.values() if met.now is None]
        gone.sort(key=lambda met: met.down_at or 0.0)
        for met in gone[: max(0, len(gone) - _GONE_MAX)]:
            del self._met[met.peer]
