"""Modules made from a configuration: `join --route PATTERN=MODULE[:OPTIONS]`.

  links                        least cost over the links that members advertise; the default
  direct                       to the destination's own node only
  static:NODE[,NODE...]        by these neighbours, in that order
  epidemic                     a copy to everybody
  spray[:copies=8]             binary spray-and-wait
  prophet[:gamma=.999,...]     RFC 6693; options are the fields of prophet.Parameters
  plan:FILE                    earliest arrival over scheduled contacts

PATTERN: as of a shell, over whole endpoint identifiers; `*` is everything, `dtn://vm.*` all VMs.
The first that matches decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from radics_mesh.clock import Clock, Monotonic, Wall
from radics_mesh.config import Route
from radics_mesh.dtn.routes.allotted import Allotted
from radics_mesh.dtn.routes.contact_plan import ContactPlan, Resolve
from radics_mesh.dtn.routes.direct import Direct
from radics_mesh.dtn.routes.epidemic import Epidemic
from radics_mesh.dtn.routes.kept import Kept
from radics_mesh.dtn.routes.module import ByTarget, Module
from radics_mesh.dtn.routes.neighbours import Neighbours
from radics_mesh.dtn.routes.planned import Planned
from radics_mesh.dtn.routes.prophet import Parameters, Prophet
from radics_mesh.dtn.routes.spray import COPIES, COPIES_MAX, Spray
from radics_mesh.dtn.routes.table import RoutingTable
from radics_mesh.errors import UsageError, WireError
from radics_mesh.ids import NodeId


class Via(ByTarget):
    """Fixed neighbours for whatever a pattern matches, in order."""

    name = "static"

    def __init__(self, words: Sequence[str], resolve: Resolve) -> None:
        self._words = words
        self._resolve = resolve

    def next_hops(self, destination: NodeId, contacts: Collection[NodeId]) -> Sequence[NodeId]:
        if destination in contacts:
            return [destination]
        found = (self._node(word) for word in self._words)
        return [node for node in found if node is not None and node in contacts]

    def _node(self, word: str) -> NodeId | None:
        try:
            return NodeId.parse(word)
        except WireError:
            return self._resolve(word)


@dataclass(frozen=True)
class Surroundings:
    """What modules are made with. `resolve` finds a node by what its owner calls it."""

    own: NodeId
    links: Module
    resolve: Resolve
    clock: Clock
    allotted: Allotted | None = None
    # Where PRoPHET's table outlives a restart.
    kept: Kept | None = None


def table_of(routes: Iterable[Route], around: Surroundings) -> RoutingTable:
    """UsageError when a route makes no sense. Routes alike in all but their pattern share one
    module."""
    neighbours = Neighbours()
    made: dict[tuple[str, str], Module] = {("links", ""): around.links}
    rows = []
    for route in routes:
        key = route.module, route.options
        if key not in made:
            made[key] = _make(route, around, neighbours)
        rows.append((route.pattern, made[key]))
    _refuse_twins(made.values())
    return RoutingTable(around.links, rows, neighbours)


def _refuse_twins(modules: Iterable[Module]) -> None:
    """Neighbours tell each other by a module's name, and copies are noted once a bundle."""
    names = [module.name for module in modules if module.spreads]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--route: {name} with two different sets of options")


def _make(route: Route, around: Surroundings, neighbours: Neighbours) -> Module:
    maker = _MAKERS.get(route.module)
    if maker is None:
        known = ", ".join(sorted([*_MAKERS, "links"]))
        raise UsageError(f"--route: {route.module}: no such module; there are {known}")
    return maker(route.options, around, neighbours)


def _direct(options: str, around: Surroundings, neighbours: Neighbours) -> Module:
    _options(options, ())
    return Direct()


def _static(options: str, around: Surroundings, neighbours: Neighbours) -> Module:
    words = [word for word in options.split(",") if word]
    if not words:
        raise UsageError("--route: static needs neighbours: static:NODE[,NODE...]")
    return Via(words, around.resolve)


def _epidemic(options: str, around: Surroundings, neighbours: Neighbours) -> Module:
    _options(options, ())
    return Epidemic(around.own, neighbours)


def _spray(options: str, around: Surroundings, neighbours: Neighbours) -> Module:
    copies = _options(options, ("copies",)).get("copies", float(COPIES))
    if not 1 <= copies <= COPIES_MAX or copies != int(copies):
        raise UsageError(f"--route: spray's copies are 1 to {COPIES_MAX}")
    if around.allotted is None:
        return Spray(around.own, neighbours, int(copies))
    notes = around.allotted
    return Spray(around.own, neighbours, int(copies), notes.left, notes.note)


def _prophet(options: str, around: Surroundings, neighbours: Neighbours) -> Module:
    names = tuple(field.name for field in fields(Parameters))
    module = Prophet(around.own, neighbours, Parameters(**_options(options, names)))
    if around.kept is not None:
        around.kept.attach(module.own_p)
    return module


def _plan(options: str, around: Surroundings, neighbours: Neighbours) -> Module:
    if not options:
        raise UsageError("--route: plan needs a file: plan:FILE")
    clock = around.clock

    def wall_at(now: Monotonic) -> Wall:
        return Wall(now + clock.wall() - clock.monotonic())

    return Planned(around.own, ContactPlan.read(Path(options)), around.resolve, wall_at)


_Maker = Callable[[str, Surroundings, Neighbours], Module]
_MAKERS: dict[str, _Maker] = {
    "direct": _direct,
    "static": _static,
    "epidemic": _epidemic,
    "spray": _spray,
    "prophet": _prophet,
    "plan": _plan,
}


def _options(text: str, names: Collection[str]) -> dict[str, float]:
    """`name=number,...`; UsageError."""
    found = {}
    for part in text.split(",") if text else ():
        name, equals, value = part.partition("=")
        try:
            found[name] = float(value)
        except ValueError as error:
            raise UsageError(f"--route: {part}: want NAME=NUMBER") from error
        if name not in names or not equals:
            known = ", ".join(names) or "none"
            raise UsageError(f"--route: {name}: no such option; there are: {known}")
    return found
