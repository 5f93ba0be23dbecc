from __future__ import annotations

from collections import Counter
from random import Random

import trio
from trio.testing import MockClock

from radics_mesh.dht import rpc
from radics_mesh.dht.calls import FAILED, SILENCE_FIRST_S, SILENCE_MAX_S, Calls
from radics_mesh.link import Restricted
from radics_mesh.link_memory import MemoryNetwork
from tests.dht.world import at


def _calls(reach: bool = True) -> tuple[Calls, Counter[str], MemoryNetwork]:
    network = MemoryNetwork(Random(0))
    counters: Counter[str] = Counter()
    link = Restricted(network.link(at(0)), [at(1)] if reach else [])
    return Calls(link, counters), counters, network


async def _took_s(calls: Calls) -> float:
    start = trio.current_time()
    assert await calls.call(at(1), "ping", [bytes(20)]) == FAILED
    return trio.current_time() - start


async def test_three_transmissions_and_then_no_more(
    autojump_clock: MockClock,
) -> None:
    calls, counters, network = _calls()
    assert await _took_s(calls) == 2.5
    assert network.counters["sent"] == 3
    assert counters["retransmitted"] == 2


async def test_who_keeps_failing_is_left_alone_and_then_tried_again(
    autojump_clock: MockClock,
) -> None:
    calls, counters, _ = _calls()
    assert [await _took_s(calls) for _ in range(4)] == [2.5, 2.5, 0, 0]
    assert counters["calls_spared"] == 2
    assert calls.is_lost(at(1))
    await trio.sleep(SILENCE_FIRST_S)
    assert [await _took_s(calls) for _ in range(2)] == [2.5, 0]
    calls.alive(at(1))
    assert not calls.is_lost(at(1))
    assert await _took_s(calls) == 2.5


async def test_the_silence_is_bounded(autojump_clock: MockClock) -> None:
    calls, _, _ = _calls()
    for _ in range(100):
        await calls.call(at(1), "ping", [])
        await trio.sleep(SILENCE_MAX_S)
    assert await _took_s(calls) == 2.5


async def test_who_cannot_be_sent_to(autojump_clock: MockClock) -> None:
    calls, counters, _ = _calls(reach=False)
    assert [await _took_s(calls) for _ in range(3)] == [0, 0, 0]
    assert counters["unreachable"] == 3
    assert calls.is_cut(at(1))


async def test_an_answer_to_nothing_is_counted(autojump_clock: MockClock) -> None:
    calls, counters, _ = _calls()
    calls.settle(rpc.Answer(bytes(20), True))
    assert counters["late_answers"] == 1
