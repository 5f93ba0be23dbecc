"""Hypothesis strategies that several packages' tests share."""

from __future__ import annotations

from hypothesis import strategies as st

from radics_mesh.identity import Identity

seeds = st.binary(min_size=32, max_size=32)
identities = seeds.map(Identity)
digests = st.binary(min_size=32, max_size=32)

# All that msgpack can say, nested a little: what a hostile peer may put where an array belongs.
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=40)
)
msgpack_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)
