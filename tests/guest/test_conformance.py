"""Each program of tests/guest/conformance says in a guest what it says here, and so do two
libraries in C. `make conformance` prints it as a table, for all on both architectures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from radics_mesh.vmm.build import build_kernel
from tests.guest.conformance.table import HERE, LIBRARIES, WORKERS, Verdict, judge, programs

CHOSEN = [*programs(), LIBRARIES / "sqlite.c", LIBRARIES / "zlib.c"]
# What rests on an architecture's own code runs on the other one too.
OWN_CODE = ("signal_", "setjmp", "context", "map_code", "math_", "exit_by_", "thread_cancel")


def archs_of(source: Path) -> tuple[str, ...]:
    return (HERE, "aarch64") if source.name.startswith(OWN_CODE) else (HERE,)


@pytest.fixture(scope="session")
def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Verdict]]]:
    """Of the programs that were chosen, two at a time: compiling is what takes the time."""
    names = {item.name for item in request.session.items if item.path == Path(__file__)}
    chosen = [source for source in CHOSEN if f"test_says_what_it_says_here[{source.name}]" in names]
    folder = tmp_path_factory.mktemp("conformance")
    build_kernel()
    with ThreadPoolExecutor(WORKERS) as pool:
        yield {
            source.name: pool.submit(judge, source, folder, archs_of(source)) for source in chosen
        }


@pytest.mark.parametrize("source", CHOSEN, ids=lambda path: path.name)
def test_says_what_it_says_here(source: Path, verdicts: Mapping[str, Future[Verdict]]) -> None:
    verdict = verdicts[source.name].result()
    assert verdict.agrees, f"{verdict.here}: {verdict.wrong}"


def test_there_are_enough() -> None:
    assert len(programs()) >= 100
