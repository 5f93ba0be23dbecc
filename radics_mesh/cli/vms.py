"""Commands about virtual machines: build an image, run it, watch it, move it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import click

from radics_mesh import cells
from radics_mesh.cli.asking import ask, ask_each, call, json_option, state_option, wants_json
from radics_mesh.cli.checkpoints import checkpoint_options
from radics_mesh.cli.lives import conduct_of, conduct_options
from radics_mesh.cli.recovery import policy_options
from radics_mesh.cli.tables import print_json, print_json_line, print_rows
from radics_mesh.cli.wishes import Signing, wish_options, wishes_of

_FEED_BYTES = 64 << 10
_HEX = "0123456789abcdef"


class _Output(click.Path):
    """A file to write, in a directory that is there."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Path:
        path = Path(str(super().convert(value, param, ctx)))
        if not path.name:
            self.fail("an empty name; give a file", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"there is no directory {path.parent}", param, ctx)
        return path


_FILE = click.Path(exists=True, dir_okay=False, readable=True, resolve_path=True, path_type=Path)


_SOURCE = click.Path(exists=True, readable=True, resolve_path=True, path_type=Path)


@click.command()
@click.argument("program", type=_SOURCE)
@click.option("-o", "--output", required=True, type=_Output(dir_okay=False))
@click.option("--arch", metavar="ARCH[,ARCH]", help="x86_64, aarch64 or both; else this host's.")
@click.option("--file", "files", multiple=True, metavar="SRC:DST", help="Bake a file in.")
@click.option("-g", "debug", is_flag=True, help="Keep symbols, for backtraces and gdb.")
@click.option("--argument", "arguments", multiple=True, help="For the program, for `run`.")
@wish_options
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
@json_option
@state_option
def build(
    program: Path,
    output: Path,
    arch: str | None,
    files: tuple[str, ...],
    debug: bool,
    arguments: tuple[str, ...],
    flags: tuple[str, ...],
    state: Path,
    **wishes: Any,
) -> None:
    """Make one bootable image of a PROGRAM. FLAGS after -- go to the compiler.

    Its name says the language: C++ (.cpp .cc .cxx), C (.c), Go (.go, or the folder of a main
    package), Python (.py), Rust (.rs), Java (.java). A static ELF file is taken as it is. C++20 and
    -O2, unless FLAGS say otherwise. Needs no running node.

    An image is for one kind of processor; nodes of the other kind emulate it. --arch with both
    makes two, OUTPUT's name with the architecture before its suffix: prog.x86_64.img and
    prog.aarch64.img.

    --file, given any number of times, bakes the file or directory SRC in; the program finds it
    under the absolute path DST.

    With -g the image brings its symbols along, so that every node can print backtraces with names,
    and the program as gdb wants it is written beside it, with the suffix .debug.

    Where --state is a member's, its key signs what the image is and how it is to be run, in
    OUTPUT.manifest; else the node signs that keeps the image.
    """
    # Imported here only: no other command needs the compiler's side.
    from radics_mesh.vmm.baked import collect
    from radics_mesh.vmm.build import architectures, build_image, outputs

    baked = collect(files)
    signing = Signing(state, wishes_of(output.stem, arguments, wishes))
    for name, path in outputs(output, architectures(arch)).items():

        def tell(step: str, name: str = name) -> None:
            click.echo(f"build: {name}: {step}", err=True)

        report = build_image(
            [program],
            path,
            arch=name,
            flags=flags,
            files=baked,
            debug=debug,
            name=output.stem,
            on_progress=tell,
        )
        took_s = report.compile_s + report.bake_s
        is_signed = signing.sign(path)
        if wants_json():
            row = {**asdict(report), "output": str(path), "signed": is_signed}
            print_json_line(row)
            continue
        needs = f"starts in {report.memory_bytes >> 20} MB of memory"
        signed = ", signed" if is_signed else ""
        click.echo(f"{path}: {report.image_bytes} bytes in {took_s:.1f} s; {needs}{signed}")


class _Image(click.ParamType[str]):
    """A file, or the digest of an image that the node has or finds."""

    name = "image"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        text = str(value)
        digits = text.lower()
        if not Path(text).exists() and 4 <= len(digits) <= 64 and set(digits) <= set(_HEX):
            return digits
        return str(_FILE.convert(value, param, ctx))


@click.command()
@click.argument("image", type=_Image())
@click.option("--name", required=True, help="What the VM is called.")
@click.option("--source", "sources", multiple=True, help="A data source that it reads.")
@click.option("--memory", type=click.IntRange(8, 1 << 20), help="MiB; else the image's, or 64.")
@click.option("--pin", is_flag=True, help="The scheduler must not move it.")
@click.option("--env", "environment", multiple=True, metavar="NAME=VALUE", help="For the program.")
@click.option("--stdin", type=click.File("rb"), help="A file to feed to the program, - for ours.")
@click.option("--open-stdin", is_flag=True, help="Its input stays open, for `feed`.")
@checkpoint_options
@conduct_options
@policy_options
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@json_option
@state_option
def run(
    image: str,
    name: str,
    sources: tuple[str, ...],
    memory: int | None,
    pin: bool,
    environment: tuple[str, ...],
    stdin: BinaryIO | None,
    open_stdin: bool,
    checkpoint_every_s: float,
    commit: str | None,
    policy: str,
    keep_at: tuple[str, ...],
    count: int,
    arguments: tuple[str, ...],
    state: Path,
    **conduct: Any,
) -> None:
    """Run an IMAGE as a new VM on this node. ARGUMENTS after -- go to the program.

    IMAGE is a file, or the digest of an image (or its first digits) as `image ls` has it, which is
    fetched if it is not here.

    With --stdin the command ends when all of the file is safe with the VM; what the program reads
    moves with it.
    """
    answer = call(
        state,
        "run",
        image=image,
        name=name,
        sources=list(sources),
        memory_bytes=(memory or 0) << 20,
        pin=pin,
        arguments=list(arguments),
        environment=list(environment),
        stdin=stdin is not None or open_stdin,
        checkpoint_every_s=checkpoint_every_s,
        commit_output=commit == "output",
        **conduct_of(conduct),
        policy=policy,
        keep_at=list(keep_at),
        count=count,
    )
    if wants_json():
        print_json(answer)
    else:
        _print_vm(answer)
    if stdin is not None:
        _feed(state, name, stdin, end=not open_stdin)


def _feed(state: Path, name: str, file: BinaryIO, *, end: bool) -> None:
    while data := file.read1(_FEED_BYTES) if hasattr(file, "read1") else file.read(_FEED_BYTES):
        call(state, "feed", name=name, data=data)
    if end:
        call(state, "feed", name=name, data=b"", end=True)


@click.command()
@click.argument("name")
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--end", is_flag=True, help="Nothing follows.")
@state_option
def feed(name: str, file: BinaryIO, end: bool, state: Path) -> None:
    """Feed FILE (default: standard input) to the program of a VM on this node, as its input.

    The VM was started with --open-stdin. Ends when all of FILE is safe with the VM.
    """
    _feed(state, name, file, end=end)


@click.command()
@json_option
@state_option
def ps(state: Path) -> None:
    """List VMs: this node's first, then those it knows of elsewhere."""
    rows = ask(state, "ps")["vms"]
    print_rows(cells.VM_COLUMNS, rows, cells.vm_row, nothing="no VM is known")


@click.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the VM ends.")
@json_option
@state_option
def logs(name: str, follow: bool, state: Path) -> None:
    """Print what the VM's program wrote."""
    ask_each(state, "logs", _print_log, name=name, follow=follow)


def _print_log(item: dict[str, Any]) -> None:
    """The bytes as they are for a file or pipe; on a terminal no guest moves the cursor."""
    data: bytes = item["data"]
    if sys.stdout.isatty():
        lines = data.decode("utf-8", "replace").split("\n")
        data = "\n".join(cells.printable(line.replace("\t", "    ")) for line in lines).encode()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


@click.command()
@click.argument("name")
@json_option
@state_option
def stack(name: str, state: Path) -> None:
    """Print what each thread of a VM waits in, running or saved.

    With the names of functions and lines when it was built with -g.
    """
    for thread in ask(state, "stack", name=name)["threads"]:
        for number, line in enumerate(thread):
            click.echo(cells.printable(f"  {line}" if number else line))


@click.command()
@click.argument("saved", metavar="NAME|SNAPSHOT")
@click.option("-o", "--output", required=True, type=_Output(dir_okay=False))
@click.option("--image", type=_FILE, help="The image that a SNAPSHOT file is of.")
@state_option
def core(saved: str, output: Path, image: Path | None, state: Path) -> None:
    """Write a saved VM's program as a core file, for gdb.

    Then: gdb PROG.debug CORE, with the PROG.debug that build -g wrote (gdb-multiarch for another
    architecture than this computer's).
    """
    from radics_mesh.debug.core import write_core
    from radics_mesh.debug.saved import load_saved

    snapshot = Path(saved)
    if image is None:
        found = ask(state, "saved", name=saved)
        image, snapshot = Path(found["image"]), Path(found["snapshot"])
    debuggable, guest = load_saved(image, snapshot)
    threads = write_core(guest, debuggable.program.architecture, output)
    click.echo(f"{output}: {threads} threads")


@click.command()
@click.argument("name")
@json_option
@state_option
def stop(name: str, state: Path) -> None:
    """End a VM for good."""
    _print_vm(ask(state, "stop", name=name))


@click.command()
@click.argument("name")
@json_option
@state_option
def save(name: str, state: Path) -> None:
    """Park a VM and keep it on disk."""
    _print_vm(ask(state, "save", name=name))


@click.command()
@click.argument("name")
@json_option
@state_option
def resume(name: str, state: Path) -> None:
    """Go on with a saved VM."""
    _print_vm(ask(state, "resume", name=name))


@click.command()
@click.argument("name")
@json_option
@state_option
def where(name: str, state: Path) -> None:
    """Print where a VM is and the chain of its owners."""
    answer = ask(state, "where", name=name)
    stale = ", stale" if answer["stale"] else ""
    seen = f"{cells.duration(answer['age_s'])} ago{stale}"
    if answer["age_s"] is None:
        seen = "not heard of since"
    policy = f", {answer['policy']}" if answer["policy"] else ""
    word = "to" if answer["state"] in ("released", "moved") else "on"
    where = f"{answer['state']} {word} {answer['node']} ({seen}){policy}"
    click.echo(cells.printable(f"{answer['name']}: {where}"))
    for link in answer["chain"]:
        snapshot = f"  from snapshot {link['snapshot'][:16]}" if link["snapshot"] else "  born"
        how = "" if link["how"] in ("born", "released") else f", {link['how']}"
        click.echo(cells.printable(f"  epoch {link['epoch']}  {link['holder']}{snapshot}{how}"))


@click.command()
@click.argument("name")
@json_option
@state_option
def why(name: str, state: Path) -> None:
    """Explain the scheduler's last decision about a VM."""
    for line in ask(state, "why", name=name)["lines"]:
        click.echo(cells.printable(line))


def _print_vm(answer: dict[str, Any]) -> None:
    vm = answer["vm"]
    click.echo(cells.printable(f"{vm['name']} ({vm['id'][:8]}) is {vm['state']} on {vm['node']}"))


COMMANDS = [build, run, feed, ps, logs, stack, core, stop, save, resume, where, why]
