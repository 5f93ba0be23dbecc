"""A VM whose holder is lost, or that two nodes held: what is known, and the ways out.

Each way out is said with what it would lose. Nothing is done but by name and with `force`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from radics_mesh.errors import UsageError, WireError
from radics_mesh.hosting.custody import Sort, State
from radics_mesh.hosting.host import Host
from radics_mesh.hosting.policy import Survival
from radics_mesh.hosting.table import ENDED, Wanted
from radics_mesh.hosting.vm import Vm
from radics_mesh.ids import NodeId, VmId
from radics_mesh.knowledge.book import Entry
from radics_mesh.ownership import Ownership
from radics_mesh.records import Kind
from radics_mesh.roles import Role
from radics_mesh.vmm.handoff_state import Phase
from radics_mesh.wording import duration, size

_HELD = (Phase.HOLDING, Phase.OFFERED, Phase.STAGING, Phase.FREEZING, Phase.FROZEN)


@dataclass(frozen=True)
class Found:
    """A state of a VM, here or as another node says. `sort` as radics_mesh.hosting.custody.Sort, or
    "own" of a VM that is held here. `rank`: what it would be recovered by, the best first."""

    node: str
    sort: str
    epoch: int
    age_s: float
    bytes: int
    snapshot: str
    mandate: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """What `doctor` tells. `heard_s`: since the holder's last word; None: it never said any."""

    name: str
    vm_id: VmId
    holder: str
    epoch: int
    how: str
    policy: str
    state: str
    heard_s: float | None
    open: list[str] = field(default_factory=list)
    states: list[Found] = field(default_factory=list)
    ways: list[str] = field(default_factory=list)


class Recovery:
    """`go_on` starts a VM here from a state by a recovery that was signed."""

    def __init__(
        self,
        host: Host,
        vms: Callable[[], Iterable[Vm]],
        silent_s: Callable[[State, float], float],
        go_on: Callable[[State, Ownership], Awaitable[None]],
    ) -> None:
        self._host = host
        self._vms = vms
        self._silent_s = silent_s
        self._go_on = go_on

    # --- going on -------------------------------------------------------------------------------

    async def recover(self, name: str, *, force: bool, snapshot: str = "") -> list[str]:
        """Go on here from the latest state that is here, or the one whose digest begins so.

        UsageError: there is none, the VM is held here, or (not `force`) what it would lose.
        Returns that, too.
        """
        vm_id = await self.identify(name)
        tenant = self._tenant(vm_id)
        if tenant is not None and tenant.phase in _HELD:
            raise UsageError(f"{name} is {tenant.state} here and need not be recovered")
        states = self.states(vm_id)
        found = [s for s in states if s.snapshot.hex().startswith(snapshot.lower())]
        if not found:
            raise UsageError(await self._nothing_here(name, vm_id, snapshot))
        state = found[0]
        parent = self._best(vm_id, state)
        warning = self._losses(state, parent)
        if not force:
            raise UsageError(
                f"{name} may be alive: " + "; ".join(warning) + "; --force recovers it all the same"
            )
        self._check_ours(parent)
        chain = parent.recovered(self._host.me.identity, state.snapshot)
        await self._go_on(state, chain)
        return warning

    def _check_ours(self, chain: Ownership) -> None:
        """PeerError: the others would not take it from this node."""
        birth = self._host.certificate(NodeId.of_key(chain.birth.holder))
        if birth is None or birth.owner != self._host.me.certificate.owner:
            self._host.me.demand(Role.OPERATE, f"take {chain.name}, another owner's VM,")

    def discard(self, vm_id: VmId, snapshot: str) -> State:
        """Delete a state that is kept here for good; UsageError: none begins so, or several."""
        found = [
            state
            for state in self._host.custody.states(vm_id)
            if snapshot and state.snapshot.hex().startswith(snapshot.lower())
        ]
        if len(found) != 1:
            raise UsageError(f"{len(found)} states here begin with {snapshot!r}; see `doctor`")
        self._host.custody.drop(found[0])
        return found[0]

    def states(self, vm_id: VmId) -> list[State]:
        """Of a VM that is not held here, what is here: the best to go on from first.

        What was kept for the branch that counts goes before what gave way to it.
        """
        states = self._host.custody.states(vm_id)
        tenant = self._tenant(vm_id)
        if tenant is not None and tenant.phase is Phase.RELEASED:
            states.append(_released(tenant))
        return sorted(states, key=lambda s: (s.sort is Sort.CHECKPOINT, s.created), reverse=True)

    def _best(self, vm_id: VmId, state: State) -> Ownership:
        """The chain that a recovery has to beat."""
        best = state.chain
        tenant = self._tenant(vm_id)
        others = (
            state.higher,
            self._host.directory.ownership(vm_id),
            tenant.handoff.tenure.chain if tenant else None,
            tenant.handoff.tenure.certificate if tenant else None,
        )
        for chain in others:
            if chain is not None and chain.beats(best):
                best = chain
        return best

    def _losses(self, state: State, best: Ownership) -> list[str]:
        holder = self._host.name_of(best.holder)
        heard_s = self._heard_s(best)
        word = "was never heard of here" if heard_s is None else f"spoke {duration(heard_s)} ago"
        age = duration(max(0.0, self._host.me.clock.wall() - state.created))
        lines = [
            f"its holder {holder} (epoch {best.epoch}) {word}",
            f"all that it did since its state of {age} ago is lost, what it sent since may be sent"
            " again, differently, and mail that it took since comes again only as far as copies of"
            " it are kept",
            f"if {holder} is alive, the VM runs there, too, until the two meet",
        ]
        if state.sort is Sort.DIVERGENT:
            lines.insert(1, f"this state gave way to epoch {best.epoch}, which will give way to it")
        return lines

    # --- doctor ---------------------------------------------------------------------------------

    async def diagnose(self, name: str) -> Diagnosis:
        """UsageError: no VM of that name or id is known."""
        vm_id = await self.identify(name)
        await self._host.directory.lookup(Kind.CHECKPOINT, vm_id.text)
        tenant, states = self._tenant(vm_id), self.states(vm_id)
        best = self._best(vm_id, states[0]) if states else self._known(vm_id, tenant)
        heard_s = self._heard_s(best)
        found = [self._found(state) for state in states] + self._elsewhere(vm_id)
        if tenant is not None and tenant.phase in _HELD:
            found = self._own(tenant) + found
        return Diagnosis(
            name=best.name,
            vm_id=vm_id,
            holder=self._host.name_of(best.holder),
            epoch=best.epoch,
            how=best.links[-1].how if best.links else "born",
            policy=self._policy(vm_id, tenant),
            state=self._state(vm_id, tenant, best),
            heard_s=heard_s,
            open=self._open(tenant),
            states=found,
            ways=self._ways(best, tenant, states, found, heard_s),
        )

    def _known(self, vm_id: VmId, tenant: Vm | None) -> Ownership:
        known = [self._host.directory.ownership(vm_id)]
        if tenant is not None:
            known += [tenant.handoff.tenure.chain, tenant.handoff.tenure.certificate]
        chains = [chain for chain in known if chain is not None]
        if not chains:
            raise UsageError("its ownership is not known here")
        best = chains[0]
        for chain in chains[1:]:
            best = chain if chain.beats(best) else best
        return best

    def _policy(self, vm_id: VmId, tenant: Vm | None) -> str:
        if tenant is not None and tenant.phase in _HELD:
            return str(tenant.row.settings.policy)
        for entry in self._records(vm_id):
            return str(entry.record.body.get("policy", Survival.AT_MOST_ONE.value))
        mandates = [s.mandate for s in self._host.custody.states(vm_id) if s.mandate]
        if mandates and mandates[0].after_s:
            return f"{Survival.RESTARTABLE.value}:{mandates[0].after_s}"
        return "unknown"

    def _state(self, vm_id: VmId, tenant: Vm | None, best: Ownership) -> str:
        if tenant is not None and best.holder == self._host.me.node_id:
            return tenant.state
        for entry in self._records(vm_id):
            if entry.record.publisher == best.holder:
                return str(entry.record.body.get("state", "")) + (" (stale)" if entry.stale else "")
        return "not heard of"

    def _open(self, tenant: Vm | None) -> list[str]:
        """Certificates under way."""
        if tenant is None:
            return []
        tenure, lines = tenant.handoff.tenure, []
        if tenure.phase is Phase.RELEASED and tenure.chain is not None:
            to = self._host.name_of(tenure.chain.holder)
            lines.append(
                f"released from here to {to} at epoch {tenure.chain.epoch}, not acknowledged yet;"
                " its snapshot is kept here until then"
            )
        if tenure.certificate is not None:
            giver = self._host.name_of(tenure.certificate.before.holder)
            lines.append(
                f"certificate of epoch {tenure.certificate.epoch} from {giver} is here, its"
                " snapshot is not"
            )
        if tenure.phase in (Phase.OFFERED, Phase.STAGING, Phase.FROZEN) and tenure.target:
            to = self._host.name_of(tenure.target)
            lines.append(f"is being moved to {to} ({tenure.phase}), may still be cancelled")
        return lines

    def _found(self, state: State) -> Found:
        mandate = ""
        if state.mandate is not None:
            after_s = state.mandate.after_s * (state.turn + 1)
            silent_s = self._silent_s(state, trio.current_time())
            mandate = f"restarts after {after_s} s of silence ({silent_s:.0f} s so far)"
            if not after_s:
                mandate = "kept, not restarted but by force"
        return Found(
            node=self._host.config.name,
            sort=state.sort.value,
            epoch=state.chain.epoch,
            age_s=max(0.0, self._host.me.clock.wall() - state.created),
            bytes=state.bytes,
            snapshot=state.snapshot.hex()[:16],
            mandate=mandate,
        )

    def _own(self, tenant: Vm) -> list[Found]:
        snapshot = tenant.handoff.tenure.snapshot
        if snapshot is None:
            return []
        at = tenant.last_checkpoint.at if tenant.last_checkpoint else tenant.row.arrived
        age_s = max(0.0, self._host.me.clock.wall() - at)
        here, epoch = self._host.config.name, tenant.life.chain.epoch
        content = tenant.life.snapshots.last_bytes
        return [Found(here, "own", epoch, age_s, content, snapshot.hex()[:16])]

    def _elsewhere(self, vm_id: VmId) -> list[Found]:
        """By the word of the nodes that keep them."""
        found = []
        for entry in self._host.directory.known(Kind.CHECKPOINT, vm_id.text):
            if entry.record.publisher == self._host.me.node_id or entry.record.withdrawn:
                continue
            node = self._host.name_of(entry.record.publisher)
            rows = entry.record.body.get("states")
            for row in rows if isinstance(rows, list | tuple) else ():
                if (one := _row(node, row, self._host.me.clock.wall())) is not None:
                    found.append(one)
        return found

    def _ways(
        self,
        best: Ownership,
        tenant: Vm | None,
        states: list[State],
        found: list[Found],
        heard_s: float | None,
    ) -> list[str]:
        name, holder = best.name, self._host.name_of(best.holder)
        if tenant is not None and tenant.phase in _HELD:
            return ["nothing to be done: it is held here"]
        ways = [f"wait for {holder}: loses nothing, as long as {holder} comes back with its disk"]
        if tenant is not None and tenant.phase is Phase.RELEASED:
            ways[0] += "; the release is sent again until it is acknowledged"
        for state in states:
            age = duration(max(0.0, self._host.me.clock.wall() - state.created))
            which = f" --snapshot {state.snapshot.hex()[:16]}" if len(states) > 1 else ""
            what = "checkpoint" if state.sort is Sort.CHECKPOINT else f"{state.sort} state"
            whose = "what it did since"
            if state.sort is Sort.DIVERGENT:
                whose = f"what it did since, and from the VM's history what epoch {best.epoch} did"
            ways.append(
                f"recover {name} --force{which}: goes on here from the {what} of {age} ago, loses"
                f" {whose}; if {holder} lives, its branch stops when the two meet, its state kept"
            )
        for one in found:
            if one.node != self._host.config.name:
                ways.append(
                    f"on {one.node}: recover {name} --force, there from its {one.sort} state of"
                    f" {duration(one.age_s)} ago ({size(one.bytes)})"
                )
        if len(ways) == 1:
            ways.append("no checkpoint is known: without its holder it is lost")
        return ways

    # --- what is known --------------------------------------------------------------------------

    async def identify(self, name: str) -> VmId:
        """By its name or its id, here, kept here, or in the directory; UsageError."""
        here = [vm.vm_id for vm in self._vms() if name in (vm.name, vm.vm_id.text)]
        here = [vm_id for vm_id in here if not self._is_over(vm_id)] or here
        kept = [
            state.vm_id
            for state in self._host.custody.states()
            if name in (state.chain.name, state.vm_id.text)
        ]
        await self._host.directory.lookup(Kind.VM_NAME, name)
        stated = [
            vm_id
            for entry in self._host.directory.known(Kind.VM_NAME, name)
            if (vm_id := _vm_id(entry.record.body.get("vm"))) is not None
        ]
        found = list(dict.fromkeys([*here, *kept, *stated]))
        if not found:
            raise UsageError(f"no VM named {name} is known here, and no state of one is kept here")
        if len(found) > 1 and not here:
            ids = ", ".join(vm_id.text for vm_id in found)
            raise UsageError(f"{name} may be any of {ids}; give the id")
        await self._host.directory.vm(found[0])
        return found[0]

    def _is_over(self, vm_id: VmId) -> bool:
        tenant = self._tenant(vm_id)
        return tenant is None or tenant.row.wanted in ENDED

    def _tenant(self, vm_id: VmId) -> Vm | None:
        tenant = next((vm for vm in self._vms() if vm.vm_id == vm_id), None)
        blank = tenant is not None and tenant.is_done and tenant.row.wanted is Wanted.MOVED
        return None if blank else tenant

    def _records(self, vm_id: VmId) -> list[Entry]:
        return self._host.directory.known(Kind.VM, vm_id.text)

    def _heard_s(self, best: Ownership) -> float | None:
        """Since the holder's last word of itself, or of the VM."""
        if best.holder == self._host.me.node_id:
            return 0.0
        return self.heard_s(best.holder, best.vm_id)

    def heard_s(self, node: NodeId, vm_id: VmId) -> float | None:
        known = self._host.directory.known
        entries = [*known(Kind.NODE, node.text), *known(Kind.VM, vm_id.text)]
        return min((e.age_s for e in entries if e.record.publisher == node), default=None)

    async def _nothing_here(self, name: str, vm_id: VmId, snapshot: str) -> str:
        if snapshot:
            return f"no state of {name} here begins with {snapshot}; see `doctor {name}`"
        await self._host.directory.lookup(Kind.CHECKPOINT, vm_id.text)
        nodes = ", ".join(sorted({one.node for one in self._elsewhere(vm_id)}))
        where = (
            f"recover it on one of: {nodes}" if nodes else "no other node says that it keeps one"
        )
        return f"no checkpoint of {name} is here; {where}"


def _released(tenant: Vm) -> State:
    """What was released and is not acknowledged is as good a state as any."""
    tenure = tenant.handoff.tenure
    assert tenure.chain is not None
    assert tenure.snapshot is not None
    size_bytes = tenant.life.snapshots.last_bytes
    at = tenant.row.arrived
    return State(tenant.vm_id, tenure.snapshot, Sort.CHECKPOINT, tenure.chain, at, size_bytes, at)


def _vm_id(text: object) -> VmId | None:
    with suppress(WireError):
        return VmId.parse(text) if isinstance(text, str) else None
    return None


def _row(node: str, row: object, now: float) -> Found | None:
    """From a record's body; None for what makes no sense."""
    if not isinstance(row, list | tuple) or len(row) != 5:
        return None
    sort, epoch, created, size_bytes, snapshot = row
    numbers = all(type(number) is int for number in (epoch, created, size_bytes))
    if not numbers or sort not in list(Sort) or not isinstance(snapshot, bytes):
        return None
    return Found(node, str(sort), epoch, max(0.0, now - created), size_bytes, snapshot.hex())
