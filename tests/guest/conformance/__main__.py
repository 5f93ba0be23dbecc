"""python -m tests.guest.conformance [NAME ...]: the table; exit status 0 if all agree."""

from __future__ import annotations

import sys

from tests.guest.conformance.table import HERE, Verdict, judge_all, programs


def line(verdict: Verdict, archs: tuple[str, ...]) -> str:
    marks = ("same" if verdict.wrong.get(arch, "-") is None else "DIFFERS" for arch in archs)
    text = f"{verdict.name:32} {verdict.here:24} " + " ".join(f"{mark:8}" for mark in marks)
    for arch, wrong in verdict.wrong.items():
        if wrong:
            text += f"\n    {arch}: {wrong}"
    return text


def main(names: list[str]) -> int:
    archs = (HERE,)
    chosen = [path for path in programs() if not names or any(n in path.name for n in names)]
    print(f"{'program':32} {'here':24} " + " ".join(f"{arch:8}" for arch in archs))
    agree = 0
    for verdict in judge_all(chosen, archs):
        print(line(verdict, archs), flush=True)
        agree += verdict.agrees
    print(f"{agree} of {len(chosen)} programs say the same on {', '.join(archs)} as here")
    return int(agree < len(chosen))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
