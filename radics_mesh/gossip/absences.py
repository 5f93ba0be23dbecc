"""Who cannot be reached since when, over a restart of this node. Sans-IO.

Only those who are gone are written down: who was there may have gone meanwhile, and whoever still
is will be met. Between two runs of the program only wall clocks can tell; when they cannot, an
absence counts from now.

File form: msgpack [version, [[word, state, since (Unix ms)], ...]], the longest absent first.
"""

from __future__ import annotations

from radics_mesh.clock import Wall, is_plausible
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import MeshError, WireError
from radics_mesh.gossip.members import GONE_MAX, Members, State
from radics_mesh.gossip.words import WORD_MAX_BYTES, Alive, parse_word
from radics_mesh.ids import Digest

VERSION = 1
_STATES = (State.UNREACHABLE, State.LEFT)


def dump(members: Members, now: float, wall: Wall) -> bytes:
    rows = [
        [
            member.word_at().pack(),
            _STATES.index(member.state),
            max(0, int((wall - (now - member.since)) * 1000)),
        ]
        for member in members.gone()
    ]
    return pack([VERSION, rows])


def load(data: bytes, members: Members, mesh: Digest, now: float, wall: Wall) -> int:
    """Take back what `dump` gave; how many. WireError when it is something else."""
    limit = GONE_MAX * (WORD_MAX_BYTES + 32)
    fields = Fields.parse(data, "absences", limit_bytes=limit)
    fields.integer(VERSION, VERSION)
    loaded = 0
    for item in fields.items(limit=GONE_MAX):
        row = Fields(item, "absence")
        word, state = parse_word(row.blob(limit=WORD_MAX_BYTES)), _STATES[row.integer(0, 1)]
        since = Wall(row.integer(0, 1 << 50) / 1000)
        try:
            word.check(mesh)
        except MeshError:
            continue  # of another mesh
        if not isinstance(word, Alive):
            raise WireError("an absence that is no node's own word")
        known = is_plausible(since) and since <= wall
        members.recall(word, state, now - (wall - since) if known else now)
        loaded += 1
    return loaded
