"""What a program on RaDiCS can do beyond Python's standard library: messages, requests and
services, data sources, timers, checkpoints, and asking and saying where to be.

    import radics

    for line in radics.subscribe("text"):
        print(radics.host(), line.text)
    radics.send("dtn://base/reports", "the stream has ended")

Payloads are bytes; text is encoded as UTF-8. Times are seconds, and a timeout of None waits for
ever. Every function may be called from every thread, and a program that moves to another host while
it waits in one of them does not notice.

Errors are OSError: ENOTCONN without a host (the image was started by hand), EOPNOTSUPP where the
node is of an older version, EMSGSIZE for more than MESSAGE_MAX bytes, EINVAL for an empty or
overlong name, ENFILE for too many streams. A request without a reply is a TimeoutError. Where a
message was waited for, None says that the time is over, and EOFError that its stream is.
"""

import errno

import _radics

MESSAGE_MAX = 65536
DEBUG, INFO, WARN, ERROR = 2, 3, 4, 5

_MAILBOX, _TIMERS = 0, 61
_NEAR, _NODE, _STAY, _FREE = 1, 2, 3, 0


def _bytes(payload):
    return payload.encode() if isinstance(payload, str) else payload


def _ns(seconds):
    return -1 if seconds is None else max(0, round(seconds * 1e9))


class Message:
    """What somebody sent, or a source published."""

    __slots__ = ("number", "payload", "sender", "to")

    def __init__(self, payload, sender, to, number, *more):
        self.payload = payload
        self.sender = sender  # an EID; empty where a source has none
        self.to = to  # the service it was sent to; empty in a subscription
        self.number = number  # in its stream, from 1

    @property
    def text(self):
        return self.payload.decode()

    def reply(self, payload):
        """Answers a request."""
        send(self.sender, payload)

    def __repr__(self):
        return f"Message({self.payload!r}, {self.sender!r}, {self.to!r}, {self.number})"


def _receive(stream, timeout):
    try:
        return Message(*_radics.receive(stream, _ns(timeout)))
    except TimeoutError:
        return None
    except OSError as error:
        if error.errno == errno.ENODATA:
            raise EOFError("the stream has ended") from None
        raise


def send(to, payload, lifetime=0):
    """To an EID ("dtn://node/service") or a service name. Returns when the message is safe with the
    VM: it is delivered once, over any number of moves. It may travel for `lifetime`; 0 is the
    node's default."""
    _radics.send(to, _bytes(payload), -int(-lifetime // 1))


def receive(timeout=None):
    """The next message of the mailbox: what others sent to this VM's EID."""
    return _receive(_MAILBOX, timeout)


class Stream:
    """A subscription or a service: iterate over it, or take messages one by one. Several threads
    may take from one; each message goes to one of them."""

    def __init__(self, number):
        self._number = number

    def receive(self, timeout=None):
        return _receive(self._number, timeout)

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return _receive(self._number, None)
        except EOFError:
            raise StopIteration from None

    def close(self):
        """What was not received of it is gone."""
        _radics.close(self._number)


def subscribe(source, after=None):
    """The stream of a named data source: all its messages, from the first or from number after + 1
    on, whenever they were made. A name asked for twice is the same stream."""
    return Stream(_radics.subscribe(source, *([] if after is None else [after])))


def serve(service):
    """The stream of what is sent to this VM's EID + service: requests and plain messages alike.
    Answer with Message.reply."""
    return Stream(_radics.serve(service))


def request(to, payload=b"", timeout=None):
    """Sends a message and waits for its reply: the first that anybody sends to the request's
    address. The timeout is also how long the request may travel. TimeoutError."""
    return Message(*_radics.request(to, _bytes(payload), _ns(timeout)))


def start_timer(delay, period=0):
    """A timer, which a move does not touch: receive_timer says when it is due, once or every
    period. Its number."""
    return _radics.timer(_ns(delay), _ns(period))


def stop_timer(timer):
    """ENOENT for one that was due, once, and taken."""
    _radics.timer_cancel(timer)


def receive_timer(timeout=None):
    """The number of the next timer that is due."""
    message = _receive(_TIMERS, timeout)
    return message and message.number


def checkpoint():
    """Has the whole VM, at this very point, written to the host's disk. Like fork it returns twice:
    False when that is done, and True each time the VM is set back to here, because its host or QEMU
    was lost. What was sent in between may then be sent again."""
    return _radics.checkpoint() == 1


def move_near(source):
    """This VM would like to be near the publisher of a source; the scheduler weighs it. The last of
    the four hints counts, over moves too."""
    _radics.move(_NEAR, source)


def move_to(node):
    """It would like to be on a node, by name or id."""
    _radics.move(_NODE, node)


def stay():
    """It would like to be left where it is."""
    _radics.move(_STAY, "")


def move_free():
    """Takes the hint back."""
    _radics.move(_FREE, "")


class _Store:
    """Keys and values in the library OS's memory: they move with the VM and are set back with it.
    Used as a dictionary from str to bytes."""

    def __getitem__(self, key):
        try:
            return _radics.kv_get(key)
        except FileNotFoundError:
            raise KeyError(key) from None

    def __setitem__(self, key, value):
        _radics.kv_put(key, _bytes(value))

    def __delitem__(self, key):
        try:
            _radics.kv_erase(key)
        except FileNotFoundError:
            raise KeyError(key) from None

    def get(self, key, default=None):
        try:
            return self[key]
        except KeyError:
            return default

    def keys(self):
        return _radics.kv_list().decode().split("\0")[:-1]

    def __iter__(self):
        return iter(self.keys())

    def __len__(self):
        return len(self.keys())

    def __contains__(self, key):
        return key in self.keys()


kv = _Store()


def _info(what):
    return _radics.info(what).decode()


def name():
    """This VM's name."""
    return _info(0)


def eid():
    """Where others send messages to."""
    return _info(1)


def host():
    """The node it runs on at this moment; it may be another at the next."""
    return _info(2)


def host_eid():
    return _info(3)


def epoch():
    """1 at birth, and one more after each move."""
    return int(_info(4))


def abi():
    """The version of the library OS, "major.minor"; the only one that needs no host."""
    return _info(5)


def sources():
    """The names given by `run --source`, in order."""
    return _info(6).splitlines()


def memory():
    """Bytes of RAM of this VM."""
    return int(_info(7))


def branch():
    """How often this VM was set back to an earlier state."""
    return int(_info(8))


def host_abi():
    return _info(9)


def log(text, level=INFO):
    """A line in the VM's log, beside stdout and stderr."""
    _radics.log(level, text)


class Node:
    """What the node that the VM is on knows of a node."""

    def __init__(self, fields):
        self.name, self.eid, self.arch = fields[:3]
        self.cores = int(fields[3])
        self.load = float(fields[4])  # CPU share in use, 0 to 1
        self.memory_free = int(float(fields[5]))  # bytes, for guests
        self.vms = int(fields[6])
        # Round trip from here; None: no link or not known.
        self.latency = None if fields[7] == "-" else float(fields[7])
        self.age = float(fields[8])  # since it said so
        self.here = fields[9] == "here"


class Source:
    """A data source that the node has heard of."""

    def __init__(self, fields):
        self.name, self.publisher = fields[:2]
        self.age = float(fields[2])


def mesh(timeout=None):
    """What the node knows of nodes and of sources: two lists."""
    # Unknown kinds of line, and fields behind those we know, are those of a later version.
    lines = [line.split("\t") for line in request(":mesh", b"", timeout).text.splitlines()]
    nodes = [Node(fields[1:]) for fields in lines if fields[0] == "node" and len(fields) > 10]
    sources = [Source(fields[1:]) for fields in lines if fields[0] == "source" and len(fields) > 3]
    return nodes, sources
