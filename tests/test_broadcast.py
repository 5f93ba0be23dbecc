from __future__ import annotations

import trio

from radics_mesh.broadcast import BUFFERED_MAX, Broadcast
from tests.patience import PATIENCE_S


async def test_everyone_hears_everything() -> None:
    news: Broadcast[int] = Broadcast()
    first, second = news.listen(), news.listen()
    news.tell(1)
    news.tell(2)
    for listener in (first, second):
        assert [await listener.receive(), await listener.receive()] == [1, 2]


async def test_a_slow_listener_loses_the_oldest() -> None:
    news: Broadcast[int] = Broadcast()
    listener = news.listen()
    for number in range(BUFFERED_MAX + 3):
        news.tell(number)
    assert await listener.receive() == 3


async def test_who_stopped_listening_is_forgotten() -> None:
    news: Broadcast[int] = Broadcast()
    gone, stays = news.listen(), news.listen()
    gone.close()
    news.tell(1)
    assert stays.receive_nowait() == 1
    assert len(news._ends) == 1


async def test_a_waiting_listener_wakes() -> None:
    news: Broadcast[int] = Broadcast()
    listener = news.listen()
    with trio.fail_after(PATIENCE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.receive)
            await trio.testing.wait_all_tasks_blocked()
            news.tell(7)
