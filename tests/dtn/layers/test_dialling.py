from radics_mesh.config import Address
from radics_mesh.dtn.layers.dialling import Backoff, Target

HOME, WORK = Address("10.0.0.1"), Address("10.1.0.1")
ONE, TWO, THREE = (Address("10.0.0.1", port) for port in (1, 2, 3))


def test_waits_double_up_to_a_bound() -> None:
    backoff = Backoff(0.5, 3.0, lambda: 1.0)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_jitter_takes_at_most_half() -> None:
    assert Backoff(1.0, 3.0, lambda: 0.0).next_s() == 0.5


async def test_the_latest_address_goes_first() -> None:
    target = Target(None, [ONE])
    news = target.news
    target.learn([ONE])
    assert not news.is_set()
    target.learn([TWO, THREE])
    assert news.is_set()
    assert target.addresses == [TWO, THREE, ONE]
    target.learn([Address("10.0.0.2", port) for port in range(1, 9)])
    assert len(target.addresses) == 4


def test_a_peer_leaves_only_where_it_said_that_it_was() -> None:
    target = Target(None, [])
    target.learn([HOME])  # seen there, through a NAT perhaps
    assert not target.states([WORK])
    assert target.states([HOME]) == {WORK.host}
    assert not target.states([HOME])
    assert target.addresses == [HOME, WORK]
