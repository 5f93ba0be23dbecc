"""What QEMU's loader puts into memory from an image: no snapshot holds these pages.

Kept as hashes, since a Java program's image has 40 MB of them, and one for each image and size of
memory that was met lately.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from radics_mesh.vmm import images
from radics_mesh.vmm.image import loaded_pages
from radics_mesh.vmm.pagepack import page_hash

Template = Mapping[int, bytes]  # page number to SHA-256


@lru_cache(maxsize=16)
def template(image: Path, memory_bytes: int) -> Template:
    """Blocks the first time. An image's path names its content, so it never becomes another."""
    content = loaded_pages(images.read(image), memory_bytes)
    return {number: page_hash(page) for number, page in content.items()}
