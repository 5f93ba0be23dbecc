"""What the ledger keeps is there after it was closed."""

from __future__ import annotations

from pathlib import Path

from radics_mesh.ids import Digest, Eid, NodeId
from radics_mesh.sources.ledger import Cursor, Ledger, Published
from radics_mesh.sources.log import Content
from radics_mesh.sources.messages import Fence

PUBLISHED = Published("s", Path("/tmp/f\udcff"), 2.5, Content(10, Digest.of(b"x"), 3))
CURSOR = Cursor(Eid("dtn://a/b"), NodeId(b"n" * 20), Fence(2, 7), 4, 2, True)


def test_publications_and_cursors_survive(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    published = Published("s", tmp_path / "f", 2.5, Content(10, Digest.of(b"x"), 3))
    ledger.keep_publication(published)
    ledger.keep("s", 3, [CURSOR])
    ledger.close()
    ledger = Ledger(tmp_path / "l")
    [kept] = ledger.publications()
    assert (kept.name, kept.path, kept.rate, kept.content) == (
        published.name,
        published.path,
        published.rate,
        published.content,
    )
    assert kept.head == 3
    assert ledger.cursors("s") == [CURSOR]
    ledger.close()


def test_publishing_again_keeps_head_and_cursors(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    published = Published("s", tmp_path / "f", None, Content(10, Digest.of(b"x"), 3))
    ledger.keep_publication(published)
    ledger.keep("s", 2, [CURSOR])
    ledger.keep_publication(published)
    assert ledger.publications()[0].head == 2
    assert ledger.cursors("s") == [CURSOR]
    ledger.drop_publication("s")
    assert ledger.cursors("s") == []
    ledger.keep("s", 2, [CURSOR])  # a flush that comes late
    assert ledger.cursors("s") == []
    ledger.close()


def test_attachments_only_grow(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    assert ledger.next_attachment() == 1
    assert ledger.next_attachment(above=10) == 11
    ledger.close()
    ledger = Ledger(tmp_path / "l")
    assert ledger.next_attachment(above=3) == 12
    ledger.close()


def test_a_path_that_is_no_text_is_kept(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    ledger.keep_publication(PUBLISHED)
    assert ledger.publications()[0].path == PUBLISHED.path
    ledger.close()
