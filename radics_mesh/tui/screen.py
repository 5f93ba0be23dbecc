"""The panes together: heading, nodes, VMs, sources, bundles, events, and the line of keys."""

from __future__ import annotations

from typing import Any

import urwid

from radics_mesh import cells
from radics_mesh.control_shapes.mesh import Status
from radics_mesh.tui.pane import Pane

PALETTE = [
    ("title", "white,bold", "dark blue"),
    ("down", "white,bold", "dark red"),
    ("keys", "black", "light gray"),
    ("heading", "bold", ""),
    ("text", "default", ""),
    ("focused", "light cyan,bold", ""),
]
KEYS = " q quit   tab next pane   arrows, page up/down, home, end scroll"
# What a narrow terminal leaves out first.
_NODE_DROPS = ("ID", "FREE", "CORES", "SEEN", "STATE")
_VM_DROPS = ("MEMORY", "UP", "EPOCH", "MOVES", "SOURCES")
_SOURCE_DROPS = ("SUBSCRIBERS", "MESSAGES")
_BUNDLES_WIDTH = 34


class Screen:
    """Shows one Status after another. `widget` goes into urwid's main loop."""

    def __init__(self) -> None:
        self.nodes, self.vms, self.sources, self.bundles = Pane(), Pane(), Pane(), Pane()
        self.events = Pane(at_end=True)
        self._titles = {
            self.nodes: "Nodes",
            self.vms: "VMs",
            self.sources: "Sources",
            self.bundles: "Bundles",
            self.events: "Events",
        }
        self._boxes = {pane: urwid.LineBox(pane, title) for pane, title in self._titles.items()}
        self._heading = urwid.Text("connecting to the node", wrap=urwid.WrapMode.CLIP)
        self._heading_look = urwid.AttrMap(self._heading, "title")
        self._below = urwid.Columns(
            [(_BUNDLES_WIDTH, self._framed(self.bundles)), self._framed(self.events)]
        )
        self._body = urwid.Pile(
            [
                (urwid.WEIGHT, 3, self._framed(self.nodes)),
                (urwid.WEIGHT, 3, self._framed(self.vms)),
                (urwid.WEIGHT, 2, self._framed(self.sources)),
                (urwid.WEIGHT, 4, self._below),
            ]
        )
        keys = urwid.AttrMap(urwid.Text(KEYS, wrap=urwid.WrapMode.CLIP), "keys")
        self.widget = urwid.Frame(self._body, header=self._heading_look, footer=keys)

    def show(self, status: Status) -> None:
        """Fill every pane."""
        self._heading.set_text(" " + cells.node_line(status["node"]))
        self._heading_look.set_attr_map({None: "title"})
        nodes = [cells.node_row(row) for row in status["nodes"]]
        vms = [cells.vm_row(row) for row in status["vms"]]
        self.nodes.show_table(cells.NODE_COLUMNS, nodes, _NODE_DROPS)
        self.vms.show_table(cells.VM_COLUMNS, vms, _VM_DROPS)
        sources = [cells.source_row(row) for row in status["sources"]]
        self.sources.show_table(cells.SOURCE_COLUMNS, sources, _SOURCE_DROPS)
        self.bundles.show_lines(cells.bundle_lines(status["bundles"]))
        self.events.show_lines([cells.event_line(row) for row in status["events"]])
        self._title(self.nodes, len(nodes))
        self._title(self.vms, len(vms))
        self._title(self.sources, len(sources))

    def show_down(self, reason: str) -> None:
        """The last known state stays on the screen, under a heading that says it is old."""
        self._heading.set_text(f" node is down, retrying: {cells.printable(reason)}")
        self._heading_look.set_attr_map({None: "down"})

    def keypress(self, key: str | tuple[str, int, int, int]) -> None:
        """Keys that no pane took."""
        if key in ("q", "Q", "esc"):
            raise urwid.ExitMainLoop
        if key in ("tab", "shift tab"):
            self._focus_next(1 if key == "tab" else -1)

    @property
    def focused(self) -> Pane:
        row = self._body.focus_position
        if row < 3:
            return (self.nodes, self.vms, self.sources)[row]
        return (self.bundles, self.events)[self._below.focus_position]

    def _focus_next(self, step: int) -> None:
        panes = [self.nodes, self.vms, self.sources, self.bundles, self.events]
        number = (panes.index(self.focused) + step) % len(panes)
        self._body.focus_position = min(number, 3)
        if number >= 3:
            self._below.focus_position = number - 3

    def _framed(self, pane: Pane) -> Any:
        """The frame shines where the focus is; what is inside keeps its colours."""
        return urwid.AttrMap(self._boxes[pane], None, {None: "focused"})

    def _title(self, pane: Pane, count: int) -> None:
        self._boxes[pane].set_title(f"{self._titles[pane]} ({count})")
