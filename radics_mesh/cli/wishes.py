"""How an image is to be run unless its user says otherwise: options of `build` and `image add`; and
signing for an image where it is built."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from radics_mesh.durable import write_durably
from radics_mesh.errors import UsageError
from radics_mesh.hosting.policy import check_choices
from radics_mesh.identity import Identity
from radics_mesh.node.state import MEMBERSHIP_NAME, StateDirectory
from radics_mesh.vmm import images
from radics_mesh.vmm.image_manifest import Wishes, beside, sign

_Command = TypeVar("_Command", bound=Callable[..., Any])


def wish_options(command: _Command) -> _Command:
    """`wishes_of` makes Wishes of them."""
    options = (
        click.option("--memory", type=click.IntRange(2, 1 << 20), help="MiB, for `run`."),
        click.option("--source", "sources", multiple=True, help="A data source, for `run`."),
        click.option("--restart", default="", metavar="RESTART", help="As for `run`."),
        click.option("--policy", default="", metavar="POLICY", help="As for `run`."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def wishes_of(name: str, arguments: tuple[str, ...], options: dict[str, Any]) -> Wishes:
    """UsageError for a choice that `run` would refuse."""
    check_choices(options["restart"], options["policy"])
    return Wishes(
        name,
        (options["memory"] or 0) << 20,
        arguments,
        tuple(options["sources"]),
        options["restart"],
        options["policy"],
    )


class Signing:
    """Of images that are built here, by the key of the node whose state is in `path`, if it is a
    member of a mesh. UsageError: it is none, but an image's wishes are to be signed."""

    def __init__(self, path: Path, wishes: Wishes) -> None:
        self._wishes = wishes
        self._identity: Identity | None = None
        self._chain = b""
        # Whoever only builds shall not be given a state directory.
        if (path / MEMBERSHIP_NAME).is_file():
            state = StateDirectory(path)
            membership = state.membership()
            assert membership is not None
            self._identity, self._chain = state.identity(), membership.chain.pack()
        elif wishes:
            raise UsageError(
                f"how an image is to be run is signed with it, and {path} is no member's state:"
                " join a mesh first, or say it to `image add` or `run`"
            )

    def sign(self, image: Path) -> bool:
        """Beside the image, durably. Without a key nothing may be left there of an older one."""
        if self._identity is None:
            beside(image).unlink(missing_ok=True)
            return False
        content = images.read(image)
        info, created = images.inspect(content), int(time.time())
        signed = sign(content, info, self._wishes, created, self._identity, self._chain)
        write_durably(beside(image), signed.pack())
        return True
