"""Frees disk of what no snapshot needs any more, now and then."""

from __future__ import annotations

import structlog
import trio

from radics_mesh.vmm.pages import PageStore

log = structlog.get_logger(__name__)

# A checkpoint lets the one before it go. To collect after each would write more and free no sooner
# what is needed; a full store collects at once.
COLLECT_EVERY_S = 60.0


async def collect_for_ever(pages: PageStore) -> None:
    while True:
        await trio.sleep(COLLECT_EVERY_S)
        if not pages.has_garbage:
            continue
        try:
            freed = await trio.to_thread.run_sync(pages.collect)
        except OSError as error:  # a full disk, too; what was there still is
            log.warning("pages were not collected", reason=str(error))
        else:
            log.info("pages collected", freed_bytes=freed, used_bytes=pages.used_bytes)
