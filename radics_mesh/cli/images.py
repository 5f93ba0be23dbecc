"""Commands about images: what is here, what it is, from and to other nodes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, cast

import click

from radics_mesh import cells
from radics_mesh.cli.asking import ask, json_option, state_option
from radics_mesh.cli.tables import print_rows
from radics_mesh.cli.wishes import wish_options, wishes_of
from radics_mesh.control_shapes.kept import ImageInfo, ImageRow

_FILE = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True, path_type=Path)
_COLUMNS = ["IMAGE", "NAME", "ARCH", "SIZE", "STATE", "USED BY", "LAST USED", "ALSO ON"]


@click.group()
def image() -> None:
    """Images on this node: list, inspect, add, pin, remove, push to and pull from others.

    IMAGE is an image's digest or its first digits, at least four.
    """


def _row(row: ImageRow) -> cells.Row:
    state = "pinned" if row["pinned"] and row["state"] == "here" else row["state"]
    if row["state"] == "coming":
        state = f"coming {row['have']}/{row['pieces'] or '?'}"
    return [
        row["image"][:12],
        cells.printable(row["name"]) or "-",
        cells.printable(row["arch"]),
        cells.size(row["size"]),
        state,
        cells.printable(", ".join(row["vms"])) or "-",
        cells.duration(row["used_s"]),
        cells.printable(", ".join(row["holders"])) or "-",
    ]


@image.command("ls")
@json_option
@state_option
def list_images(state: Path) -> None:
    """List images: here, on their way here, and known at other nodes."""
    answer = ask(state, "images")
    print_rows(_COLUMNS, answer["images"], _row, nothing="no image is known")
    click.echo(f"{cells.size(answer['used'])} of {cells.size(answer['quota'])} used", err=True)


@image.command()
@click.argument("image")
@json_option
@state_option
def inspect(image: str, state: Path) -> None:
    """Print what is signed of an IMAGE that is here."""
    _print_info(cast(ImageInfo, ask(state, "image", image=image)))


def _print_info(info: ImageInfo) -> None:
    lines = {
        "image": info["image"],
        "name": info["name"] or "-",
        "for": info["arch"],
        "size": f"{info['size']} bytes in {info['pieces']} pieces",
        "signed by": info["builder"],
        "signed at": time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(info["created"])),
        "memory": cells.memory(info["memory"]) if info["memory"] else "-",
        "arguments": " ".join(info["arguments"]) or "-",
        "sources": ", ".join(info["sources"]) or "-",
        "restart": info["restart"] or "-",
        "policy": info["policy"] or "-",
        "pinned": "yes" if info["pinned"] else "no",
    }
    for name, value in lines.items():
        click.echo(f"{name:10} {cells.printable(value)}")


@image.command()
@click.argument("file", type=_FILE)
@click.option("--name", help="What people call it; else the file's name.")
@wish_options
@click.option("--pin", is_flag=True, help="Never make room of it.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@json_option
@state_option
def add(
    file: Path,
    name: str | None,
    pin: bool,
    arguments: tuple[str, ...],
    state: Path,
    **options: Any,
) -> None:
    """Keep the image FILE on this node and sign for it, so that every node can fetch it.

    --memory, --source, --restart, --policy and ARGUMENTS after -- are what `run` takes if its user
    says nothing else. With none of them and no --name, an image that `build` has signed stays
    signed by its builder.
    """
    wishes = wishes_of(name or "", arguments, options)
    answer = ask(
        state,
        "image_add",
        file=str(file),
        name=wishes.name,
        memory_bytes=wishes.memory_bytes,
        arguments=list(wishes.arguments),
        sources=list(wishes.sources),
        restart=wishes.restart,
        policy=wishes.policy,
        pin=pin,
    )
    _print_info(cast(ImageInfo, answer))


@image.command()
@click.argument("image")
@json_option
@state_option
def rm(image: str, state: Path) -> None:
    """Remove an IMAGE from this node, also one that is on its way here."""
    click.echo(f"{ask(state, 'image_rm', image=image.lower())['image'][:12]} removed")


@image.command()
@click.argument("image")
@click.option("--off", is_flag=True, help="Not any more.")
@json_option
@state_option
def pin(image: str, off: bool, state: Path) -> None:
    """Keep an IMAGE whatever else needs room."""
    answer = ask(state, "image_pin", image=image, pinned=not off)
    click.echo(f"{answer['image'][:12]} {'may go when room is needed' if off else 'stays'}")


@image.command()
@click.argument("image")
@click.option("--pin", is_flag=True, help="And keep it.")
@json_option
@state_option
def pull(image: str, pin: bool, state: Path) -> None:
    """Fetch an IMAGE from all nodes that hold it. Interrupted, it goes on by itself."""
    click.echo(f"{ask(state, 'image_pull', image=image, pin=pin)['image'][:12]} is here")


@image.command()
@click.argument("image")
@click.argument("node")
@click.option("--pin", is_flag=True, help="It is to be kept there.")
@json_option
@state_option
def push(image: str, node: str, pin: bool, state: Path) -> None:
    """Bring an IMAGE to NODE. Interrupted, it goes on by itself."""
    answer = ask(state, "image_push", image=image, to=node, pin=pin)
    click.echo(f"{answer['image'][:12]} is on {cells.printable(node)}")


COMMANDS = (image,)
