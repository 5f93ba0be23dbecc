from tests.dht.world import World, fact, fact_key, node_id
import trio
from trio.testing import MockClock


async def test_value_is_found_from_everywhere(world: World, clock: MockClock) -> None:
    await world.mesh(30)
    value = fact(node_id(3), 1, "cats: purr")
    stored = await world.nodes[3].put(fact_key("cats"), value)
    print(stored)
    for dht in world.nodes.values():
        t = trio.current_time()
        assert await dht.get(fact_key("cats")) == [value]
        print(trio.current_time() - t)
    print(world.nodes[4].counters, world.nodes[4].contacts())
