"""What contact plans say of this node's contacts, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from radics_mesh.clock import Wall
from radics_mesh.config import Route
from radics_mesh.dtn.routes.contact_plan import Contact
from radics_mesh.dtn.routes.planned import Planned, Way
from radics_mesh.dtn.storage.held import Held
from radics_mesh.ids import NodeId
from radics_mesh.node.services import Services


@dataclass(frozen=True)
class InForce:
    """A plan that routes here go by. `file`: where it is from."""

    file: str
    patterns: tuple[str, ...]
    module: Planned


@dataclass(frozen=True)
class Expected:
    """A planned contact of this node that is not over."""

    contact: Contact
    peer: NodeId
    outward: bool


def in_force(node: Services) -> list[InForce]:
    """In the order of the routes; those of one file are one plan."""
    patterns: dict[str, list[str]] = {}
    for route in _planned(node):
        patterns.setdefault(route.options, []).append(route.pattern)
    modules = [module for module in node.routes.modules if isinstance(module, Planned)]
    return [
        InForce(file, tuple(of), module)
        for (file, of), module in zip(patterns.items(), modules, strict=True)
    ]


def _planned(node: Services) -> Iterator[Route]:
    return (route for route in node.config.routes if route.module == "plan")


def expected(node: Services, until: Wall) -> list[Expected]:
    """This node's contacts that go on now or begin before that moment, the first ones first."""
    now = node.me.clock.wall()
    found = []
    for plan in in_force(node):
        for contact in plan.module.plan.contacts:
            if contact.end <= now or contact.start > until:
                continue
            sender, receiver = map(plan.module.node_of, (contact.sender, contact.receiver))
            if sender == node.me.node_id and receiver is not None:
                found.append(Expected(contact, receiver, outward=True))
            elif receiver == node.me.node_id and sender is not None:
                found.append(Expected(contact, sender, outward=False))
    return sorted(found, key=lambda one: one.contact.start)


def way_of(node: Services, held: Held, target: NodeId) -> tuple[Planned, Way] | None:
    """How a plan brings a bundle to a node; None: no plan decides about it."""
    module = node.routes.of(held.destination)
    if not isinstance(module, Planned):
        return None
    return module, module.way(held, target, node.me.clock.monotonic())
