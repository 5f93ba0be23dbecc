"""Each program of tests/guest/conformance says in a guest what it says here. `make conformance`
prints the same as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from radics_mesh.vmm.build import build_kernel
from tests.guest.conformance.table import HERE, WORKERS, Verdict, judge, programs
from tests.guest.conftest import missing

pytestmark = pytest.mark.skipif(bool(missing), reason=f"no {', '.join(missing)} on this machine")


@pytest.fixture(scope="session")
def verdicts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Verdict]]]:
    """Of the programs that were chosen, two at a time: compiling is what takes the time."""
    names = {item.name for item in request.session.items if item.path == Path(__file__)}
    chosen = [
        source for source in programs() if f"test_says_what_it_says_here[{source.name}]" in names
    ]
    folder = tmp_path_factory.mktemp("conformance")
    build_kernel()
    with ThreadPoolExecutor(WORKERS) as pool:
        yield {source.name: pool.submit(judge, source, folder, (HERE,)) for source in chosen}


@pytest.mark.parametrize("source", programs(), ids=lambda path: path.name)
def test_says_what_it_says_here(source: Path, verdicts: Mapping[str, Future[Verdict]]) -> None:
    verdict = verdicts[source.name].result()
    assert verdict.agrees, f"{verdict.here}: {verdict.wrong}"


def test_there_are_enough() -> None:
    assert len(programs()) >= 100
