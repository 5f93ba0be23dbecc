"""A saved VM's program: its image and its snapshot together."""

from __future__ import annotations

from pathlib import Path

from radics_mesh.debug.image import Debuggable, read_image
from radics_mesh.debug.memory import Ram
from radics_mesh.debug.parked_guest import ParkedGuest
from radics_mesh.errors import UsageError
from radics_mesh.ids import Digest
from radics_mesh.vmm import images
from radics_mesh.vmm.image import loaded_pages
from radics_mesh.vmm.snapshot import Snapshot


def load_saved(image_path: Path, snapshot_path: Path) -> tuple[Debuggable, ParkedGuest]:
    """Blocks. UsageError: no such files, or not of one VM. WireError: they make no sense."""
    image = images.read(image_path)
    try:
        snapshot = Snapshot.read(snapshot_path.read_bytes())
    except OSError as error:
        raise UsageError(f"{snapshot_path}: {error.strerror}") from error
    manifest = snapshot.manifest
    if manifest.image != Digest.of(image):
        raise UsageError(f"{snapshot_path.name} is of image {manifest.image.short}, another one")
    debuggable = read_image(image)
    pages = {**loaded_pages(image, manifest.memory_bytes), **dict(snapshot.pages())}
    architecture = debuggable.program.architecture
    return debuggable, ParkedGuest(Ram(pages, manifest.memory_bytes), architecture)
