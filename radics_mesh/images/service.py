"""Trio shell: the images of this node, and how they come from and go to others.

Only members are answered. An image that came without a manifest (by a VM's move, or put here by an
older version) is described by this node itself when somebody asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path

import structlog
import trio

from radics_mesh.directory.service import Directory
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.errors import CapacityError, LinkError, MeshError, PeerError, UsageError
from radics_mesh.ids import Digest, NodeId
from radics_mesh.images.download import Download
from radics_mesh.images.messages import (
    Describe,
    Described,
    Lack,
    Message,
    Piece,
    Push,
    Taken,
    Want,
    encode,
    parse,
)
from radics_mesh.images.partial import Partial
from radics_mesh.me import Me
from radics_mesh.records import Kind
from radics_mesh.vmm import images
from radics_mesh.vmm.image_manifest import SignedManifest, Wishes, beside, cut, sign
from radics_mesh.vmm.image_store import ImageStore

log = structlog.get_logger(__name__)

SERVICE = "images"
# Images on their way here at once; more are refused.
DOWNLOADS_MAX = 32
# Requests for pieces that are being answered at once; the others are asked again.
ANSWERS_MAX = 64


class Images:
    """`path` is where pieces of images on their way are kept."""

    def __init__(
        self, *, path: Path, store: ImageStore, me: Me, agent: Agent, directory: Directory
    ) -> None:
        self.store = store
        self.counters: Counter[str] = Counter()
        self._me = me
        self._agent = agent
        self._directory = directory
        self._partial = Partial(path)
        self._downloads: dict[Digest, Download] = {}
        self._pushes: dict[tuple[NodeId, Digest], trio.MemorySendChannel[Taken]] = {}
        self._announced: set[Digest] = set()
        self._answering: set[tuple[NodeId, Digest]] = set()
        self._nursery: trio.Nursery | None = None
        self._send_arrived, self._arrived = trio.open_memory_channel[Digest](DOWNLOADS_MAX)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; what was on its way in the last run goes on."""
        registration = None
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self._announce()
                verifier, now = self._me.verifier, self._me.clock.wall()
                for signed, pin in await trio.to_thread.run_sync(
                    self._partial.begun, verifier, now
                ):
                    await self._begin(signed.manifest.image, pin=pin).begin(signed)
                registration = self._agent.register(self._me.node_id.service(SERVICE), self._handle)
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None
            if registration is not None:
                await registration.end()

    # --- what users and VMs want ----------------------------------------------------------------

    async def add(self, content: bytes, wishes: Wishes, *, pin: bool = False) -> SignedManifest:
        """Keep an image and sign for it. UsageError: it is none. CapacityError: no room."""

        created = int(self._me.clock.wall())

        def keep() -> SignedManifest:
            info = self.store.put(content)
            signed = sign(content, info, wishes, created, self._me.identity, self._me.chain)
            self.store.describe(signed)
            if pin:
                self.store.pin(info.digest, pinned=True)
            return signed

        signed = await trio.to_thread.run_sync(keep)
        await self._announce()
        return signed

    async def take(self, file: Path, *, pin: bool = False) -> SignedManifest | None:
        """Keep an image with what its builder signed of it, which lies beside it; None: nothing
        does. UsageError: it is none, or what lies there does not hold here."""
        where, verifier, now = beside(file), self._me.verifier, self._me.clock.wall()

        def keep() -> SignedManifest | None:
            if not where.is_file():
                return None
            try:
                signed = SignedManifest.parse(where.read_bytes(), verifier, now)
            except MeshError as error:
                raise UsageError(
                    f"{where}: {error}; without that file this node signs for the image"
                ) from error
            content = images.read(file)
            if Digest.of(content) != signed.manifest.image:
                raise UsageError(f"{where} is of another image than {file.name}")
            self.store.put(content)
            self.store.describe(signed)
            if pin:
                self.store.pin(signed.manifest.image, pinned=True)
            return signed

        signed = await trio.to_thread.run_sync(keep)
        if signed is not None:
            await self._announce()
        return signed

    def want(self, image: Digest, holders: Iterable[NodeId] = (), *, pin: bool = False) -> Download:
        """Begin to fetch an image, or join in. CapacityError: too many are on their way."""
        download = self._downloads.get(image) or self._begin(image, pin=pin)
        download.pin |= pin
        for node in holders:
            download.may_have(node)
        return download

    def seek(self, image: Digest, holder: NodeId) -> None:
        """Have it fetched; of what comes of that `tell` tells."""
        try:
            self.want(image, [holder])
        except (CapacityError, UsageError) as error:  # who needs it comes again
            log.warning("image not sought", image=image.short, reason=str(error))

    async def tell(self, came: Callable[[Digest], Awaitable[None]]) -> None:
        """Tell of each image that has come, until cancelled."""
        async for image in self._arrived:
            await came(image)

    async def pull(
        self, image: Digest, holders: Iterable[NodeId] = (), *, pin: bool = False
    ) -> None:
        """Returns when it is here. LinkError, CapacityError, WireError: it is not.

        Cancelling stops only the waiting.
        """
        if not self.store.holds(image):
            download = self.want(image, holders, pin=pin)
            await download.ended.wait()
            if download.failure is not None:
                raise download.failure
            if not self.store.holds(image):
                raise LinkError(f"image {image.short} has not come: the node is being stopped")
        if pin:
            self.store.pin(image, pinned=True)

    async def push(self, image: Digest, to: NodeId, *, pin: bool = False) -> None:
        """Returns when the other node has it. LinkError with its reason: it does not take it."""
        signed = await self._signed(image)
        send, receive = trio.open_memory_channel[Taken](1)
        self._pushes[to, image] = send
        try:
            await self._say(to, Push(image, signed.pack(), pin))
            taken = await receive.receive()
        finally:
            self._pushes.pop((to, image), None)
        if taken.reason:
            raise LinkError(f"{to.short} does not take the image: {taken.reason}")

    async def remove(self, image: Digest) -> None:
        """Also one that is on its way. UsageError: not here, pinned, or in use."""
        download = self._downloads.get(image)
        if download is not None:
            download.failure = LinkError(f"image {image.short} is not wanted any more")
            download.scope.cancel()
            return
        await trio.to_thread.run_sync(self.store.drop, image)
        await self._announce()

    def downloads(self) -> list[Download]:
        return list(self._downloads.values())

    async def manifest(self, image: Digest) -> SignedManifest:
        """What is signed of an image that is here; UsageError when it is not."""
        return await self._signed(image)

    # --- what other nodes say -------------------------------------------------------------------

    async def _handle(self, delivery: Delivery) -> None:
        sender = delivery.signer
        if sender is None:
            raise PeerError("a message about images without a member's signature")
        message = parse(delivery.payload)
        match message:
            case Describe():
                await self._describe(sender, message.image)
            case Want():
                self._answer(sender, message)
            case Push():
                await self._pushed(sender, message)
            case Taken():
                if (waiting := self._pushes.get((sender, message.image))) is not None:
                    waiting.send_nowait(message)
            case _:
                await self._forward(sender, message)

    async def _forward(self, sender: NodeId, message: Message) -> None:
        """To the download that it is about, if there is one (still)."""
        download = self._downloads.get(message.image)
        if download is None:
            return
        try:
            if isinstance(message, Described):
                signed = self._parse(message.signed)
                self._check_room(signed)
                await download.described(sender, signed)
            elif isinstance(message, Lack):
                download.lacking(sender)
            elif isinstance(message, Piece):
                await download.piece(sender, message)
        except PeerError:
            self.counters["altered"] += 1
            raise
        except (CapacityError, OSError) as error:
            download.failure = CapacityError(f"image {message.image.short}: {error}")
            download.scope.cancel()

    async def _describe(self, to: NodeId, image: Digest) -> None:
        try:
            signed = await self._signed(image)
        except MeshError:  # not here, or damaged on our medium
            await self._say(to, Lack(image))
        else:
            await self._say(to, Described(image, signed.pack()))

    def _answer(self, to: NodeId, want: Want) -> None:
        """Send pieces, in a task of its own, so that who asks for much keeps nobody waiting."""
        if (to, want.image) in self._answering or len(self._answering) >= ANSWERS_MAX:
            self.counters["unanswered"] += 1
            return
        self._answering.add((to, want.image))
        self._running().start_soon(self._send_pieces, to, want)

    async def _send_pieces(self, to: NodeId, want: Want) -> None:
        try:
            pieces = cut(await trio.to_thread.run_sync(self.store.load, want.image))
            for index in want.pieces:
                if index < len(pieces):
                    await self._say(to, Piece(want.image, index, pieces[index]))
        except MeshError:
            await self._say(to, Lack(want.image))
        finally:
            self._answering.discard((to, want.image))

    async def _pushed(self, sender: NodeId, push: Push) -> None:
        signed = self._parse(push.signed)
        if signed.manifest.image != push.image:
            raise PeerError("a push with the manifest of another image")
        try:
            if self.store.holds(push.image):
                if push.pin:
                    self.store.pin(push.image, pinned=True)
                await self._say(sender, Taken(push.image))
                return
            self._check_room(signed)
            download = self.want(push.image, pin=push.pin)
            download.pushers.add(sender)
            await download.described(sender, signed)
        except (CapacityError, OSError) as error:
            await self._say(sender, Taken(push.image, str(error) or "no room"))

    # --- inside ---------------------------------------------------------------------------------

    def _begin(self, image: Digest, *, pin: bool) -> Download:
        if len(self._downloads) >= DOWNLOADS_MAX:
            raise CapacityError(f"{DOWNLOADS_MAX} images are on their way here already")
        download = Download(image, self._partial, self._say, self._holders, pin=pin)
        self._downloads[image] = download
        self._running().start_soon(self._serve, download)
        return download

    async def _serve(self, download: Download) -> None:
        try:
            await download.run()
            if download.failure is None:
                await self._finish(download)
        except (MeshError, OSError) as error:
            download.failure = (
                error if isinstance(error, MeshError) else CapacityError(f"the image: {error}")
            )
            log.warning("image not fetched", image=download.image.short, reason=str(error))
        finally:
            self._downloads.pop(download.image, None)
            if download.failure is not None:  # else, when cancelled, it goes on in the next run
                self._partial.drop(download.image)
            download.ended.set()
        reason = str(download.failure or "")
        for node in download.pushers:
            await self._say(node, Taken(download.image, reason))

    async def _finish(self, download: Download) -> None:
        signed = download.signed
        assert signed is not None

        def keep() -> None:
            self.store.put_named(self._partial.whole(signed), download.image)
            self.store.describe(signed)
            if download.pin:
                self.store.pin(download.image, pinned=True)
            self._partial.drop(download.image)

        await trio.to_thread.run_sync(keep)
        self.counters["fetched"] += 1
        await self._announce()
        with suppress(trio.WouldBlock):  # nobody listens
            self._send_arrived.send_nowait(download.image)

    async def _holders(self, image: Digest) -> list[NodeId]:
        entries = await self._directory.lookup(Kind.IMAGE, image.hex())
        me = self._me.node_id
        return [e.record.publisher for e in entries if e.record.publisher != me]

    async def _signed(self, image: Digest) -> SignedManifest:
        """UsageError, GuestError as `ImageStore.load`."""

        me, now = self._me, self._me.clock.wall()

        def find() -> SignedManifest:
            content = self.store.load(image)
            signed = self.store.manifest(image, me.verifier, now)
            if signed is None:
                info = images.inspect(content)
                signed = sign(content, info, Wishes(), int(now), me.identity, me.chain)
                self.store.describe(signed)
            return signed

        return await trio.to_thread.run_sync(find)

    def _parse(self, packed: bytes) -> SignedManifest:
        return SignedManifest.parse(packed, self._me.verifier, self._me.clock.wall())

    def _check_room(self, signed: SignedManifest) -> None:
        if signed.manifest.size_bytes > self.store.quota_bytes:
            raise CapacityError(f"{signed.manifest.size_bytes} bytes are more than is kept here")

    async def _announce(self) -> None:
        """Tell the directory what is here, and what is not any more."""
        here = set(self.store.digests())
        for image in here - self._announced:
            try:
                arch = self.store.architecture(image).name
                size = self.store.path(image).stat().st_size
            except (MeshError, OSError):
                continue
            await self._directory.announce(Kind.IMAGE, image.hex(), {"size": size, "arch": arch})
        for image in self._announced - here:
            await self._directory.withdraw(Kind.IMAGE, image.hex())
        self._announced = here

    async def _say(self, to: NodeId, message: Message) -> None:
        """A full store is waited out elsewhere: whatever matters is said again."""
        bulk = isinstance(message, Piece)
        try:
            await self._agent.send(to.service(SERVICE), encode(message), priority=0 if bulk else 1)
        except CapacityError as error:
            self.counters["unsent"] += 1
            log.warning("not sent", to=to.short, reason=str(error))

    def _running(self) -> trio.Nursery:
        if self._nursery is None:
            raise UsageError("the node's images are not served yet")
        return self._nursery
