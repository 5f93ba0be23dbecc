"""What the control socket answers: one method for each name in control_api.REQUESTS."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any

import trio

from radics_mesh import __version__
from radics_mesh.control import ControlServer
from radics_mesh.control_api import REQUESTS
from radics_mesh.errors import UsageError
from radics_mesh.hosting.commit import Commit
from radics_mesh.hosting.conduct import Conduct
from radics_mesh.hosting.policy import Survival
from radics_mesh.node import rows, vm_rows
from radics_mesh.node.bundle_requests import BundleRequests
from radics_mesh.node.carry_requests import CarryRequests
from radics_mesh.node.checkpoint_requests import CheckpointRequests
from radics_mesh.node.directory_requests import DirectoryRequests
from radics_mesh.node.image_requests import ImageRequests, ordered
from radics_mesh.node.invite_requests import InviteRequests
from radics_mesh.node.life_requests import LifeRequests
from radics_mesh.node.member_requests import MemberRequests
from radics_mesh.node.message_requests import MessageRequests
from radics_mesh.node.move_requests import MoveRequests
from radics_mesh.node.peer_requests import PeerRequests
from radics_mesh.node.plan_requests import PlanRequests
from radics_mesh.node.recovery_requests import RecoveryRequests, chosen_policy, every_s
from radics_mesh.node.rotate_requests import RotateRequests
from radics_mesh.node.services import Services
from radics_mesh.node.snapshot_requests import SnapshotRequests
from radics_mesh.records import Kind
from radics_mesh.roles import Role
from radics_mesh.vmm.image_manifest import Wishes

EVENTS_IN_STATUS = 100
WHERE_WITHIN_S = 8.0
# They travel in the one frame that starts a guest.
WORDS_MAX_BYTES = 32 << 10
Answer = Mapping[str, Any]
# Classes with more handlers, by subject (`snapshot_requests`, ...), made with the node's services.
GROUPS: tuple[Callable[[Services], object], ...] = (
    ImageRequests,
    CheckpointRequests,
    CarryRequests,
    RecoveryRequests,
    MoveRequests,
    LifeRequests,
    SnapshotRequests,
    MessageRequests,
    BundleRequests,
    PlanRequests,
    PeerRequests,
    MemberRequests,
    DirectoryRequests,
    InviteRequests,
    RotateRequests,
)


class Requests:
    """The handlers, over one node's services."""

    def __init__(self, services: Services) -> None:
        self._node = services

    def register(self, server: ControlServer) -> None:
        """Every name in the table has a method of that name here or in one of the groups, streams
        and plain ones."""
        groups = (self, *(group(self._node) for group in GROUPS))
        for name, request in REQUESTS.items():
            handler = next(getattr(group, name) for group in groups if hasattr(group, name))
            if request.stream:
                server.handle_stream(name, handler)
            else:
                server.handle(name, handler)

    # --- what there is --------------------------------------------------------------------------

    async def status(self) -> Answer:
        return {
            "node": rows.node_info(self._node, __version__),
            "nodes": rows.node_rows(self._node),
            "vms": vm_rows.vm_rows(self._node),
            "moves": vm_rows.move_rows(self._node),
            "bundles": rows.bundle_counts(self._node),
            "sources": rows.source_rows(self._node),
            "events": self._node.journal.latest(EVENTS_IN_STATUS),
        }

    async def watch(self, interval_s: float) -> AsyncGenerator[Answer, None]:
        while True:
            yield await self.status()
            await trio.sleep(max(0.1, interval_s))

    async def ps(self) -> Answer:
        return {"vms": vm_rows.vm_rows(self._node)}

    async def nodes(self) -> Answer:
        return {"nodes": rows.node_rows(self._node)}

    async def events(self, follow: bool) -> AsyncGenerator[Answer, None]:
        journal = self._node.journal
        news = journal.follow()
        latest = journal.latest()
        for row in latest:
            yield row
        last = latest[-1]["number"] if latest else 0
        while follow:
            row = await news.receive()
            if row["number"] > last:
                yield row

    # --- virtual machines -----------------------------------------------------------------------

    async def run(
        self,
        image: str,
        name: str,
        sources: list[str],
        memory_bytes: int,
        pin: bool,
        arguments: list[str],
        environment: list[str],
        stdin: bool,
        checkpoint_every_s: float,
        commit_output: bool,
        policy: str,
        keep_at: list[str],
        count: int,
        restart: str,
        **limits: Any,
    ) -> Answer:
        if not all(sources):
            raise UsageError("a source's name is empty")
        for setting in environment:
            if setting.find("=") < 1 or "\0" in setting:
                raise UsageError(f"not a setting NAME=VALUE: {setting[:80]!r}")
        words = (*arguments, *sources, *environment)
        if sum(len(word.encode()) for word in words) > WORDS_MAX_BYTES:
            raise UsageError(
                "arguments, environment and names of sources are too long:"
                f" {WORDS_MAX_BYTES} bytes together"
            )
        wishes = Wishes("", memory_bytes, tuple(arguments), tuple(sources), restart, policy)
        order = await ordered(self._node, image, wishes)
        conduct = Conduct.of(order.restart, **limits)
        choice = chosen_policy(self._node, order.policy, keep_at)
        if count > 1 and choice.survival is not Survival.REPLICATED:
            raise UsageError("only a replicated VM may run more than once: --policy replicated")
        await self._node.hosting.run_vm(
            order.image,
            name,
            sources=order.sources,
            arguments=order.arguments,
            environment=environment,
            memory_bytes=order.memory_bytes,
            pinned=pin,
            has_stdin=stdin,
            commit=Commit.of(checkpoint_every_s or every_s(choice), output=commit_output),
            policy=choice,
            conduct=conduct,
        )
        if count > 1:
            await self._node.replicas.spread(name, self._node.others.nearest(), count - 1)
        return {"vm": vm_rows.vm_row(self._node, name)}

    async def logs(self, name: str, follow: bool) -> AsyncGenerator[Answer, None]:
        async for data in self._node.hosting.logs(name, follow=follow):
            yield {"data": data}

    async def feed(self, name: str, data: bytes, end: bool) -> Answer:
        self._refuse_remote(name)
        await self._node.hosting.feed(name, data, end=end)
        return {"name": name}

    async def stack(self, name: str) -> Answer:
        self._refuse_remote(name)
        return {"name": name, "threads": await self._node.hosting.stack(name)}

    async def saved(self, name: str) -> Answer:
        self._refuse_remote(name)
        image, snapshot = await self._node.hosting.saved(name)
        return {"name": name, "image": str(image.absolute()), "snapshot": str(snapshot.absolute())}

    async def stop(self, name: str) -> Answer:
        self._refuse_remote(name)
        await self._node.hosting.stop(name)
        return {"vm": vm_rows.vm_row(self._node, name)}

    async def save(self, name: str) -> Answer:
        self._refuse_remote(name)
        await self._node.hosting.save(name)
        return {"vm": vm_rows.vm_row(self._node, name)}

    async def resume(self, name: str) -> Answer:
        self._refuse_remote(name)
        await self._node.hosting.resume(name)
        return {"vm": vm_rows.vm_row(self._node, name)}

    async def where(self, name: str) -> Answer:
        with trio.move_on_after(WHERE_WITHIN_S):
            await self._node.directory.lookup(Kind.VM_NAME, name)
        return vm_rows.whereabouts(self._node, name)

    async def why(self, name: str) -> Answer:
        lines = self._node.scheduler.explain(name)
        if (elsewhere := vm_rows.not_here(self._node, name)) is not None:
            lines = [elsewhere, "", "the last decision about it here:", *lines]
        elif all(row["name"] != name for row in vm_rows.vm_rows(self._node)):
            raise UsageError(f"no VM named {name} is known here; `ps` lists those that are")
        return {"name": name, "lines": lines}

    def _refuse_remote(self, name: str) -> None:
        """UsageError that says where it is, for a VM on another node: each node steers its own."""
        if (elsewhere := vm_rows.not_here(self._node, name)) is not None:
            raise UsageError(elsewhere)

    # --- sources --------------------------------------------------------------------------------

    async def publish(self, name: str, file: str, rate: float | None) -> Answer:
        self._node.me.demand(Role.PUBLISH, "publish sources")
        if rate is not None and not 1e-3 <= rate <= 1e6:
            raise UsageError("a rate is 0.001 to 1000000 messages a second")
        await self._node.sources.publish(name, Path(file), rate)
        self._node.journal.note(f"source {name} is published here")
        found = [row for row in rows.source_rows(self._node) if row["name"] == name]
        return {"source": found[0]}
