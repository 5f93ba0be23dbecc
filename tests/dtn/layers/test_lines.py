import pytest
from trio.testing import memory_stream_pair

from radics_mesh.dtn.layers.lines import SETTLED_S, Line, prefers
from radics_mesh.dtn.layers.tcpcl_session import TcpclSession
from radics_mesh.ids import NodeId
from tests.dtn.layers.test_tcpcl_session import Inbox, session_of_bob

LOW, HIGH = NodeId(bytes(20)), NodeId(b"\xff" * 20)


def session() -> TcpclSession:
    return session_of_bob(memory_stream_pair()[0], Inbox())


def line(peer: NodeId, *, initiated: bool, began: float = 0.0) -> Line:
    return Line(peer, initiated, memory_stream_pair()[0], session(), began=began)


@pytest.mark.parametrize("low_dialled_is_new_at_low", [False, True])
@pytest.mark.parametrize("low_dialled_is_new_at_high", [False, True])
async def test_both_sides_keep_what_the_smaller_id_dialled(
    low_dialled_is_new_at_low: bool, low_dialled_is_new_at_high: bool
) -> None:
    """In whatever order the two sessions come up at each side."""
    at_low = {d: line(HIGH, initiated=d) for d in (False, True)}
    new = at_low[low_dialled_is_new_at_low]
    old = at_low[not low_dialled_is_new_at_low]
    assert (new if prefers(LOW, new, old) else old).initiated
    at_high = {d: line(LOW, initiated=not d) for d in (False, True)}
    new = at_high[low_dialled_is_new_at_high]
    old = at_high[not low_dialled_is_new_at_high]
    assert not (new if prefers(HIGH, new, old) else old).initiated


async def test_a_caller_has_lost_its_older_session() -> None:
    old = line(HIGH, initiated=True)
    assert not prefers(LOW, line(HIGH, initiated=False, began=SETTLED_S - 1), old)
    assert prefers(LOW, line(HIGH, initiated=False, began=SETTLED_S), old)
    assert prefers(HIGH, line(LOW, initiated=False, began=1.0), line(LOW, initiated=False))
