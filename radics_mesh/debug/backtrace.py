"""Backtraces as text: of a thread's registers and stack, with the names that an image brings."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from radics_mesh.debug.image import Debuggable
from radics_mesh.debug.lines import Lines
from radics_mesh.debug.unwind import Place, Unwinder
from radics_mesh.errors import WireError

# Binutils' own: names of an image are not for a demangler in the node's process.
_DEMANGLER = "c++filt"
_DEMANGLE_S = 5.0
_NAME_MAX = 300
Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Frame:
    """`address`: in the program's ELF file."""

    address: int
    function: str | None
    offset: int
    file: str | None
    line: int

    def __str__(self) -> str:
        text = f"0x{self.address:x}"
        if self.function is not None:
            text += f" in {self.function}+0x{self.offset:x}"
        if self.file is not None:
            text += f" at {self.file}:{self.line}"
        return text


class Backtracer:
    """For one image. WireError when there is no program in it."""

    def __init__(self, image: Debuggable) -> None:
        self._image = image
        self._names = image.symbols or image.program
        self._lines = Lines(image.symbols.content) if image.symbols else None

    @property
    def architecture(self) -> str:
        return self._image.program.architecture.name

    @property
    def has_symbols(self) -> bool:
        return self._image.symbols is not None

    def frames(self, base: int, registers: Sequence[int], read: Read) -> list[Frame]:
        """Innermost first; empty when the registers are not the architecture's."""
        unwinder = Unwinder(self._image.program, base)
        return [self._frame(place) for place in unwinder.places(registers, read)]

    def _frame(self, place: Place) -> Frame:
        inside = place.address - place.called
        try:
            symbol = self._names.symbol(inside)
        except WireError:
            symbol = None
        name, start = symbol if symbol else (None, 0)
        found = self._lines.at(inside) if self._lines else None
        file, line = found if found else (None, 0)
        return Frame(place.address, name, place.address - start, file, line)


def demangled(stacks: Sequence[Sequence[Frame]]) -> list[list[Frame]]:
    """The same with C++ names as people write them; as they are when there is no c++filt."""
    names = sorted({f.function for frames in stacks for f in frames if f.function})
    plain = dict(zip(names, _demangle(names), strict=True))
    return [list(_renamed(frames, plain)) for frames in stacks]


def _renamed(frames: Sequence[Frame], plain: dict[str, str]) -> Iterator[Frame]:
    for f in frames:
        name = plain[f.function][:_NAME_MAX] if f.function else None
        yield Frame(f.address, name, f.offset, f.file, f.line)


def _demangle(names: Sequence[str]) -> list[str]:
    # A line a name, so a name with a line's end in it, which no compiler makes, is left alone.
    if not any(name.startswith("_Z") for name in names) or any("\n" in name for name in names):
        return list(names)
    try:
        done = subprocess.run(
            [_DEMANGLER],
            input="\n".join(names) + "\n",
            capture_output=True,
            text=True,
            timeout=_DEMANGLE_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError, UnicodeError):
        return list(names)
    lines = done.stdout.split("\n")[:-1]
    return lines if len(lines) == len(names) else list(names)
