"""A stock asyncio node of the kademlia package, run as a process of its own and told what to do.

Prints its port. Then one command a line on standard input, one answer a line on standard output:
`bootstrap PORT`, `set KEY VALUE` (both hexadecimal, the key a digest), `get TEXT` (the key's text).
"""

import asyncio
import sys

from kademlia.network import Server


async def obey(server: Server, line: str) -> str:
    command, *words = line.split()
    if command == "bootstrap":
        found = await server.bootstrap([("127.0.0.1", int(words[0]))])
        return str(len(found))
    if command == "set":
        return str(await server.set_digest(bytes.fromhex(words[0]), bytes.fromhex(words[1])))
    value = await server.get(words[0])
    return value.hex() if isinstance(value, bytes) else repr(value)


async def main() -> None:
    server = Server()
    await server.listen(0, interface="127.0.0.1")
    print(server.transport.get_extra_info("sockname")[1], flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(await obey(server, line), flush=True)
    server.stop()


if __name__ == "__main__":
    asyncio.run(main())
