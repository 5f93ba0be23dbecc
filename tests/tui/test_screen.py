"""What the status screen shows, drawn on urwid's own canvases."""

from __future__ import annotations

import pytest
import urwid

from radics_mesh.tui.pane import Pane, fitted
from radics_mesh.tui.screen import Screen
from tests import answers


def drawn(screen: Screen, columns: int = 80, rows: int = 24) -> list[str]:
    """The screen's lines as text."""
    canvas = screen.widget.render((columns, rows), focus=True)
    return [line.decode() for line in canvas.text]


@pytest.fixture
def screen() -> Screen:
    screen = Screen()
    screen.show(answers.status())
    return screen


def test_a_small_terminal_shows_all_panes(screen: Screen) -> None:
    lines = drawn(screen)
    text = "\n".join(lines)
    assert (len(lines), {len(line) for line in lines}) == (24, {80})
    assert lines[0].startswith(" barn  mesh mmmmmmmm  up 60 min  in 1.2 MB  out 999 B")
    for word in (
        "Nodes (3)",
        "VMs (1)",
        "Sources (1)",
        "Bundles",
        "Events",
        "tower",
        "4.2 ms",
        "received 12",
    ):
        assert word in text
    # The narrow VM table gives up columns, but not what matters most.
    for word in ("wordcount", "running", "41 kB/s"):
        assert word in text
    assert "q quit" in lines[-1]


def test_a_journal_shows_its_newest_line(screen: Screen) -> None:
    text = "\n".join(drawn(screen))
    assert "event 29" in text
    assert "event 0\n" not in text


@pytest.mark.parametrize("size", [(200, 60), (81, 25), (40, 12), (20, 8), (5, 3)])
def test_any_size_can_be_drawn(screen: Screen, size: tuple[int, int]) -> None:
    lines = drawn(screen, *size)
    assert len(lines) == size[1]
    if size[0] == 200:
        assert "64 MiB" in "\n".join(lines)


def test_tab_goes_round_the_panes(screen: Screen) -> None:
    panes = [screen.nodes, screen.vms, screen.sources, screen.bundles, screen.events]
    seen = []
    for _ in range(6):
        seen.append(panes.index(screen.focused))
        screen.keypress("tab")
    assert seen == [0, 1, 2, 3, 4, 0]
    screen.keypress("shift tab")
    assert screen.focused is screen.nodes


def test_q_quits(screen: Screen) -> None:
    with pytest.raises(urwid.ExitMainLoop):
        screen.keypress("q")


def test_a_node_that_is_down_leaves_the_last_state(screen: Screen) -> None:
    screen.show_down("it ended")
    lines = drawn(screen)
    assert lines[0].startswith(" node is down, retrying: it ended")
    assert "tower" in "\n".join(lines)
    screen.show(answers.status())
    assert drawn(screen)[0].startswith(" barn")


def test_names_of_others_cannot_control_the_terminal(screen: Screen) -> None:
    status = answers.status()
    status["vms"] = [answers.vm("a\x1b[2J\nb")]
    screen.show(status)
    assert "\x1b" not in "".join(drawn(screen))


def pane_lines(pane: Pane, rows: int) -> list[str]:
    return [line.decode().rstrip() for line in pane.render((20, rows)).text]


def test_a_table_scrolls_below_its_heading() -> None:
    pane = Pane()
    pane.show_table(["N"], [[str(n)] for n in range(10)])
    assert pane_lines(pane, 4) == ["N", "0", "1", "2"]
    pane.keypress((20, 4), "down")
    assert pane_lines(pane, 4) == ["N", "1", "2", "3"]
    pane.keypress((20, 4), "end")
    assert pane_lines(pane, 4) == ["N", "7", "8", "9"]
    pane.keypress((20, 4), "page up")
    assert pane_lines(pane, 4) == ["N", "5", "6", "7"]
    pane.keypress((20, 4), "home")
    assert pane_lines(pane, 4) == ["N", "0", "1", "2"]
    assert pane.keypress((20, 4), "x") == "x"


def test_a_journal_follows_its_end_until_scrolled_up() -> None:
    pane = Pane(at_end=True)
    pane.show_lines(list("abcd"))
    assert pane_lines(pane, 2) == ["c", "d"]
    pane.show_lines(list("abcde"))
    assert pane_lines(pane, 2) == ["d", "e"]
    pane.keypress((20, 2), "up")
    pane.show_lines(list("abcdef"))
    assert pane_lines(pane, 2) == ["c", "d"]
    pane.keypress((20, 2), "end")
    pane.show_lines(list("abcdefg"))
    assert pane_lines(pane, 2) == ["f", "g"]


def test_columns_are_dropped_only_as_far_as_needed() -> None:
    columns, rows = ["A", "B", "C"], [["aaaa", "bbbb", "cccc"]]
    assert fitted(columns, rows, 16, ["B", "A"])[1] == "aaaa  bbbb  cccc"
    assert fitted(columns, rows, 15, ["B", "A"])[1] == "aaaa  cccc"
    assert fitted(columns, rows, 1, ["B", "A"])[1] == "cccc"
