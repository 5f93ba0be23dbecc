"""One pane: a heading and lines below it, scrolled with the arrow keys, cut to its width.

urwid's own lists keep a widget a line; these panes are filled anew each second, so they hold plain
text and draw only the lines that are seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import urwid

from radics_mesh.cells import Row, plain_table

_SCROLL = {"up": -1, "down": 1}


def fitted(
    columns: Sequence[str], rows: Sequence[Row], width: int, droppable: Sequence[str]
) -> list[str]:
    """A table's lines at most `width` wide, without as few of the droppable columns as possible.

    What is still too wide then is cut by the terminal's edge.
    """
    kept = list(range(len(columns)))
    drops = [columns.index(name) for name in droppable]
    while True:
        lines = plain_table([columns[n] for n in kept], [[row[n] for n in kept] for row in rows])
        if not drops or max(map(len, lines)) <= width:
            return lines
        kept.remove(drops.pop(0))


class Pane(urwid.Widget):
    """A box of text lines that can be focused and scrolled. The first `fixed` lines stay."""

    _sizing = frozenset([urwid.BOX])
    _selectable = True

    def __init__(self, *, at_end: bool = False) -> None:
        super().__init__()
        self._columns: Sequence[str] = ()
        self._rows: Sequence[Row] = ()
        self._droppable: Sequence[str] = ()
        self._offset = 0
        # A journal shows its end until somebody scrolls up.
        self._at_end = at_end
        self._follows = at_end

    def show_table(
        self, columns: Sequence[str], rows: Sequence[Row], droppable: Sequence[str] = ()
    ) -> None:
        self._columns, self._rows, self._droppable = columns, rows, droppable
        self._invalidate()

    def show_lines(self, lines: Sequence[str]) -> None:
        self.show_table((), [[line] for line in lines])

    def render(self, size: Any, focus: bool = False) -> urwid.Canvas:
        width, height = size
        heading, lines = self._lines(width)
        space = max(0, height - len(heading))
        self._clamp(len(lines), space)
        shown = lines[self._offset : self._offset + space]
        markup: list[Any] = [("heading", line + "\n") for line in heading[:height]]
        # Named, so that the focus colours the frame around it only.
        markup.append(("text", "\n".join(shown)))
        text = urwid.Text(markup, wrap=urwid.WrapMode.CLIP)
        canvas = urwid.CompositeCanvas(text.render((width,)))
        canvas.pad_trim_top_bottom(0, height - canvas.rows())
        return canvas

    def keypress(self, size: Any, key: str) -> str | None:
        _, height = size
        page = max(1, height - 2)
        steps = {**_SCROLL, "page up": -page, "page down": page, "home": -1 << 30, "end": 1 << 30}
        if key not in steps:
            return key
        self._offset += steps[key]
        self._follows = False
        self._clamp(len(self._rows), max(0, height - (1 if self._columns else 0)))
        self._invalidate()
        return None

    def _clamp(self, count: int, space: int) -> None:
        last = max(0, count - space)
        if self._follows or self._offset >= last:
            self._offset = last
            self._follows = self._at_end
        self._offset = max(0, self._offset)

    def _lines(self, width: int) -> tuple[list[str], list[str]]:
        """The heading, which stays, and the rest."""
        if not self._columns:
            return [], [row[0] for row in self._rows]
        lines = fitted(self._columns, self._rows, width, self._droppable)
        return lines[:1], lines[1:]
