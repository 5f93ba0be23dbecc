"""A short journey on every run; `make parks N=1000 SEED=7` goes further."""

from __future__ import annotations

from collections.abc import Callable

from tests.guest import parks
from tests.guest.conftest import Guest


def test_forty_parks_at_random_moments_make_no_difference(guest: Callable[[str], Guest]) -> None:
    parks.travel(guest("traveller").image, 40, seed=2)
