"""What the world has seen of a VM, over all its hosts, and what a guest says has changed."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.guest.wire import (
    CHECKPOINT,
    CLOSE,
    EXIT,
    HINT,
    LOG,
    REPLIES,
    REQUEST,
    SEND,
    SERVE,
    SUBSCRIBE,
    Reader,
)


@dataclass
class World:
    """What is durable outside the guest. Survives every QEMU."""

    received: int = 0
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    logs: list[tuple[int, str]] = field(default_factory=list)
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    subscribed: dict[int, str] = field(default_factory=dict)
    exit: tuple[int, int, str] | None = None
    exit_output: bytes = b""  # its OUT frame's body
    # (token, to, lifetime, payload); stream to service; (number of the output); (what, name).
    requests: list[tuple[int, str, int, bytes]] = field(default_factory=list)
    served: dict[int, str] = field(default_factory=dict)
    closed: list[int] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)
    hints: list[tuple[int, str]] = field(default_factory=list)
    after: dict[int, int] = field(default_factory=dict)
    # Messages of each stream from number 1 on, and where the guest stands.
    messages: dict[int, list[tuple[int, bytes, str, str]]] = field(default_factory=dict)
    have: dict[int, int] = field(default_factory=dict)
    done: dict[int, int] = field(default_factory=dict)

    def publish(
        self,
        stream: int,
        payload: bytes,
        *,
        end: bool = False,
        sender: str = "dtn://source/",
        to: str = "",
    ) -> None:
        self.messages.setdefault(stream, []).append((int(end), payload, sender, to))

    def reply(self, token: int, payload: bytes, stream: int = REPLIES) -> None:
        self.publish(stream, payload, sender="dtn://server/", to=f"~{token:016x}")

    def output(self, r: Reader) -> bool:
        """Whether it was the next one or an old one: QEMU drops what its socket cannot take."""
        number, kind = r.take("Q"), r.take("B")
        if number <= self.received:
            return True
        if number > self.received + 1:
            return False
        self.received = number
        if kind == LOG:
            level, blob = r.take("B"), r.blob()
            if level < 2:
                (self.stderr if level else self.stdout).extend(blob)
            else:
                self.logs.append((level, blob.decode(errors="replace")))
        elif kind == SEND:
            to, _ = r.text(), r.take("I")
            self.sent.append((to, r.blob()))
        elif kind == SUBSCRIBE:
            stream = r.take("H")
            self.subscribed[stream] = r.text()
            self.after[stream] = r.take("Q") if r.at < len(r.data) else 0
            self.have[stream] = self.done[stream] = self.after[stream]
        elif kind == EXIT:
            self.exit = (r.take("B"), r.take("I"), r.text())
            self.exit_output = r.data
        else:
            self.output_of_1_1(number, kind, r)
        return True

    def output_of_1_1(self, number: int, kind: int, r: Reader) -> None:
        if kind == REQUEST:
            self.requests.append((r.take("Q"), r.text(), r.take("I"), r.blob()))
        elif kind == SERVE:
            stream = r.take("H")
            self.served[stream] = r.text()
        elif kind == CLOSE:
            stream = r.take("H")
            self.closed.append(stream)
            for known in (self.subscribed, self.served, self.have, self.done, self.messages):
                known.pop(stream, None)
        elif kind == CHECKPOINT:
            self.checkpoints.append(number)
        elif kind == HINT:
            self.hints.append((r.take("B"), r.text()))
        else:
            raise AssertionError(f"output of kind {kind}")


@dataclass
class Changed:
    """The guest's report of a stage: pages that may differ from what they were at `since`."""

    nonce: int
    since: int
    pages: set[int] = field(default_factory=set)
    covered: int = 0  # pages that the frames so far have spoken of
    whole: bool = False

    def add(self, pages: int, first: int, bits: bytes) -> None:
        assert first == self.covered, "a gap in the map"
        assert len(bits) == 65536 or first + 8 * len(bits) >= pages
        for at, byte in enumerate(bits):
            for bit in range(8 if byte else 0):
                if byte >> bit & 1:
                    self.pages.add(first + 8 * at + bit)
        self.covered += 8 * len(bits)
        self.whole = self.covered >= pages
