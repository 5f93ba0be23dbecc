from __future__ import annotations

from trio.testing import MockClock

from tests.directory.partition import AIM_S, PARTITION_S, Partition
from tests.members import Members


async def test_each_side_works_from_what_it_knows_and_then_all_agree(
    members: Members, clock: MockClock
) -> None:
    outcome = await Partition(members, 4).run()
    # Of its own all is fresh, of the other side all is as it was, and stale.
    assert len(outcome.during) == 2
    for said in outcome.during:
        fresh = sorted(
            subject for kind, subject, _, stale in said if kind == "source" and not stale
        )
        stale = sorted(subject for kind, subject, _, stale in said if kind == "source" and stale)
        side, other = (0, 1) if "kept/0" in fresh else (1, 0)
        assert fresh == [f"kept/{side}", f"new/{side}"]
        assert stale == [f"kept/{other}", f"old/{other}"]
        assert sorted(stale for kind, _, _, stale in said if kind == "vm") == [False, True]
    assert outcome.youngest_stale_s > PARTITION_S
    assert outcome.after == outcome.expected
    assert outcome.healed_s is not None
    assert outcome.healed_s <= AIM_S
