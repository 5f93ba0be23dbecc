"""Bundles to test with: hypothesis strategies and plain examples."""

from __future__ import annotations

import string

from hypothesis import strategies as st

from radics_mesh.dtn.wire import blocks, sdnv
from radics_mesh.dtn.wire.blocks import Block
from radics_mesh.dtn.wire.bundle import Bundle, Fragment
from radics_mesh.ids import NONE_EID, Eid

_SOURCE, _DESTINATION = Eid("dtn://a/x"), Eid("dtn://b/y")
numbers = st.integers(0, sdnv.MAX_VALUE)
names = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)
dtn_eids = st.builds(lambda node, service: Eid(f"dtn://{node}/{service}"), names, names)
ipn_eids = st.builds(lambda n, s: Eid(f"ipn:{n}.{s}"), st.integers(1, 1 << 40), numbers)
eids = st.just(NONE_EID) | dtn_eids | ipn_eids

payloads = st.builds(lambda data: Block(blocks.PAYLOAD, 0, data), st.binary(max_size=200))
extensions = st.builds(
    lambda kind, flags, data, references: Block(kind, flags & 0xB7, data, tuple(references)),
    st.integers(2, 255),
    st.integers(0, 255),
    st.binary(max_size=40),
    st.lists(eids, max_size=3),
)


@st.composite
def bundles(draw: st.DrawFn, of: st.SearchStrategy[Eid] = eids) -> Bundle:
    """Any bundle: extension blocks on both sides of the payload, possibly a fragment."""
    around = draw(st.lists(extensions, max_size=3)), draw(st.lists(extensions, max_size=2))
    payload = draw(payloads)
    fragment = None
    if draw(st.booleans()):
        offset = draw(st.integers(0, 1 << 32))
        fragment = Fragment(offset, offset + len(payload.data) + draw(st.integers(0, 1000)))
    return Bundle(
        destination=draw(of),
        source=draw(of),
        report_to=draw(of),
        custodian=draw(of),
        created=draw(numbers),
        sequence=draw(numbers),
        lifetime_s=draw(numbers),
        blocks=(*around[0], payload, *around[1]),
        flags=draw(st.integers(0, 1 << 21)) & ~1,
        fragment=fragment,
    )


def plain(
    source: Eid = _SOURCE,
    destination: Eid = _DESTINATION,
    payload: bytes = b"payload",
    extra: tuple[Block, ...] = (),
    created: int = 0,
    sequence: int = 1,
    lifetime_s: int = 3600,
) -> Bundle:
    """An unsigned bundle."""
    return Bundle(
        destination=destination,
        source=source,
        created=created,
        sequence=sequence,
        lifetime_s=lifetime_s,
        blocks=(*extra, Block(blocks.PAYLOAD, 0, payload)),
    )
