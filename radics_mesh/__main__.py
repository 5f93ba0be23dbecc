"""`python -m radics_mesh`: the command line."""

from __future__ import annotations

import sys

from radics_mesh.cli.entry import run


def main() -> None:
    sys.exit(run())


if __name__ == "__main__":
    main()
