"""Facts of the directory as the rows of control_shapes.directory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from radics_mesh.control_shapes.directory import FactRow, ServiceRow
from radics_mesh.errors import WireError
from radics_mesh.ids import Eid
from radics_mesh.knowledge.book import Entry
from radics_mesh.node.rows import number, whole
from radics_mesh.node.services import Services
from radics_mesh.records import Kind
from radics_mesh.wording import memory, size

_ENDPOINTS_MAX = 8


def fact_row(node: Services, entry: Entry) -> FactRow:
    record = entry.record
    return FactRow(
        kind=record.kind.value,
        subject=record.subject,
        publisher=node.names.of(record.publisher),
        publisher_id=record.publisher.text,
        what=_what(entry),
        age_s=entry.age_s,
        stale=entry.stale,
    )


def _what(entry: Entry) -> str:
    body = entry.record.body
    match entry.record.kind:
        case Kind.NODE:
            free = memory(whole(body.get("memory_free")))
            load = f"load {number(body.get('load')) * 100:.0f} %"
            words = [str(body.get("name", "")), load, f"{free} free"]
        case Kind.SOURCE:
            words = [f"{size(number(body.get('rate')))}/s", str(body.get("format", ""))]
        case Kind.SERVICE:
            words = [str(endpoint) for endpoint in endpoints(entry)]
        case Kind.VM:
            words = [str(body.get("name", "")), str(body.get("state", ""))]
        case Kind.VM_NAME:
            words = [str(body.get("vm", ""))]
        case Kind.IMAGE:
            words = [str(body.get("arch", "")), size(number(body.get("size")))]
        case _:
            words = []
    return ", ".join(filter(None, words))


def endpoints(entry: Entry) -> Iterator[Eid]:
    """Where a service answers, as far as its record makes sense."""
    listed = entry.record.body.get("endpoints")
    for text in listed[:_ENDPOINTS_MAX] if isinstance(listed, list) else ():
        if isinstance(text, str):
            try:
                yield Eid(text)
            except WireError:
                continue


def service_rows(node: Services, entries: Iterable[Entry]) -> list[ServiceRow]:
    """One for each endpoint; not those of VMs that are held by another node than says so, nor of
    nodes other than it."""
    rows = []
    for entry in entries:
        for endpoint in endpoints(entry):
            vm_id, publisher = endpoint.vm_id, entry.record.publisher
            holder = node.directory.ownership(vm_id) if vm_id else None
            speaks = holder.holder if holder else endpoint.node_id
            if speaks not in (publisher, None) or (speaks is None and vm_id is None):
                continue
            vm = node.directory.known_vm(vm_id) if vm_id else None
            rows.append(
                ServiceRow(
                    name=entry.record.subject,
                    node=node.names.of(publisher),
                    local=publisher == node.me.node_id,
                    endpoint=str(endpoint),
                    vm=str(vm.record.body.get("name", "")) if vm else "",
                    age_s=entry.age_s,
                    stale=entry.stale,
                )
            )
    return rows
