from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import MeshError, PeerError, UsageError
from radics_mesh.ids import Digest
from radics_mesh.knowledge import objects
from radics_mesh.membership import Verifier
from tests.members import MESH, START, member

VERIFIER = Verifier(MESH)


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 60_000, objects.OBJECT_MAX_BYTES])
def test_cut_and_put_together(size: int) -> None:
    content = bytes(n * n % 251 for n in range(size))
    values = objects.values_of(content, *member(1))
    stored: dict[bytes, list[bytes]] = {}
    for key, value in values:
        signer = objects.check(key, value, VERIFIER, START)
        assert signer in (None, member(1)[0].node_id)
        assert len(value) < 8000
        stored.setdefault(key, []).append(value)
    digest = Digest.of(content)
    found = stored[objects.object_key(digest)]
    if size <= objects.PART_BYTES:
        assert objects.whole(digest, found) == content
        return
    [parts] = objects.part_lists(found)
    joined = [objects.whole(part, stored[objects.object_key(part)]) for part in parts]
    assert b"".join(part or b"" for part in joined) == content


def test_too_long() -> None:
    with pytest.raises(UsageError):
        objects.values_of(bytes(objects.OBJECT_MAX_BYTES + 1), *member(1))


def test_other_content_under_the_key_is_refused() -> None:
    key = objects.object_key(Digest.of(b"this"))
    with pytest.raises(PeerError):
        objects.check(key, b"othat", VERIFIER, START)
    assert objects.whole(Digest.of(b"this"), [b"othat"]) is None


def test_a_list_must_be_signed_by_a_member() -> None:
    key, value = objects.values_of(bytes(5000), *member(1))[-1]
    assert objects.check(key, value, VERIFIER, START) == member(1)[0].node_id
    stranger, _ = member(2)
    key, value = objects.values_of(bytes(5000), stranger, member(1)[1])[-1]
    with pytest.raises(PeerError, match="another key"):
        objects.check(key, value, VERIFIER, START)
    with pytest.raises(PeerError, match="another key"):
        objects.check(bytes(20), value, VERIFIER, START)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_of_that_key_or_refused(data: bytes) -> None:
    for value in (data, b"l" + data, b"o" + data):
        try:
            objects.check(bytes(20), value, VERIFIER, START)
        except MeshError:
            continue
        raise AssertionError("no content has the digest of zeros")
