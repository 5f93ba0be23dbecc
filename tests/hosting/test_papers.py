"""What travels with a VM: there and back, and nothing but WireError from anything else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.codec import Fields, pack
from radics_mesh.errors import WireError
from radics_mesh.hosting.commit import Commit
from radics_mesh.hosting.conduct import Conduct, Restart
from radics_mesh.hosting.outbox import Outbound
from radics_mesh.hosting.papers import (
    KEY_BYTES,
    Box,
    Mail,
    Mailbox,
    Papers,
    Settings,
    Subscription,
    mail_key,
)
from radics_mesh.ids import Digest, NodeId
from tests.strategies import msgpack_values

short = st.text(max_size=20)
keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
CONDUCTS = [
    Conduct(),
    Conduct(Restart.parse("always"), cpu_percent=400),
    Conduct(Restart.parse("on-failure:7"), 5, 1_000_000, 1 << 20, 3, Digest(bytes(range(32)))),
]
settings = st.builds(
    Settings,
    memory_bytes=st.integers(1, 1 << 40),
    sources=st.lists(short, max_size=3).map(tuple),
    arguments=st.lists(short, max_size=3).map(tuple),
    pinned=st.booleans(),
    created=st.integers(0, 1 << 40),
    branch=st.integers(0, 100),
    moves=st.integers(0, 100),
    environment=st.lists(short, max_size=3).map(tuple),
    hint=short,
    has_stdin=st.booleans(),
    commit=st.builds(Commit, st.integers(0, 1 << 40), st.booleans()),
    conduct=st.sampled_from(CONDUCTS),
)
mail = st.builds(
    Mail,
    *(st.integers(1, 1 << 40), keys, short, short, st.binary(max_size=50)),
    *(st.integers(0, 63), st.booleans()),
)
boxes = st.builds(Box, st.integers(1, 63), short, st.integers(1, 1 << 40))
subscriptions = st.builds(
    Subscription,
    short,
    st.none() | st.binary(min_size=20, max_size=20).map(NodeId),
    st.none() | st.integers(0, 1 << 40),
)
outbound = st.builds(
    Outbound,
    *(st.integers(0, 1 << 40), st.integers(1, 1 << 40), short, short, st.binary(max_size=50)),
    st.integers(0, 1 << 30),
)
mailboxes = st.builds(
    Mailbox,
    output=st.integers(0, 1 << 40),
    next_mail=st.integers(1, 1 << 40),
    mail=st.lists(mail, max_size=3).map(tuple),
    window=st.lists(keys, max_size=3).map(tuple),
    subscriptions=st.lists(subscriptions, max_size=3).map(tuple),
    boxes=st.lists(boxes, max_size=3).map(tuple),
    outbound=st.lists(outbound, max_size=3).map(tuple),
    filed=st.integers(0, 1 << 53),
)


@given(st.builds(Papers, settings, mailboxes))
def test_papers_survive_the_journey(papers: Papers) -> None:
    assert Papers.parse(papers.pack()) == papers
    assert Settings.parse(papers.settings.pack()) == papers.settings


@pytest.mark.parametrize(
    "fields",
    [
        ["often", 0, 0, 0, 0, b""],
        ["no", 1, 0, 0, 0, b""],  # less than a guest can answer with
        ["no", 0, -1, 0, 0, b""],
        ["no", 0, 0, 5, 0, b""],
        ["no", 0, 0, 0, 0, b"short"],
        ["no", 0, 0, 0, 0],
    ],
)
def test_a_conduct_that_nobody_asked_for_is_refused(fields: list[object]) -> None:
    with pytest.raises(WireError):
        Conduct.read(Fields(fields, "conduct"))


def test_papers_of_a_node_of_version_0_1_are_read() -> None:
    settings = Settings(1 << 20, ("text",), ("x",), moves=3)
    letter = [4, bytes(KEY_BYTES), "dtn://a/", "s", b"payload"]
    old = pack([2, *settings.fields(), 7, 5, [letter], b"", [], True])
    papers = Papers.parse(old)
    assert papers.settings == settings
    assert papers.saved
    assert papers.mailbox.mail == (Mail(4, bytes(KEY_BYTES), "dtn://a/", "s", b"payload"),)
    assert Settings.parse(pack(settings.fields())) == settings


@given(st.binary(max_size=200) | msgpack_values.map(pack))
def test_anything_else_is_a_wire_error(data: bytes) -> None:
    with pytest.raises(WireError):
        Papers.parse(data)


@given(st.builds(Papers, settings, mailboxes), st.data())
def test_damage_is_a_wire_error_or_other_papers(papers: Papers, data: st.DataObject) -> None:
    packed = bytearray(papers.pack())
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    try:
        Papers.parse(bytes(packed))
    except WireError:
        return


def test_a_bundle_is_known_by_its_id_on_every_host() -> None:
    assert mail_key("dtn://a/ 7 1") == mail_key("dtn://a/ 7 1")
    assert mail_key("dtn://a/ 7 1") != mail_key("dtn://a/ 7 2")
    assert len(mail_key("")) == KEY_BYTES
