"""What a thread does, in words: the system call that it waits in, and for what."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from radics_mesh.errors import WireError
from radics_mesh.vmm import abi
from radics_mesh.vmm.threads import ThreadReport

Read = Callable[[int, int], bytes]

# Calls that wait, by their numbers on the architecture (asm/unistd.h).
_CALLS = {
    "x86_64": {
        0: "read",
        1: "write",
        7: "poll",
        19: "readv",
        20: "writev",
        23: "select",
        34: "pause",
        35: "nanosleep",
        40: "sendfile",
        61: "wait4",
        72: "fcntl",
        73: "flock",
        128: "rt_sigtimedwait",
        130: "rt_sigsuspend",
        202: "futex",
        230: "clock_nanosleep",
        232: "epoll_wait",
        270: "pselect6",
        271: "ppoll",
        275: "splice",
        281: "epoll_pwait",
        441: "epoll_pwait2",
    },
    "aarch64": {
        22: "epoll_pwait",
        25: "fcntl",
        32: "flock",
        63: "read",
        64: "write",
        65: "readv",
        66: "writev",
        71: "sendfile",
        72: "pselect6",
        73: "ppoll",
        76: "splice",
        98: "futex",
        101: "nanosleep",
        115: "clock_nanosleep",
        133: "rt_sigsuspend",
        137: "rt_sigtimedwait",
        260: "wait4",
        441: "epoll_pwait2",
    },
}
_RADICS = {
    getattr(abi, name): name.removeprefix("SYS_").lower().replace("_", " ")
    for name in vars(abi)
    if name.startswith("SYS_") and name != "SYS_BASE"
}
_FUTEX_COMMAND = 127
_FUTEX_LOCKS = {6, 7, 8, 11, 13}
_RESERVED = {
    0: "the mailbox",
    abi.STREAM_TIMERS: "timers",
    abi.STREAM_REPLIES: "replies",
    abi.STREAM_STDIN: "standard input",
}


def describe(
    thread: ThreadReport, architecture: str, streams: Mapping[int, str], read: Read
) -> str:
    """`streams`: names by number, as far as they are known; `read`: the program's memory."""
    if not thread.waits:
        return "running, or ready to"
    if thread.call is None:
        return "waiting"
    left = "" if thread.left_ns is None else f", {_duration(thread.left_ns)} left"
    return _what(thread, architecture, streams, read) + left


def _what(thread: ThreadReport, architecture: str, streams: Mapping[int, str], read: Read) -> str:
    number, first, second = thread.call, thread.arguments[0], thread.arguments[1]
    name = _CALLS.get(architecture, {}).get(number if number is not None else -1)
    if number == abi.SYS_RECEIVE:
        return f"receive from {_stream(first, streams, read)}"
    if number in _RADICS:
        return f"radics call: {_RADICS[number]}"
    if name == "futex":
        held = "lock" if second & _FUTEX_COMMAND in _FUTEX_LOCKS else "wait"
        return f"futex {held} at 0x{first:x}"
    if name in ("read", "readv"):
        return "read of standard input" if first == 0 else f"read of descriptor {first}"
    if name in ("write", "writev"):
        return f"write to descriptor {first}"
    if name in ("poll", "ppoll"):
        return f"poll of {second} descriptors"
    if name in ("epoll_wait", "epoll_pwait", "epoll_pwait2"):
        return f"epoll of descriptor {first}"
    if name in ("nanosleep", "clock_nanosleep"):
        return "sleep"
    if name in ("pause", "rt_sigsuspend", "rt_sigtimedwait"):
        return f"wait for a signal ({name})"
    return name or f"system call {number}"


def _stream(arguments: int, streams: Mapping[int, str], read: Read) -> str:
    """The stream's number is the first field of struct radics_receive_args."""
    try:
        number = int.from_bytes(read(arguments, 4), "little", signed=True)
    except WireError:
        return "a stream"
    if number < 0:
        return "any stream"
    if number in _RESERVED:
        return _RESERVED[number]
    return f"stream {number} ({streams[number]!r})" if number in streams else f"stream {number}"


def _duration(ns: int) -> str:
    return f"{ns / 1e9:.3f} s" if ns < 10**12 else f"{ns // 10**9} s"
