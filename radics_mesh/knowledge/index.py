"""Which names there are below a directory, said so that it can be looked up by a key. Sans-IO.

A DHT finds what is asked for by its whole name. So whoever states a source `camera/hall/door` also
states an *index record* for each directory on its way: that there is "camera/" in "", "hall/" in
"camera/", "door" in "camera/hall/". A search for camera/* looks up the directory camera/, and what
it names in turn; no node needs to know all names.

A key holds few publishers. So a directory has *pages*, a binary tree by the publishers' ids: in
each page the SPLIT publishers that rank first stay, the others go to the page of their next bit
(`page`). Whoever searches reads a page's children as soon as it has seen DESCEND publishers there:
before others would look for room below they are at least that many, and who moves up again does so
within a record's life. A publisher with more names in a directory than one record takes states the
rest under subjects of its own (`part_subject`), and in the first how many of these there are.

  subject  "source:0110:camera/hall/"            page 0110 of the directory camera/hall/
           "source+1:PUBLISHER:camera/hall/"     a second part
  body     {"names": ["attic/", "door", ...], "parts": 2}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from radics_mesh import paths
from radics_mesh.codec import pack
from radics_mesh.ids import NodeId
from radics_mesh.records import Kind

SPLIT = 12
DESCEND = 6
PAGE_BITS_MAX = 8
# What the names of one record take, so that a record has room for the rest.
PART_BYTES = 500
PARTS_MAX = 16
INDEXED = (Kind.SOURCE, Kind.SERVICE)


def page_subject(kind: Kind, directory: str, bits: str) -> str:
    return f"{kind.value}:{bits}:{directory}"


def part_subject(kind: Kind, directory: str, publisher: NodeId, number: int) -> str:
    return f"{kind.value}+{number}:{publisher.text}:{directory}"


def bit(node: NodeId, depth: int) -> str:
    return "1" if node[depth // 8] & (0x80 >> depth % 8) else "0"


def stays(me: NodeId, others: Iterable[NodeId], subject: str) -> bool:
    """Whether this publisher is among those of a page that stay in it."""

    def rank(node: NodeId) -> bytes:
        return hashlib.sha1(bytes(node) + subject.encode(), usedforsecurity=False).digest()

    mine = rank(me)
    return sum(rank(other) < mine for other in others if other != me) < SPLIT


def children(names: Iterable[str]) -> dict[str, list[str]]:
    """What stands in each directory on the way to these names, sorted."""
    found: dict[str, set[str]] = {}
    for name in names:
        for directory, child in paths.directories(name):
            found.setdefault(directory, set()).add(child)
    return {directory: sorted(listed) for directory, listed in found.items()}


def parts(listed: Sequence[str]) -> list[list[str]]:
    """Names cut into records; at most PARTS_MAX, and what is more is not in the index."""
    cut: list[list[str]] = [[]]
    room = PART_BYTES
    for name in listed:
        size = len(pack(name))
        if size > room and cut[-1]:
            if len(cut) == PARTS_MAX:
                break
            cut.append([])
            room = PART_BYTES
        cut[-1].append(name)
        room -= size
    return cut


def named(body: Mapping[str, object], directory: str) -> set[str]:
    """The paths that an index record names, as far as they can be: each starts with the
    directory, and those of directories end with "/"."""
    listed = body.get("names")
    found = set()
    for child in listed if isinstance(listed, list) else ():
        if isinstance(child, str) and child and "/" not in child[:-1]:
            path = directory + child
            if not paths.fault(path.removesuffix("/")):
                found.add(path)
    return found


def further_parts(body: Mapping[str, object]) -> range:
    """The numbers of the other records that go with a page's."""
    count = body.get("parts")
    return range(1, min(count, PARTS_MAX) if type(count) is int else 1)
