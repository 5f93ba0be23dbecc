from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from radics_mesh.seals import Seals

OLD, NEW, OTHER = (bytes([n]) * 32 for n in (1, 2, 3))
HERE, THERE = ("192.0.2.1", 1), ("192.0.2.2", 2)


def delivered(copies: list[bytes], seals: Seals) -> list[bytes]:
    opened = [found for copy in copies if (found := seals.open(copy, HERE)) is not None]
    return [content for content, is_copy in opened if not is_copy]


def test_one_key_makes_one_datagram_and_every_repetition_of_it_counts() -> None:
    one, other = Seals([NEW]), Seals([NEW])
    assert len(one.seal(b"find", THERE)) == 1
    assert delivered(one.seal(b"find", THERE) * 2, other) == [b"find", b"find"]
    assert delivered(one.seal(b"find", THERE), Seals([OLD])) == []


def test_copies_go_out_until_the_other_is_heard_under_the_newest_key() -> None:
    one, other = Seals([NEW, OLD]), Seals([OLD])
    assert delivered(one.seal(b"find", THERE), other) == [b"find"]
    assert one.open(other.seal(b"found", HERE)[0], THERE) == (b"found", False)
    assert len(one.seal(b"find", THERE)) == 2
    other.use([NEW, OLD])
    for copy in other.seal(b"found", HERE):
        one.open(copy, THERE)
    [only] = one.seal(b"find", THERE)
    assert Seals([OLD]).open(only, HERE) is None
    assert len(one.seal(b"find", HERE)) == 2


def test_a_replayed_datagram_is_outlived_by_the_true_ones() -> None:
    one, other, member = Seals([NEW, OLD]), Seals([OLD]), Seals([NEW])
    one.open(member.seal(b"recorded elsewhere", HERE)[0], THERE)
    assert delivered(one.seal(b"find", THERE), other) == []
    one.open(other.seal(b"find", HERE)[0], THERE)
    assert delivered(one.seal(b"find", THERE), other) == [b"find"]


def test_another_newest_key_begins_anew() -> None:
    one = Seals([NEW, OLD])
    one.open(Seals([NEW]).seal(b"found", HERE)[0], THERE)
    one.use([NEW])
    one.use([NEW, OLD])
    assert len(one.seal(b"find", THERE)) == 1
    one.use([OTHER, NEW])
    assert len(one.seal(b"find", THERE)) == 2


KEYS = st.lists(st.sampled_from([OLD, NEW, OTHER]), min_size=1, unique=True)


@given(KEYS, KEYS, st.lists(st.booleans(), min_size=8, max_size=8))
def test_who_has_a_key_in_common_can_talk_and_hears_each_datagram_once(
    mine: list[bytes], theirs: list[bytes], turns: list[bool]
) -> None:
    one, other = Seals(mine), Seals(theirs)
    for at, turn in enumerate(turns):
        sender, receiver = (one, other) if turn else (other, one)
        said = b"%d" % at
        heard = [receiver.open(copy, HERE) for copy in sender.seal(said, HERE)]
        new = [found[0] for found in heard if found is not None and not found[1]]
        assert new == ([said] if set(mine) & set(theirs) else [])
