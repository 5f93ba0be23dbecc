"""What is news here, and how often it must still be told. Sans-IO.

Infection-style dissemination (SWIM section 4.1): a word rides on whatever is sent anyway, those
first that were told least, and each lambda log N times before it is dropped. Besides, in rounds of
their own that only happen while there is news, they go to some members (as memberlist does).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from radics_mesh.gossip.messages import WORDS_MAX, cost
from radics_mesh.gossip.words import Alive, Word
from radics_mesh.ids import NodeId

RUMOURS_MAX = 256
# A member misses a word with e^-(LAMBDA log10 N (1 - loss)), about 3e-6 at 100 nodes and 30 % loss.
LAMBDA = 6


# Whom it is about, and who accuses it, if somebody does.
_Name = tuple[NodeId, NodeId | None]


@dataclass
class _Rumour:
    packed: bytes
    told: int = 0


class Rumours:
    def __init__(self) -> None:
        self._rumours: dict[_Name, _Rumour] = {}
        self._about: dict[NodeId, set[_Name]] = {}

    def __len__(self) -> int:
        return len(self._rumours)

    def add(self, word: Word) -> None:
        """A word that is news; what it outdates is not told any more."""
        if isinstance(word, Alive):
            self.drop(word.node_id)
            self._put((word.node_id, None), word.pack())
        else:
            self._put((word.subject, word.node_id), word.pack())

    def _put(self, name: _Name, packed: bytes) -> None:
        self._rumours.pop(name, None)
        self._rumours[name] = _Rumour(packed)
        self._about.setdefault(name[0], set()).add(name)
        if len(self._rumours) > RUMOURS_MAX:
            self._drop_one(max(self._rumours, key=lambda one: self._rumours[one].told))

    def drop(self, subject: NodeId) -> None:
        """All about one node: something newer is known."""
        for name in list(self._about.get(subject, ())):
            self._drop_one(name)

    def _drop_one(self, name: _Name) -> None:
        del self._rumours[name]
        about = self._about[name[0]]
        about.discard(name)
        if not about:
            del self._about[name[0]]

    def choose(self, room: int, members: int, also: list[bytes]) -> list[bytes]:
        """`also`, as far as they fit `room` bytes, and news; each of these counts as told."""
        chosen: list[bytes] = []
        for packed in also:
            if len(chosen) < WORDS_MAX and cost(packed) <= room and packed not in chosen:
                chosen.append(packed)
                room -= cost(packed)
        often = LAMBDA * max(1, math.ceil(math.log10(members + 2)))
        # Dictionaries keep the order of insertion, and the sort is stable: of two that were told
        # equally often the older goes first.
        for name, one in sorted(self._rumours.items(), key=lambda item: item[1].told):
            if len(chosen) == WORDS_MAX:
                break
            if cost(one.packed) > room or one.packed in chosen:
                continue
            chosen.append(one.packed)
            room -= cost(one.packed)
            one.told += 1
            if one.told >= often:
                self._drop_one(name)
        return chosen
