"""The Trio shell of the status screen: the node's stream in, a redraw for each Status out."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import cast

import trio
import urwid

from radics_mesh.control import ControlClient
from radics_mesh.control_shapes.mesh import Status
from radics_mesh.errors import LinkError, MeshError
from radics_mesh.tui.screen import PALETTE, Screen

REFRESH_S = 1.0
RETRY_S = 1.0


def run_screen(state: Path) -> None:
    """Show the node's state until the user quits. UsageError at once if no node runs."""
    trio.run(_run, state)


async def _run(state: Path) -> None:
    client = ControlClient(state)
    screen = Screen()
    screen.show(cast(Status, await client.call("status")))
    event_loop = urwid.TrioEventLoop()
    main_loop = urwid.MainLoop(
        screen.widget,
        PALETTE,
        unhandled_input=screen.keypress,
        event_loop=event_loop,
        handle_mouse=False,
    )
    async with trio.open_nursery() as nursery:
        with main_loop.start():
            nursery.start_soon(follow, client, screen, main_loop.draw_screen)
            await event_loop.run_async()
        nursery.cancel_scope.cancel()


async def follow(client: ControlClient, screen: Screen, redraw: Callable[[], object]) -> None:
    """Keep the screen true until cancelled; a node that went away is asked for each second."""
    while True:
        try:
            async with aclosing(client.stream("watch", interval_s=REFRESH_S)) as statuses:
                async for status in statuses:
                    screen.show(cast(Status, status))
                    redraw()
            raise LinkError("it ended")
        except MeshError as error:
            screen.show_down(str(error))
            redraw()
        await trio.sleep(RETRY_S)
