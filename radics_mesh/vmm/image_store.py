"""Images on this node, each under the hash of its content, within a quota.

A file is complete and true under its name or it is not there: written durably, checked again when
it is loaded. What came damaged, or was damaged on its medium, is never started.

  <digest>.img        the image
  <digest>.manifest   what its builder signed of it (radics_mesh.vmm.image_manifest), if it came
  <digest>.pinned     empty: never collected

When room is needed, images that no VM here uses and nobody pinned go, those first that have not
been used for longest. Then a new one is refused; nothing that is in use is ever dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from radics_mesh.clock import Wall
from radics_mesh.durable import sync_directory, write_durably
from radics_mesh.errors import CapacityError, GuestError, MeshError, UsageError, WireError
from radics_mesh.ids import Digest
from radics_mesh.membership import Verifier
from radics_mesh.vmm import images, verified
from radics_mesh.vmm.architecture import Architecture
from radics_mesh.vmm.image import PAGE_BYTES, architecture_of
from radics_mesh.vmm.image_manifest import SignedManifest
from radics_mesh.vmm.images import ImageInfo, inspect

QUOTA_BYTES = 1 << 30
_SUFFIX = ".img"


@dataclass(frozen=True)
class Held:
    """An image that is here; `used_at` in Unix seconds."""

    digest: Digest
    size_bytes: int
    pinned: bool
    used_at: float


class ImageStore:
    """A directory of images. Blocking; an image is a few megabytes.

    `in_use` tells which images must not go; whoever runs VMs sets it.
    """

    def __init__(self, directory: Path, quota_bytes: int = QUOTA_BYTES) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.quota_bytes = quota_bytes
        self.in_use: Callable[[], Collection[Digest]] = tuple
        self._directory = directory
        self._infos: dict[Digest, ImageInfo] = {}

    # --- putting and loading ---

    def put(self, content: bytes) -> ImageInfo:
        """Keep an image durably. UsageError: it is none. CapacityError: no room."""
        info = inspect(content)
        if not self._is_whole(info.digest):
            self.make_room(info.size_bytes, but=info.digest)
            # QEMU opens it again as another user.
            write_durably(self.path(info.digest), content, mode=0o444)
        self._touch(info.digest)
        self._infos[info.digest] = info
        return info

    def put_file(self, path: Path) -> ImageInfo:
        """As `put`, of a user's file, which is not read again when it is known and unchanged."""
        return self._known(path) or self.put(images.read(path, lambda p: verified.read(p)[1]))

    def _known(self, path: Path) -> ImageInfo | None:
        try:
            digest = verified.known(path)
            if digest is None or verified.known(self.path(digest)) != digest:
                return None
            self._touch(digest)
        except OSError:  # who reads it says what is wrong with it
            return None
        return self._infos.get(digest)

    def info(self, digest: Digest) -> ImageInfo:
        """Of an image that is here; errors as `load`, and UsageError: it is none."""
        known = self._infos.get(digest)
        if known is None:
            known = self._infos[digest] = inspect(self.load(digest))
        return known

    def put_named(self, content: bytes, digest: Digest) -> ImageInfo:
        """As `put`, for what came from a peer; WireError when it is another content."""
        if Digest.of(content) != digest:
            raise WireError(f"image {digest.short} came altered")
        return self.put(content)

    def path(self, digest: Digest) -> Path:
        """Where the image is, or would be."""
        return self._directory / f"{digest.hex()}{_SUFFIX}"

    def holds(self, digest: Digest) -> bool:
        return self.path(digest).exists()

    def load(self, digest: Digest) -> bytes:
        """The content, read now. UsageError: not here. GuestError: damaged on this medium."""
        try:
            found, content = verified.read(self.path(digest))
        except FileNotFoundError as error:
            raise UsageError(f"image {digest.short} is not on this node") from error
        if found != digest:
            raise GuestError(f"image {digest.short} is damaged on disk")
        return content

    def checked_path(self, digest: Digest) -> Path:
        """For QEMU to boot from; errors as `load`. One that was checked is not read again while it
        is unchanged."""
        path = self.path(digest)
        if not path.exists() or verified.known(path) != digest:
            self.load(digest)
        self._touch(digest)
        return path

    def architecture(self, digest: Digest) -> Architecture:
        """Errors as `load`; but only the first bytes are looked at."""
        try:
            with self.path(digest).open("rb") as file:
                return architecture_of(file.read(PAGE_BYTES))
        except FileNotFoundError as error:
            raise UsageError(f"image {digest.short} is not on this node") from error
        except WireError as error:
            raise GuestError(f"image {digest.short} is damaged on disk") from error

    # --- what is here ---

    def digests(self) -> list[Digest]:
        found = []
        for path in sorted(self._directory.glob(f"*{_SUFFIX}")):
            raw = bytes.fromhex(path.stem) if _is_hex_digest(path.stem) else b""
            if raw:
                found.append(Digest(raw))
        return found

    def held(self) -> list[Held]:
        """All that is here, in the order of last use, the latest first."""
        found = []
        for digest in self.digests():
            status = self.path(digest).stat()
            pinned = self._pin(digest).exists()
            found.append(Held(digest, status.st_size, pinned, status.st_mtime))
        return sorted(found, key=lambda image: image.used_at, reverse=True)

    def find(self, text: str) -> Digest:
        """An image that is here by its digest in hex, or the first digits; UsageError otherwise."""
        matches = [d for d in self.digests() if len(text) >= 4 and d.hex().startswith(text.lower())]
        if len(matches) > 1:
            raise UsageError(f"{len(matches)} images here begin with {text}; give more digits")
        if not matches:
            raise UsageError(f"no image {text[:80]} on this node")
        return matches[0]

    # --- manifests and pins ---

    def describe(self, signed: SignedManifest) -> None:
        """Keep what is signed of an image, durably."""
        write_durably(self._manifest(signed.manifest.image), signed.pack())

    def manifest(self, digest: Digest, verifier: Verifier, now: Wall) -> SignedManifest | None:
        """None: none is here, or it does not hold (any more: its signer may have been excluded)."""
        try:
            signed = SignedManifest.parse(self._manifest(digest).read_bytes(), verifier, now)
        except (OSError, MeshError):
            return None
        return signed if signed.manifest.image == digest else None

    def pin(self, digest: Digest, *, pinned: bool) -> None:
        """Durably. UsageError when it is not here."""
        if not self.holds(digest):
            raise UsageError(f"image {digest.short} is not on this node")
        if pinned:
            write_durably(self._pin(digest), b"")
        else:
            self._pin(digest).unlink(missing_ok=True)
            sync_directory(self._directory)

    # --- room ---

    def used_bytes(self) -> int:
        return sum(image.size_bytes for image in self.held())

    def make_room(self, size_bytes: int, but: Digest | None = None) -> list[Digest]:
        """Drop what may go until so much fits; what went. CapacityError: it does not fit."""
        held = [image for image in self.held() if image.digest != but]
        free = self.quota_bytes - sum(image.size_bytes for image in held)
        needed = set(self.in_use())
        idle = [image for image in held if not image.pinned and image.digest not in needed]
        if free + sum(image.size_bytes for image in idle) < size_bytes:
            raise CapacityError(
                f"an image of {size_bytes} bytes does not fit: {max(0, free)} of"
                f" {self.quota_bytes} bytes for images are free, the rest is in use or pinned"
            )
        gone: list[Digest] = []
        while free < size_bytes:
            oldest = idle.pop()
            self.remove(oldest.digest)
            free += oldest.size_bytes
            gone.append(oldest.digest)
        return gone

    def drop(self, digest: Digest) -> None:
        """A user's wish. UsageError: not here, pinned, or a VM here uses it."""
        if not self.holds(digest):
            raise UsageError(f"image {digest.short} is not on this node")
        if self._pin(digest).exists():
            raise UsageError(f"image {digest.short} is pinned; unpin it first")
        if digest in self.in_use():
            raise UsageError(f"image {digest.short} is in use by a VM here")
        self.remove(digest)

    def remove(self, digest: Digest) -> None:
        """Durably, whatever it is needed for; a no-op when it is not here."""
        self._infos.pop(digest, None)
        for path in (self._pin(digest), self._manifest(digest), self.path(digest)):
            path.unlink(missing_ok=True)
        sync_directory(self._directory)

    # --- inside ---

    def _manifest(self, digest: Digest) -> Path:
        return self._directory / f"{digest.hex()}.manifest"

    def _pin(self, digest: Digest) -> Path:
        return self._directory / f"{digest.hex()}.pinned"

    def _touch(self, digest: Digest) -> None:
        """Its time of last use. Not synced: after power loss another image may go first."""
        verified.touch(self.path(digest))

    def _is_whole(self, digest: Digest) -> bool:
        try:
            return verified.digest_of(self.path(digest)) == digest
        except FileNotFoundError:
            return False


def _is_hex_digest(text: str) -> bool:
    return len(text) == 2 * Digest.LENGTH and all(c in "0123456789abcdef" for c in text)
