"""The pieces of images that are not whole here yet, on disk: a restarted node goes on with them.

<digest>/manifest   what is signed of it
<digest>/pinned     empty: to be pinned once it is whole
<digest>/<index>    a piece, checked before it was written
"""

from __future__ import annotations

import shutil
from pathlib import Path

from radics_mesh.clock import Wall
from radics_mesh.durable import sync_directory, write_durably
from radics_mesh.errors import MeshError
from radics_mesh.ids import Digest
from radics_mesh.membership import Verifier
from radics_mesh.vmm.image_manifest import SignedManifest


class Partial:
    """A directory of them. Blocking. OSError: what was to be kept is not."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory

    def begin(self, signed: SignedManifest, *, pin: bool) -> None:
        where = self._where(signed.manifest.image)
        where.mkdir(exist_ok=True)
        if pin:
            write_durably(where / "pinned", b"")
        write_durably(where / "manifest", signed.pack())
        sync_directory(self._directory)

    def begun(self, verifier: Verifier, now: Wall) -> list[tuple[SignedManifest, bool]]:
        """Manifest and pin of each; those whose manifest does not hold (any more) are dropped."""
        found = []
        for where in sorted(self._directory.iterdir()):
            try:
                signed = SignedManifest.parse((where / "manifest").read_bytes(), verifier, now)
            except (OSError, MeshError):
                shutil.rmtree(where, ignore_errors=True)
                continue
            found.append((signed, (where / "pinned").exists()))
        return found

    def held(self, signed: SignedManifest) -> set[int]:
        """Numbers of the pieces that are here and true; what is not is removed."""
        manifest, held = signed.manifest, set()
        for path in self._where(manifest.image).iterdir():
            if not path.name.isdigit():
                continue
            index = int(path.name)
            if index < manifest.pieces and manifest.is_piece(index, path.read_bytes()):
                held.add(index)
            else:
                path.unlink()
        return held

    def keep(self, image: Digest, index: int, data: bytes) -> None:
        """Durably."""
        write_durably(self._where(image) / str(index), data)

    def whole(self, signed: SignedManifest) -> bytes:
        """The content, once no piece lacks."""
        where = self._where(signed.manifest.image)
        return b"".join((where / str(i)).read_bytes() for i in range(signed.manifest.pieces))

    def drop(self, image: Digest) -> None:
        shutil.rmtree(self._where(image), ignore_errors=True)
        sync_directory(self._directory)

    def _where(self, image: Digest) -> Path:
        return self._directory / image.hex()
