"""What is signed of an image, and how it is to be run."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import pack, unpack
from radics_mesh.errors import WireError
from radics_mesh.ids import Digest
from radics_mesh.vmm.image_manifest import ImageManifest

PLAIN = ImageManifest(
    image=Digest.of(b"image"),
    architecture="x86_64",
    size_bytes=300_000,
    name="app",
    memory_bytes=16 << 20,
    arguments=("one",),
    sources=("clock",),
    created=1_800_000_000,
    hashes=bytes(64),
)
CHOSEN = replace(PLAIN, restart="on-failure:3", policy="restartable:60")


@pytest.mark.parametrize("manifest", [PLAIN, CHOSEN, replace(PLAIN, policy="replicated")])
def test_a_manifest_survives_the_wire(manifest: ImageManifest) -> None:
    assert ImageManifest.parse(manifest.pack()) == manifest


def test_what_says_nothing_of_policies_is_written_as_ever() -> None:
    fields = unpack(PLAIN.pack())
    assert isinstance(fields, list | tuple)
    assert (fields[0], len(fields)) == (1, 10)
    with pytest.raises(WireError, match="without a reason"):
        ImageManifest.parse(pack([2, *fields[1:], "", ""]))


@given(st.integers(0, 400), st.integers(0, 255))
def test_any_byte_may_be_another(position: int, value: int) -> None:
    data = bytearray(CHOSEN.pack())
    data[position % len(data)] = value
    with suppress(WireError):
        ImageManifest.parse(bytes(data))
    with pytest.raises(WireError):
        ImageManifest.parse(CHOSEN.pack()[: position % len(data)])
