"""Replicas: stateless VMs of one name, each with an id of its own, any number of them.

Nothing is handed over between replicas, so nothing can be lost or live twice: one that is missing
is started anew from the image, and one that shall be elsewhere is started there and stopped here.
What is sent to the name goes to one of them, this node's own before others.

    START    request, image, name, settings       run one of these, please
    STARTED  request, vm id (empty: refused), reason

One bundle each, msgpack, to dtn://<node>/replicas. A request that comes twice starts one.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
import trio

from radics_mesh.codec import Fields, pack
from radics_mesh.dtn.agent import Agent, Delivery
from radics_mesh.errors import CapacityError, LinkError, MeshError, PeerError, UsageError, WireError
from radics_mesh.hosting.papers import Settings
from radics_mesh.hosting.policy import Survival
from radics_mesh.hosting.service import Hosting
from radics_mesh.hosting.status import VmStatus
from radics_mesh.ids import Digest, NodeId, VmId
from radics_mesh.images.service import Images

log = structlog.get_logger(__name__)

VERSION = 1
SERVICE = "replicas"
COUNT_MAX = 64
# How long a node may take to fetch the image and start it.
ANSWER_S = 120.0
_REQUEST_BYTES = 8
_REMEMBERED = 256


@dataclass(frozen=True)
class Start:
    request: bytes
    image: Digest
    name: str
    settings: Settings


@dataclass(frozen=True)
class Started:
    """`vm_id` None: `reason` says why not."""

    request: bytes
    vm_id: VmId | None
    reason: str = ""


def encode(message: Start | Started) -> bytes:
    if isinstance(message, Start):
        settings = message.settings.pack()
        fields = ["start", message.request, bytes(message.image), message.name, settings]
    else:
        fields = ["started", message.request, bytes(message.vm_id or b""), message.reason[:200]]
    return pack([VERSION, *fields])


def decode(data: bytes) -> Start | Started:
    """WireError for anything that `encode` would not make."""
    fields = Fields.parse(data, "replica message")
    fields.integer(VERSION, VERSION)
    name, request = fields.text(limit=16), fields.blob(_REQUEST_BYTES)
    message: Start | Started
    if name == "start":
        image, called = Digest(fields.blob(32)), fields.text(limit=64)
        message = Start(request, image, called, Settings.parse(fields.blob()))
        if message.settings.policy.survival is not Survival.REPLICATED:
            raise WireError("replica message: not of a replicated VM")
    elif name == "started":
        vm_id = fields.blob(limit=20)
        message = Started(request, VmId(vm_id) if vm_id else None, fields.text(limit=1000))
    else:
        raise WireError(f"replica message of an unknown type {name!r}")
    fields.end()
    return message


class Replicas:
    def __init__(self, me: NodeId, agent: Agent, hosting: Hosting, images: Images) -> None:
        self._me = me
        self._agent = agent
        self._hosting = hosting
        self._images = images
        self._waiting: dict[bytes, trio.MemorySendChannel[Started]] = {}
        # Answers that were given, by who asked.
        self._given: OrderedDict[tuple[NodeId, bytes], Started | None] = OrderedDict()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:

            async def handle(delivery: Delivery) -> None:
                await self._handle(delivery, nursery)

            registration = self._agent.register(self._me.service(SERVICE), handle)
            task_status.started()
            try:
                await trio.sleep_forever()
            finally:
                registration.close()

    async def spread(self, name: str, nodes: Iterable[NodeId], count: int) -> int:
        """Start up to `count` more replicas of one that is here, one a node, in this order.

        Returns how many there are; LinkError when not one could be started.
        """
        vm, started, reasons = self._one_here(name), 0, list[str]()
        for node in nodes:
            if started == count:
                break
            try:
                await self._start_at(node, vm)
                started += 1
            except MeshError as error:
                reasons.append(f"{node.short}: {error}")
        if started == 0 and count:
            raise LinkError(
                f"no other node runs {name}: " + ("; ".join(reasons) or "none is known")
            )
        return started

    async def move(self, name: str, target: NodeId) -> None:
        """Another one is started there, then the one here is stopped."""
        vm = self._one_here(name)
        await self._start_at(target, vm)
        await self._hosting.stop(vm.vm_id.text)

    def is_replica(self, name: str) -> bool:
        try:
            return self._hosting.vm(name).policy.survival is Survival.REPLICATED
        except UsageError:
            return False

    def _one_here(self, name: str) -> VmStatus:
        vm = self._hosting.vm(name)
        if vm.policy.survival is not Survival.REPLICATED:
            raise UsageError(f"{name} is not replicated: its policy is {vm.policy}")
        return vm

    async def _start_at(self, node: NodeId, vm: VmStatus) -> VmId:
        settings = self._hosting.tenant(vm.vm_id).row.settings
        message = Start(os.urandom(_REQUEST_BYTES), vm.image, vm.name, settings)
        sender, answers = trio.open_memory_channel[Started](1)
        self._waiting[message.request] = sender
        try:
            await self._agent.send(node.service(SERVICE), encode(message))
            with trio.move_on_after(ANSWER_S):
                answer = await answers.receive()
                if answer.vm_id is None:
                    raise PeerError(answer.reason)
                return answer.vm_id
        finally:
            del self._waiting[message.request]
        raise LinkError(f"no answer within {ANSWER_S:g} s")

    async def _handle(self, delivery: Delivery, nursery: trio.Nursery) -> None:
        sender = delivery.signer
        if sender is None:
            raise PeerError("a replica message without a member's signature")
        message = decode(delivery.payload)
        if isinstance(message, Start):
            nursery.start_soon(self._take, message, sender)
        elif (waiting := self._waiting.get(message.request)) is not None:
            try:
                waiting.send_nowait(message)
            except trio.WouldBlock:
                log.debug("a second answer", request=message.request.hex())

    async def _take(self, message: Start, sender: NodeId) -> None:
        key = (sender, message.request)
        if key in self._given:
            answer = self._given[key]  # None: it is being started
        else:
            self._given[key] = None
            answer = self._given[key] = await self._start(message, sender)
            if len(self._given) > _REMEMBERED:
                self._given.popitem(last=False)
        if answer is None:
            return
        try:
            await self._agent.send(sender.service(SERVICE), encode(answer))
        except CapacityError as error:
            log.warning("who wants a replica gets no answer", reason=str(error))

    async def _start(self, message: Start, sender: NodeId) -> Started:
        settings = message.settings
        try:
            await self._images.pull(message.image, [sender])
            vm = await self._hosting.run_vm(
                message.image,
                message.name,
                sources=settings.sources,
                arguments=settings.arguments,
                environment=settings.environment,
                memory_bytes=settings.memory_bytes,
                pinned=settings.pinned,
                policy=settings.policy,
                conduct=settings.conduct,
            )
        except (MeshError, OSError) as error:
            return Started(message.request, None, str(error))
        return Started(message.request, vm.vm_id)
