# All of the client API once, as errand.go.
import errno
import os
import sys

import radics


def say(*words):
    """As Go would say it."""
    print(*(str(word).lower() if isinstance(word, bool) else word for word in words))


def number_of(function, *arguments):
    try:
        function(*arguments)
    except OSError as error:
        return error.errno


def about():
    say(radics.name(), radics.eid(), radics.host(), radics.host_eid(), radics.epoch())
    say(radics.abi() != "", radics.host_abi(), radics.branch(), radics.memory() >> 20)
    say(",".join(sys.argv[1:]), os.environ["COLOUR"], ",".join(radics.sources()))
    radics.log("on an errand", radics.WARN)


def keys():
    say("none:", radics.kv.get("none") is None and "none" not in radics.kv)
    radics.kv["a"] = b"one"
    radics.kv["b"] = bytes(5000)
    say(radics.kv["a"].decode(), len(radics.kv["b"]), len(radics.kv))
    del radics.kv["b"]
    say("erased:", list(radics.kv) == ["a"])


def asking():
    reply = radics.request("dtn://far/x", "ping", 60)
    say(reply.text, "from", reply.sender)
    try:
        radics.request("dtn://far/y", timeout=0.001)
        say("in time:", True)
    except TimeoutError:
        say("in time:", False)
    nodes, sources = radics.mesh(60)
    for n in nodes:
        latency = -1 if n.latency is None else n.latency
        say(n.name, n.arch, n.cores, n.load, n.memory_free, latency, n.here)
    for s in sources:
        say(s.name, s.publisher, s.age)


def waiting():
    timer = radics.start_timer(0.001)
    say(
        "timer:",
        radics.receive_timer(60) == timer,
        number_of(radics.stop_timer, timer) == errno.ENOENT,
    )
    say("mail:", radics.receive(0.001) is not None)
    radics.move_near("text")
    radics.move_to("laptop")
    radics.stay()
    radics.move_free()
    say("set back:", radics.checkpoint())


def serving():
    service = radics.serve("echo")
    request = service.receive()
    say("asked for", request.text, "at", request.to)
    request.reply(request.payload * 2)
    service.close()


def reading():
    text = radics.subscribe("text")
    n = sum(len(line.payload) for line in text)
    try:
        text.receive()
    except EOFError:
        say("read", n, "and the end:", True)
    line = radics.subscribe("later", after=41).receive()
    say(line.text, line.number, line.sender)


about()
keys()
asking()
waiting()
serving()
reading()
radics.send("dtn://base/reports", "done", lifetime=3600)
say(
    "too long:",
    number_of(radics.send, "dtn://base/reports", bytes(radics.MESSAGE_MAX + 1)) == errno.EMSGSIZE,
)
sys.exit(7)
