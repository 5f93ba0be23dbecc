"""What the control socket answers about images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trio

from radics_mesh.control_shapes.kept import ImageInfo, ImageRow
from radics_mesh.errors import UsageError
from radics_mesh.hosting.conduct import NO
from radics_mesh.hosting.orders import DEFAULT_MEMORY_BYTES
from radics_mesh.hosting.policy import Survival, check_choices
from radics_mesh.ids import Digest
from radics_mesh.images.download import Download
from radics_mesh.node.services import Services
from radics_mesh.records import Kind
from radics_mesh.vmm import images as image_files
from radics_mesh.vmm.image_manifest import ImageManifest, SignedManifest, Wishes
from radics_mesh.vmm.image_store import Held

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class Order:
    """What is to be run, complete."""

    image: Path | Digest
    sources: Sequence[str]
    arguments: Sequence[str]
    memory_bytes: int
    restart: str
    policy: str


async def ordered(node: Services, image: str, wishes: Wishes) -> Order:
    """With what the image's manifest says where the user says nothing; it is fetched if need be."""
    manifest = await _signed(node, image)
    said = wishes if manifest is None else _filled(wishes, manifest)
    return Order(
        manifest.image if manifest else Path(image),
        said.sources,
        said.arguments,
        said.memory_bytes or DEFAULT_MEMORY_BYTES,
        said.restart or NO,
        said.policy or Survival.AT_MOST_ONE.value,
    )


async def _signed(node: Services, image: str) -> ImageManifest | None:
    """None: a file without a manifest. Else the image is in the store on return."""
    if image.startswith("/"):
        signed = await node.images.take(Path(image))
        return signed.manifest if signed else None
    digest = _digest(node, image)
    await node.images.pull(digest)
    return (await node.images.manifest(digest)).manifest


def _filled(wishes: Wishes, manifest: ImageManifest) -> Wishes:
    return Wishes(
        memory_bytes=wishes.memory_bytes or manifest.memory_bytes,
        arguments=wishes.arguments or manifest.arguments,
        sources=wishes.sources or manifest.sources,
        restart=wishes.restart or manifest.restart,
        policy=wishes.policy or manifest.policy,
    )


class ImageRequests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    async def images(self) -> Answer:
        store = self._node.images.store
        held = await trio.to_thread.run_sync(store.held)
        coming = self._node.images.downloads()
        here = {image.digest for image in held} | {d.image for d in coming}
        rows = [
            *(self._held_row(image) for image in held),
            *(self._coming_row(download) for download in coming),
            *(self._far_row(d) for d in sorted(_known(self._node)) if d not in here),
        ]
        used = sum(image.size_bytes for image in held)
        return {"images": rows, "used": used, "quota": store.quota_bytes}

    async def image(self, image: str) -> Answer:
        digest = self._node.images.store.find(image)
        return self._info(await self._node.images.manifest(digest))

    async def image_add(
        self,
        file: str,
        name: str,
        memory_bytes: int,
        arguments: list[str],
        sources: list[str],
        restart: str,
        policy: str,
        pin: bool,
    ) -> Answer:
        """Signed by its builder if that left its manifest beside it, and nothing else is wished."""
        path = Path(file)
        wishes = Wishes(name, memory_bytes, tuple(arguments), tuple(sources), restart, policy)
        check_choices(restart, policy)
        if not wishes and not name and (signed := await self._node.images.take(path, pin=pin)):
            return self._info(signed)
        content = await trio.to_thread.run_sync(image_files.read, path)
        wishes = replace(wishes, name=name or path.stem)
        return self._info(await self._node.images.add(content, wishes, pin=pin))

    async def image_rm(self, image: str) -> Answer:
        coming = [d.image for d in self._node.images.downloads() if d.image.hex().startswith(image)]
        digest = coming[0] if coming else self._node.images.store.find(image)
        await self._node.images.remove(digest)
        return {"image": digest.hex()}

    async def image_pin(self, image: str, pinned: bool) -> Answer:
        digest = self._node.images.store.find(image)
        await trio.to_thread.run_sync(lambda: self._node.images.store.pin(digest, pinned=pinned))
        return {"image": digest.hex()}

    async def image_pull(self, image: str, pin: bool) -> Answer:
        digest = _digest(self._node, image)
        await self._node.images.pull(digest, pin=pin)
        return {"image": digest.hex()}

    async def image_push(self, image: str, to: str, pin: bool) -> Answer:
        digest = self._node.images.store.find(image)
        target = self._node.names.node(to)
        if target == self._node.me.node_id:
            raise UsageError("the image is on this node already")
        await self._node.images.push(digest, target, pin=pin)
        return {"image": digest.hex()}

    # --- rows -----------------------------------------------------------------------------------

    def _held_row(self, held: Held) -> ImageRow:
        store, me = self._node.images.store, self._node.me
        signed = store.manifest(held.digest, me.verifier, me.clock.wall())
        users = [
            vm.name
            for vm in self._node.hosting.vms()
            if vm.image == held.digest and held.digest in store.in_use()
        ]
        return {
            "image": held.digest.hex(),
            "name": signed.manifest.name if signed else "",
            "arch": store.architecture(held.digest).name,
            "size": held.size_bytes,
            "state": "here",
            "have": 0,
            "pieces": 0,
            "pinned": held.pinned,
            "vms": users,
            "holders": self._holders(held.digest),
            "used_s": max(0.0, me.clock.wall() - held.used_at),
        }

    def _coming_row(self, download: Download) -> ImageRow:
        manifest = download.signed.manifest if download.signed else None
        have, pieces = download.pieces
        return {
            "image": download.image.hex(),
            "name": manifest.name if manifest else "",
            "arch": manifest.architecture if manifest else "",
            "size": manifest.size_bytes if manifest else 0,
            "state": "coming",
            "have": have,
            "pieces": pieces,
            "pinned": download.pin,
            "vms": [],
            "holders": self._holders(download.image),
            "used_s": None,
        }

    def _far_row(self, digest: Digest) -> ImageRow:
        entries = self._node.directory.known(Kind.IMAGE, digest.hex())
        body = entries[0].record.body if entries else {}
        arch, size = body.get("arch"), body.get("size")
        return {
            "image": digest.hex(),
            "name": "",
            "arch": arch if isinstance(arch, str) else "",
            "size": size if isinstance(size, int) else 0,
            "state": "elsewhere",
            "have": 0,
            "pieces": 0,
            "pinned": False,
            "vms": [],
            "holders": self._holders(digest),
            "used_s": None,
        }

    def _holders(self, digest: Digest) -> list[str]:
        me = self._node.me.node_id
        entries = self._node.directory.known(Kind.IMAGE, digest.hex())
        nodes = [e.record.publisher for e in entries if e.record.publisher != me and not e.stale]
        return sorted(self._node.names.of(node) for node in nodes)

    def _info(self, signed: SignedManifest) -> ImageInfo:
        manifest = signed.manifest
        held = {image.digest: image for image in self._node.images.store.held()}
        return {
            "image": manifest.image.hex(),
            "name": manifest.name,
            "arch": manifest.architecture,
            "size": manifest.size_bytes,
            "pieces": manifest.pieces,
            "builder": self._node.names.of(signed.builder),
            "created": float(manifest.created),
            "memory": manifest.memory_bytes,
            "arguments": list(manifest.arguments),
            "sources": list(manifest.sources),
            "restart": manifest.restart,
            "policy": manifest.policy,
            "pinned": manifest.image in held and held[manifest.image].pinned,
        }


def _known(node: Services) -> set[Digest]:
    """Images that somebody states to have."""
    subjects = (entry.record.subject for entry in node.directory.known(Kind.IMAGE))
    return {Digest(bytes.fromhex(text)) for text in subjects if _is_digest(text)}


def _digest(node: Services, text: str) -> Digest:
    """By digest or first digits, of an image that is here or known elsewhere; a whole digest may be
    of one that nobody has told of yet."""
    digits = text.lower()
    if _is_digest(digits):
        return Digest(bytes.fromhex(digits))
    every = _known(node) | set(node.images.store.digests())
    matches = [d for d in every if len(digits) >= 4 and d.hex().startswith(digits)]
    if len(matches) != 1:
        known = "no image" if not matches else f"{len(matches)} images"
        raise UsageError(f"{known} known here with a digest that begins with {text[:80]!r}")
    return matches[0]


def _is_digest(text: str) -> bool:
    return len(text) == 2 * Digest.LENGTH and set(text) <= set("0123456789abcdef")
