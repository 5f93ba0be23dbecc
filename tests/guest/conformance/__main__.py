"""python -m tests.guest.conformance [--arch ARCH,...] [NAME ...]

The table; exit status 0 if all agree."""

from __future__ import annotations

import sys

from tests.guest.conformance.table import Verdict, judge_all, libraries, programs

MARKS: dict[str | None, str] = {None: "same", "": "-"}


def line(verdict: Verdict, archs: tuple[str, ...]) -> str:
    marks = (MARKS.get(verdict.wrong.get(arch, ""), "DIFFERS") for arch in archs)
    text = f"{verdict.name:32} {verdict.here:24} " + " ".join(f"{mark:8}" for mark in marks)
    for arch, wrong in verdict.wrong.items():
        if wrong:
            text += f"\n    {arch}: {wrong}"
    return text


def main(names: list[str]) -> int:
    archs: tuple[str, ...] = ("x86_64", "aarch64")
    if names[:1] == ["--arch"]:
        archs, names = tuple(names[1].split(",")), names[2:]
    chosen = [
        path
        for path in [*programs(), *libraries()]
        if not names or any(n in path.name for n in names)
    ]
    print(f"{'program':32} {'here':24} " + " ".join(f"{arch:8}" for arch in archs))
    agree = 0
    for verdict in judge_all(chosen, archs):
        print(line(verdict, archs), flush=True)
        agree += verdict.agrees
    print(
        f"{agree} of {len(chosen)} programs say in guests ({', '.join(archs)}) what they say here"
    )
    return int(agree < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
