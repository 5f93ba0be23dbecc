"""A file counts as known only while nobody has written to it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from radics_mesh.ids import Digest
from radics_mesh.vmm import probe, verified
from radics_mesh.vmm.image_store import ImageStore
from tests.vmm import stubs

IMAGE = probe.kernel(stubs.IDLE)
AN_HOUR_NS = 3600 * 10**9


def aged(path: Path, content: bytes = b"content") -> Path:
    """A file whose last change is long ago; the time of its inode's cannot be set, so it passes."""
    path.write_bytes(content)
    then = time.time_ns() - AN_HOUR_NS
    os.utime(path, ns=(then, then))
    while verified.known(path) is None:
        verified.digest_of(path)
    return path


def test_an_unchanged_file_is_known(tmp_path: Path) -> None:
    path = aged(tmp_path / "file")
    assert verified.known(path) == Digest.of(b"content")
    verified.touch(path)
    assert verified.known(path) == Digest.of(b"content")
    assert path.stat().st_mtime_ns > time.time_ns() - AN_HOUR_NS


def test_one_that_was_just_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    ahead = time.time_ns() + AN_HOUR_NS
    os.utime(path, ns=(ahead, ahead))
    assert verified.digest_of(path) == Digest.of(b"content")
    assert verified.known(path) is None


@pytest.mark.parametrize("how", ["written", "replaced", "its time set back", "touched and written"])
def test_a_change_of_the_same_length_is_found(tmp_path: Path, how: str) -> None:
    path = aged(tmp_path / "file")
    before = path.stat()
    if how == "touched and written":
        verified.touch(path)
    if how == "replaced":
        (tmp_path / "other").write_bytes(b"another")
        (tmp_path / "other").replace(path)
    else:
        path.write_bytes(b"another")
    if how == "its time set back":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert verified.known(path) is None
    assert verified.digest_of(path) == Digest.of(b"another")


def test_an_image_that_is_known_is_taken_as_it_is_here(tmp_path: Path) -> None:
    store, source = ImageStore(tmp_path / "images"), aged(tmp_path / "its.img", IMAGE)
    info = store.put_file(source)
    assert store.put_file(source) == info == store.info(info.digest)
    store.remove(info.digest)
    assert store.put_file(source) == info
    assert store.load(info.digest) == IMAGE


def test_a_damaged_copy_of_a_known_image_is_put_again(tmp_path: Path) -> None:
    store, source = ImageStore(tmp_path / "images"), aged(tmp_path / "its.img", IMAGE)
    kept = store.path(store.put_file(source).digest)
    kept.chmod(0o644)
    kept.write_bytes(IMAGE[:-1] + bytes([IMAGE[-1] ^ 1]))
    store.put_file(source)
    assert kept.read_bytes() == IMAGE
