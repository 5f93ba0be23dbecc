"""The image store: true under its name or not there."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.errors import GuestError, UsageError, WireError
from radics_mesh.ids import Digest
from radics_mesh.vmm import images, probe
from radics_mesh.vmm.architecture import AARCH64, X86_64
from radics_mesh.vmm.image_store import ImageStore
from radics_mesh.vmm.images import inspect
from tests.vmm import stubs

IMAGE = probe.kernel(stubs.IDLE)


def test_what_is_put_is_loaded(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    info = store.put(IMAGE)
    assert (info.architecture, info.size_bytes) == ("x86_64", len(IMAGE))
    assert store.architecture(info.digest) is X86_64
    assert info.digest == Digest.of(IMAGE)
    assert store.load(info.digest) == IMAGE
    assert store.digests() == [info.digest]
    assert store.put(IMAGE) == info
    assert store.checked_path(info.digest).stat().st_mode & 0o777 == 0o444
    store.remove(info.digest)
    assert not store.holds(info.digest)
    with pytest.raises(UsageError, match="not on this node"):
        store.load(info.digest)


def test_damage_on_the_medium_is_found_and_put_repairs_it(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    digest = store.put(IMAGE).digest
    store.path(digest).chmod(0o644)
    store.path(digest).write_bytes(IMAGE[:-1])
    with pytest.raises(GuestError, match="damaged on disk"):
        store.checked_path(digest)
    store.put(IMAGE)
    assert store.load(digest) == IMAGE


def test_an_altered_image_from_a_peer_is_refused(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    with pytest.raises(WireError, match="altered"):
        store.put_named(IMAGE + b"x", Digest.of(IMAGE))
    assert store.digests() == []


def test_other_files_in_the_directory_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "notes.img").write_bytes(b"")
    (tmp_path / f"{'z' * 64}.img").write_bytes(b"")
    assert ImageStore(tmp_path).digests() == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"#!/bin/sh\n",
        IMAGE[:63],
        IMAGE[:70],
        IMAGE[:-1],
        Path("/bin/true").read_bytes(),
        IMAGE[:18] + b"\xb7\x00" + IMAGE[20:],
        probe.ARM64[:63],
        probe.ARM64[:-1],
        probe.ARM64 + b"\0",
        probe.ARM64[:8] + bytes(8) + probe.ARM64[16:],
    ],
    ids=[
        *("empty", "script", "cut header", "cut segments", "cut code", "plain program", "aarch64"),
        *("cut Image header", "cut Image", "longer Image", "Image at the firmware's place"),
    ],
)
def test_garbage_is_no_image(content: bytes) -> None:
    with pytest.raises(UsageError, match="not a RaDiCS image"):
        inspect(content)


@given(st.binary(max_size=300), st.integers(0, 200))
def test_no_bytes_break_inspect(garbage: bytes, keep: int) -> None:
    for image, architecture in ((IMAGE, "x86_64"), (probe.ARM64, "aarch64")):
        for content in (garbage, image[:keep] + garbage, image[:keep] + garbage + image[keep:]):
            with suppress(UsageError):
                assert inspect(content).architecture == architecture


def test_an_image_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    info = store.put(probe.ARM64)
    assert info.architecture == "aarch64"
    assert store.architecture(info.digest) is AARCH64
    with pytest.raises(UsageError, match="not on this node"):
        store.architecture(Digest.of(b"other"))


def test_an_unreadable_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        images.read(tmp_path / "missing.img")
    with pytest.raises(UsageError, match="Is a directory"):
        images.read(tmp_path)
