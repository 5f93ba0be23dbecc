"""Bytes in files and in pieces, and bundles whose payload stays in one."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import Bundle, with_block_in_front
from radics_mesh.dtn.wire.content import Content, FileBytes, Joined, joined, pieces, rest
from radics_mesh.errors import LinkError, WireError
from tests.dtn.bundles import bundles


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=20))), st.data())
@settings(max_examples=50)
def test_any_content_is_sliced_as_its_bytes_are(
    parts: list[tuple[bool, bytes]], data: st.DataObject
) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        path.write_bytes(b"".join(part for _, part in parts))
        file, at, contents = FileBytes.of(path), 0, list[Content]()
        for in_file, part in parts:
            contents.append(file.part(at, len(part)) if in_file else part)
            at += len(part)
        content, expected = joined(contents), path.read_bytes()
        start, end = data.draw(st.integers(0, at + 2)), data.draw(st.integers(0, at + 2))
        assert content[start:end] == expected[start:end]
        assert bytes(rest(content, min(start, at))) == expected[start:]
        assert b"".join(pieces(content)) == bytes(content) == expected
        assert len(content) == at
        assert isinstance(content, Joined) == any(in_file for in_file, _ in parts)


@given(bundles(), st.data())
@settings(max_examples=60)
def test_a_bundle_in_a_file_is_that_bundle(bundle: Bundle, data: st.DataObject) -> None:
    raw = bundle.encode()
    with TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        path.write_bytes(raw)
        there = Bundle.parse(FileBytes.of(path))
        assert there.encode() == bytes(there.encoded()) == raw
        assert (there.id, there.payload, there.flags) == (bundle.id, bundle.payload, bundle.flags)
        more = Block(200, 0, b"more")
        both = with_block_in_front(FileBytes.of(path), more), with_block_in_front(raw, more)
        assert bytes(both[0]) == bytes(both[1])
        path.write_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])
        with pytest.raises(WireError):
            Bundle.parse(FileBytes.of(path))


@given(st.binary(max_size=300))
def test_any_bytes_in_a_file_are_a_bundle_or_malformed(raw: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "file"
        path.write_bytes(b"\6" + raw)
        try:
            Bundle.parse(FileBytes.of(path))
        except WireError:
            return


def test_a_file_that_shrinks_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    content = FileBytes.of(path)
    path.unlink()
    assert bytes(content) == b"0123456789"  # its name is gone, it is not
    path.write_bytes(b"0123456789")
    content = FileBytes.of(path)
    os.truncate(path, 5)
    with pytest.raises(LinkError):
        bytes(content)
