"""What is known of VMs, here and elsewhere, as the rows of control_shapes."""

from __future__ import annotations

from radics_mesh.control_shapes.vms import CheckpointsRow, Moved, MoveRow, VmRow, Whereabouts
from radics_mesh.control_shapes.vms import Link as LinkRow
from radics_mesh.errors import UsageError, WireError
from radics_mesh.hosting.custody import State
from radics_mesh.hosting.status import MoveStats, VmStatus
from radics_mesh.ids import NodeId, VmId
from radics_mesh.knowledge.book import Entry
from radics_mesh.node.rows import whole
from radics_mesh.node.services import Services
from radics_mesh.ownership import moves_by
from radics_mesh.records import Kind
from radics_mesh.wording import duration

ENDED = frozenset({"diverged", "exited", "failed", "stopped"})


def vm_row(node: Services, name: str) -> VmRow:
    """The row of a VM of this node; UsageError when there is none of that name."""
    for row in vm_rows(node):
        if row["local"] and row["name"] == name:
            return row
    raise UsageError(not_here(node, name) or f"no VM named {name} is here; `ps` lists them")


def not_here(node: Services, name: str) -> str | None:
    """Where a VM is that is not on this node, as a sentence; None for those here and unknown."""
    rows = [row for row in vm_rows(node) if row["name"] == name]
    if not rows or any(row["local"] for row in rows):
        return None
    return f"{name} is on {rows[0]['node']}; ask there"


def vm_rows(node: Services) -> list[VmRow]:
    """This node's, then what the directory knows of others', then those that left unseen since."""
    own = [_own_vm(node, vm) for vm in node.hosting.vms()]
    here = {row["id"] for row in own if row["state"] != "released"}
    remote = [
        _remote_vm(node, entry)
        for entry in node.directory.known(Kind.VM)
        if entry.record.publisher != node.me.node_id and entry.record.subject not in here
    ]
    seen = here | {row["id"] for row in remote}
    gone = [
        _departed_vm(node, vm_id) for vm_id in node.hosting.departed() if vm_id.text not in seen
    ]
    elsewhere = [*remote, *(row for row in gone if row is not None)]
    own += [_diverged(node, state) for state in node.hosting.custody.states() if state.higher]
    # What goes on comes first: nobody scrolls past last week's for it.
    own.sort(key=lambda row: row["state"] in ENDED)
    return [*own, *sorted(elsewhere, key=lambda row: row["name"])]


def _own_vm(node: Services, vm: VmStatus) -> VmRow:
    now = node.me.clock.monotonic()
    return VmRow(
        name=vm.name,
        id=vm.vm_id.text,
        state="moving" if vm.moving else vm.state,
        epoch=vm.epoch,
        node=node.config.name,
        local=True,
        image=vm.image.hex(),
        memory=vm.memory_bytes,
        accelerator=node.accelerator.accelerator,
        sources=list(vm.sources),
        rate=node.scheduler.rate(vm.vm_id),
        moves=vm.moves,
        pinned=vm.pinned,
        uptime_s=None if vm.started_at is None else now - vm.started_at,
        boot_s=vm.boot_s,
        pid=vm.pid,
        status=vm.status,
        moved_share=vm.progress.share if vm.progress else None,
        note=vm.note or None,
        branch=vm.branch,
        checkpoints=checkpoints_row(vm),
        policy=str(vm.policy),
    )


def checkpoints_row(vm: VmStatus) -> CheckpointsRow:
    last = vm.last_checkpoint
    return CheckpointsRow(
        every_s=vm.commit.every_s,
        commit_output=vm.commit.output,
        at=last.at if last else None,
        pause_s=last.pause_s if last else None,
        bytes=last.bytes if last else None,
    )


def _remote_vm(node: Services, entry: Entry) -> VmRow:
    body = entry.record.body
    image, policy = body.get("image"), body.get("policy")
    return VmRow(
        name=str(body.get("name", "")),
        id=entry.record.subject,
        state=str(body.get("state", "")) + (" (stale)" if entry.stale else ""),
        epoch=whole(body.get("epoch")),
        node=node.names.of(entry.record.publisher),
        local=False,
        image=image.hex() if isinstance(image, bytes) else "",
        memory=whole(body.get("memory")),
        accelerator=None,
        sources=[],
        rate=0.0,
        moves=moves_by(whole(body.get("epoch"))),
        pinned=False,
        uptime_s=None,
        boot_s=None,
        pid=None,
        status=None,
        moved_share=None,
        note=None,
        branch=0,
        checkpoints=None,
        policy=policy if isinstance(policy, str) else None,
    )


def _departed_vm(node: Services, vm_id: VmId) -> VmRow | None:
    """A VM that went from here to a node whose word of it has not come; the chain names that."""
    chain = node.directory.ownership(vm_id) or node.hosting.tenant(vm_id).handoff.tenure.chain
    if chain is None:
        return None
    return VmRow(
        name=chain.name,
        id=vm_id.text,
        state="moved",
        epoch=chain.epoch,
        node=node.names.of(chain.holder),
        local=False,
        image=chain.birth.image.hex(),
        memory=0,
        accelerator=None,
        sources=[],
        rate=0.0,
        moves=moves_by(chain.epoch),
        pinned=False,
        uptime_s=None,
        boot_s=None,
        pid=None,
        status=None,
        moved_share=None,
        note="has not been heard of since",
        branch=0,
        checkpoints=None,
        policy=None,
    )


def _diverged(node: Services, state: State) -> VmRow:
    """A branch that was here and gave way."""
    assert state.higher is not None
    age = duration(max(0.0, node.me.clock.wall() - state.created))
    return VmRow(
        name=state.chain.name,
        id=state.vm_id.text,
        state="diverged",
        epoch=state.chain.epoch,
        node=node.config.name,
        local=True,
        image=state.chain.birth.image.hex(),
        memory=0,
        accelerator=None,
        sources=[],
        rate=0.0,
        moves=0,
        pinned=False,
        uptime_s=None,
        boot_s=None,
        pid=None,
        status=None,
        moved_share=None,
        note=f"gave way to epoch {state.higher.epoch} on {node.names.of(state.higher.holder)};"
        f" its state of {age} ago is kept, see `doctor {state.chain.name}`",
        branch=state.chain.branch,
        checkpoints=None,
        policy=None,
    )


def move_rows(node: Services) -> list[MoveRow]:
    return [
        MoveRow(
            name=name,
            peer=node.names.of(move.peer),
            outward=move.outward,
            epoch=move.epoch,
            snapshot_bytes=move.snapshot_bytes,
            sent_bytes=move.sent_bytes,
            pause_s=move.pause_s,
            answered_s=move.answered_s,
            resume_s=move.resume_s,
            at=move.at,
        )
        for name, move in node.hosting.moves()
    ]


def moved(node: Services, name: str, move: MoveStats) -> Moved:
    """What a move cost, as this node saw it."""
    return Moved(
        name=name,
        source=node.config.name,
        target=node.names.of(move.peer),
        epoch=move.epoch,
        bytes=move.sent_bytes,
        downtime_s=move.answered_s,
    )


def whereabouts(node: Services, name: str) -> Whereabouts:
    """From local knowledge; the caller has looked the name up. UsageError when it is unknown."""
    for vm in node.hosting.vms():
        if vm.name == name and vm.state != "released":
            policy = str(vm.policy)
            return _whereabouts(node, name, vm.vm_id, vm.state, 0.0, policy, stale=False)
    advertised = False
    for entry in node.directory.known(Kind.VM_NAME, name):
        vm_id = entry.record.body.get("vm")
        if isinstance(vm_id, str) and not entry.record.withdrawn:
            advertised = True
            if (there := _remote_whereabouts(node, name, vm_id)) is not None:
                return there
    if (left := _left(node, name)) is not None:
        return left
    if advertised:
        raise UsageError(f"{name} is advertised, but its holder's record has not been found yet")
    raise UsageError(f"no VM named {name} is known here; `ps` lists those that are")


def _left(node: Services, name: str) -> Whereabouts | None:
    """Of a VM that went from here, by a stick say, and of which nothing has been heard since."""
    released = [vm.vm_id for vm in node.hosting.vms() if vm.state == "released"]
    for vm_id in (*released, *node.hosting.departed()):
        chain = node.hosting.tenant(vm_id).handoff.tenure.chain
        if chain is not None and chain.name == name:
            node.directory.learn_ownership(chain.pack())
            state = "released" if vm_id in released else "moved"
            return _whereabouts(node, name, vm_id, state, None, None, stale=False)
    return None


def _remote_whereabouts(node: Services, name: str, text: str) -> Whereabouts | None:
    """As its holder says; None: nothing of that has come yet."""
    try:
        vm_id = VmId.parse(text)
    except WireError as error:
        raise UsageError(f"{name} is advertised with a VM id that is none") from error
    known = node.directory.known_vm(vm_id)
    if known is None:
        return None
    state, policy = str(known.record.body.get("state", "")), known.record.body.get("policy")
    told = policy if isinstance(policy, str) else None
    age_s, stale = known.entry.age_s, known.entry.stale
    return _whereabouts(node, name, vm_id, state, age_s, told, stale=stale)


def _whereabouts(
    node: Services,
    name: str,
    vm_id: VmId,
    state: str,
    age_s: float | None,
    policy: str | None,
    *,
    stale: bool,
) -> Whereabouts:
    chain = node.directory.ownership(vm_id)
    if chain is None:
        raise UsageError(f"the ownership chain of {name} is not known here")
    first = NodeId.of_key(chain.birth.holder)
    links = [LinkRow(epoch=1, holder=node.names.of(first), snapshot=None, how="born")]
    for link in chain.links:
        holder = node.names.of(NodeId.of_key(link.holder))
        snapshot = link.snapshot.hex()
        links.append(LinkRow(epoch=link.epoch, holder=holder, snapshot=snapshot, how=link.how))
    return Whereabouts(
        name=name,
        id=vm_id.text,
        node=node.names.of(chain.holder),
        state=state,
        age_s=age_s,
        stale=stale,
        chain=links,
        policy=policy,
    )
