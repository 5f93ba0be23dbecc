"""What a VM carries along beside its memory and its ownership; the snapshot's hash covers it.

Wire form (msgpack):
  [version, memory, [source], [argument], pinned, created, branch, moves, output, next mail,
   [mail], window, [[source, publisher, end]], saved, [environment], hint, has stdin, [box],
   [choice], [outbound], filed]
  mail: [number, key, sender, service, payload, stream, end];  window: keys, one after the other
  box: [stream, service, next mail];  choice: every ms, commit output (Commit),
  survival, after s, [keeper] (Policy), [conduct]
  outbound: [created, number, source, destination, payload, lifetime];  filed may be missing
Version 3 ends behind the boxes. Version 2 ends behind `saved`, and its mail behind the payload;
version 1 has no `saved` either.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from radics_mesh.clock import Wall, to_dtn
from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.hosting.commit import AT_ONCE, Commit
from radics_mesh.hosting.conduct import DEFAULT, Conduct
from radics_mesh.hosting.outbox import Outbound
from radics_mesh.hosting.policy import AT_MOST_ONE, Policy
from radics_mesh.ids import ID_BYTES, NodeId
from radics_mesh.vmm import abi

VERSION = 4
KEY_BYTES = 16
# Mail that a host will keep for a VM; who has more waits in the bundle store.
INBOX_MAX_BYTES = 7 << 20
# The same for each other box: a service, replies, standard input.
BOX_MAX_BYTES = 64 << 10
# How many bundles back a repeated one is recognised.
WINDOW_KEYS = 1024
_PAPERS_MAX_BYTES = 16 << 20


def mail_key(bundle: str) -> bytes:
    """What a bundle for a VM is recognised by, on whatever host it arrives again."""
    return hashlib.sha256(bundle.encode("utf-8")).digest()[:KEY_BYTES]


@dataclass(frozen=True)
class Mail:
    """A message of one of the guest's streams. `end`: none follows."""

    number: int
    key: bytes
    sender: str
    service: str
    payload: bytes
    stream: int = 0
    end: bool = False


@dataclass(frozen=True)
class Box:
    """Where mail for one stream is filed that is not the mailbox."""

    stream: int
    service: str
    next_mail: int = 1


@dataclass(frozen=True)
class Subscription:
    """Numbers of a source mean something at one publisher only. `end`: number of the end mark."""

    source: str
    publisher: NodeId | None = None
    end: int | None = None


@dataclass(frozen=True)
class Settings:
    """What the user asked for, and the names of what the VM sends."""

    memory_bytes: int
    sources: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    pinned: bool = False
    # Creation time of all bundles that the VM sends in this branch; their sequence numbers are the
    # guest's output numbers, so that no host can send one output under two names.
    created: int = 0
    # How often it was set back to an earlier state (power loss): then outputs may come again.
    branch: int = 0
    moves: int = 0
    # "K=V", for the program's first start.
    environment: tuple[str, ...] = ()
    # Where its program would like to be: "near SOURCE", "on NODE", "stay"; empty: wherever.
    hint: str = ""
    # Its descriptor 0 is fed.
    has_stdin: bool = False
    commit: Commit = AT_ONCE
    policy: Policy = AT_MOST_ONE
    conduct: Conduct = DEFAULT

    def branched(self, wall: Wall) -> Settings:
        """For a guest that was set back: it may send other content under an output's number."""
        created = max(self.created + 1, to_dtn(wall))
        return replace(self, branch=self.branch + 1, created=created)

    def fields(self) -> list[object]:
        return [
            self.memory_bytes,
            list(self.sources),
            list(self.arguments),
            self.pinned,
            self.created,
            self.branch,
            self.moves,
        ]

    def later_fields(self) -> list[object]:
        """Those of version 3 of the papers."""
        return [list(self.environment), self.hint, self.has_stdin]

    def choices(self) -> list[object]:
        """Those of version 4; who adds some adds them behind these, and reads them if any are."""
        return [*self.commit.fields(), *self.policy.fields(), self.conduct.fields()]

    def read_choices(self, value: list[object]) -> Settings:
        fields = Fields(value, "choices")
        settings = replace(self, commit=Commit.read(fields))
        if fields.has_more:
            settings = replace(settings, policy=Policy.read(fields))
        if fields.has_more:
            conduct = Fields(fields.items(), "conduct")
            settings = replace(settings, conduct=Conduct.read(conduct))
            conduct.end()
        fields.end()
        return settings

    def pack(self) -> bytes:
        return pack([*self.fields(), *self.later_fields(), self.choices()])

    def read_later(self, fields: Fields) -> Settings:
        return replace(
            self,
            environment=_texts(fields.items(limit=4096)),
            hint=fields.text(limit=300),
            has_stdin=fields.boolean(),
        )

    @classmethod
    def read(cls, fields: Fields) -> Settings:
        return cls(
            memory_bytes=fields.integer(1, 1 << 48),
            sources=_texts(fields.items(limit=64)),
            arguments=_texts(fields.items(limit=4096)),
            pinned=fields.boolean(),
            created=fields.integer(0, 1 << 62),
            branch=fields.integer(0, 1 << 32),
            moves=fields.integer(0, 1 << 32),
        )

    @classmethod
    def parse(cls, data: bytes) -> Settings:
        fields = Fields.parse(data, "settings")
        settings = cls.read(fields)
        if fields.has_more:  # else written by version 0.1
            settings = settings.read_later(fields)
        if fields.has_more:
            settings = settings.read_choices(fields.items())
        fields.end()
        return settings


@dataclass(frozen=True)
class Mailbox:
    """`output`: the last one that a host has made durable; `next_mail`: the next free number."""

    output: int = 0
    next_mail: int = 1
    mail: tuple[Mail, ...] = ()
    window: tuple[bytes, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    boxes: tuple[Box, ...] = ()
    # What it has said and no host has sent yet; with these papers it may be sent.
    outbound: tuple[Outbound, ...] = ()
    # How far copies of its mail at keepers are covered by what this travels with (`copies`).
    filed: int = 0


@dataclass(frozen=True)
class Papers:
    settings: Settings
    mailbox: Mailbox
    # Its user saved it: whoever it comes to must not start it before `resume`.
    saved: bool = False

    def pack(self) -> bytes:
        box = self.mailbox
        return pack(
            [
                VERSION,
                *self.settings.fields(),
                box.output,
                box.next_mail,
                [
                    [m.number, m.key, m.sender, m.service, m.payload, m.stream, m.end]
                    for m in box.mail
                ],
                b"".join(box.window),
                [[s.source, bytes(s.publisher or b""), s.end] for s in box.subscriptions],
                self.saved,
                *self.settings.later_fields(),
                [[b.stream, b.service, b.next_mail] for b in box.boxes],
                self.settings.choices(),
                [m.fields() for m in box.outbound],
                box.filed,
            ]
        )

    @classmethod
    def parse(cls, data: bytes) -> Papers:
        """WireError for anything that `pack` would not make."""
        fields = Fields.parse(data, "papers", limit_bytes=_PAPERS_MAX_BYTES)
        version = fields.integer(1, VERSION)
        papers = cls(
            Settings.read(fields),
            Mailbox(
                output=fields.integer(),
                next_mail=fields.integer(1),
                mail=tuple(_mail(m, version) for m in fields.items(limit=1 << 18)),
                window=_keys(fields.blob(limit=WINDOW_KEYS * KEY_BYTES)),
                subscriptions=tuple(map(_subscription, fields.items(limit=64))),
            ),
            saved=version > 1 and fields.boolean(),
        )
        if version > 2:
            papers = replace(
                papers,
                settings=papers.settings.read_later(fields),
                mailbox=replace(
                    papers.mailbox, boxes=tuple(map(_box, fields.items(limit=abi.STREAMS_MAX)))
                ),
            )
        if version > 3:
            papers = replace(
                papers,
                settings=papers.settings.read_choices(fields.items()),
                mailbox=replace(
                    papers.mailbox,
                    outbound=tuple(map(Outbound.of, fields.items(limit=1 << 16))),
                    filed=fields.integer() if fields.has_more else 0,
                ),
            )
        fields.end()
        return papers


def _texts(items: list[object]) -> tuple[str, ...]:
    if not all(isinstance(item, str) for item in items):
        raise WireError("papers: not a list of texts")
    return tuple(item for item in items if isinstance(item, str))


def _mail(value: object, version: int) -> Mail:
    fields = Fields(value, "mail")
    mail = Mail(
        number=fields.integer(1),
        key=fields.blob(KEY_BYTES),
        sender=fields.text(),
        service=fields.text(),
        payload=fields.blob(limit=1 << 16),
        stream=fields.integer(0, abi.STREAMS_MAX - 1) if version > 2 else 0,
        end=version > 2 and fields.boolean(),
    )
    fields.end()
    return mail


def _box(value: object) -> Box:
    fields = Fields(value, "box")
    box = Box(fields.integer(1, abi.STREAMS_MAX - 1), fields.text(), fields.integer(1))
    fields.end()
    return box


def _subscription(value: object) -> Subscription:
    fields = Fields(value, "subscription")
    source, publisher, end = fields.text(), fields.blob(limit=ID_BYTES), fields.any()
    fields.end()
    if end is not None and type(end) is not int:
        raise WireError("subscription: its end is no number")
    return Subscription(source, NodeId(publisher) if publisher else None, end)


def _keys(raw: bytes) -> tuple[bytes, ...]:
    if len(raw) % KEY_BYTES:
        raise WireError("papers: a broken window")
    return tuple(raw[at : at + KEY_BYTES] for at in range(0, len(raw), KEY_BYTES))
