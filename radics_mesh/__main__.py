"""`python -m radics_mesh`: the command line."""

from __future__ import annotations

import sys


def main() -> None:
    _load_structlog_without_rich()
    from radics_mesh.cli.entry import run

    sys.exit(run())


def _load_structlog_without_rich() -> None:
    """structlog loads rich wherever it finds it, to draw tracebacks: 5 MB in every node.

    Tables that people read are drawn with it all the same (radics_mesh.cli.tables).
    """
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


if __name__ == "__main__":
    main()
