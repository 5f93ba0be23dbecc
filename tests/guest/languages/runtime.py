# What Python's interpreter needs of a kernel, and what programs need of Python.
import asyncio
import collections
import datetime
import decimal
import hashlib
import json
import math
import os
import queue
import random
import re
import struct
import subprocess
import sys
import threading
import time
import zlib


def threads():
    numbers = queue.Queue()
    workers = [
        threading.Thread(target=lambda: [numbers.put(i) for i in range(50)]) for _ in range(5)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return numbers.qsize()


def a_busy_thread_gives_way():
    stop = threading.Event()

    def spin():
        while not stop.is_set():
            pass

    thread = threading.Thread(target=spin)
    thread.start()
    time.sleep(0.02)
    stop.set()
    thread.join()
    return True


async def tasks():
    loop = asyncio.get_running_loop()
    done = await asyncio.gather(
        asyncio.sleep(0.01, "slept"), loop.run_in_executor(None, lambda: "worked")
    )
    return " ".join(done)


print(sys.argv, sys.version_info[:2], sys.path, __name__)
print(json.dumps({"a": [1, 2.5, None]}), re.sub("b+", "x", "abbbc"), math.floor(1e3 * math.sin(1)))
print(struct.pack("<I", 7), collections.Counter("abca").most_common(1), zlib.crc32(b"abc"))
print(0 <= random.random() < 1, hashlib.sha256(b"x").hexdigest()[:8])
print(decimal.Decimal(1) / 8, datetime.datetime.strptime("2020-01-02", "%Y-%m-%d").date())
print("threads", threads(), a_busy_thread_gives_way())
print(asyncio.run(tasks()))
with open("/tmp/a", "w") as file:
    print("kept", file=file)
with open("/tmp/a") as file:
    print(file.read().strip(), os.listdir("/app"), os.path.basename(__file__))
try:
    subprocess.run(["ls"])
except OSError as error:
    print(error)
try:
    bytes(1 << 30)
except MemoryError:
    print("no memory for that")


def fail():
    raise ValueError("no")


fail()
