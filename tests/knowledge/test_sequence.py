from __future__ import annotations

from pathlib import Path

from radics_mesh.clock import Monotonic, Wall
from radics_mesh.knowledge.sequence import RESERVED, SequenceNumbers


class WallAt:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def monotonic(self) -> Monotonic:
        return Monotonic(0.0)

    def wall(self) -> Wall:
        return Wall(self.seconds)


def test_it_grows_over_restarts_and_backward_steps(tmp_path: Path) -> None:
    path, last = tmp_path / "sequence", 0
    for seconds in (1e9, 1e9, 5.0, 2e9, 1e9):
        numbers = SequenceNumbers(path, WallAt(seconds))
        for _ in range(3):
            assert numbers.next() > last
            last = numbers.next()


def test_it_follows_the_wall_clock_when_the_file_is_lost(tmp_path: Path) -> None:
    first = SequenceNumbers(tmp_path / "a", WallAt(1e9)).next()
    assert SequenceNumbers(tmp_path / "b", WallAt(1e9 + 1)).next() > first


def test_the_disk_is_synced_rarely(tmp_path: Path) -> None:
    path, clock = tmp_path / "sequence", WallAt(1e9)
    numbers = SequenceNumbers(path, clock)
    numbers.next()
    path.unlink()
    for _ in range(1000):
        clock.seconds += 1
        numbers.next()
    assert not path.exists()
    clock.seconds += RESERVED / 1000
    numbers.next()
    assert path.exists()


def test_numbers_of_an_earlier_life_are_passed_by(tmp_path: Path) -> None:
    numbers = SequenceNumbers(tmp_path / "sequence", WallAt(1e9))
    numbers.used(1 << 45)
    assert numbers.next() > 1 << 45
    numbers.used((1 << 62) - 1)
    assert numbers.next() < 1 << 61


def test_a_damaged_file_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "sequence").write_bytes(b"junk")
    assert SequenceNumbers(tmp_path / "sequence", WallAt(1e9)).next() >= 1e12
