"""Files that no name leads to: for a large payload that is being encrypted or was decrypted."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from radics_mesh.dtn.wire.content import FileBytes
from radics_mesh.errors import CapacityError


def scratch(directory: Path, pieces: Iterable[bytes]) -> FileBytes:
    """All of `pieces` in a file that is gone when nobody refers to it any more. Blocks;
    CapacityError when it cannot be written. Nothing of it is left by whatever `pieces` raises."""
    try:
        # The store removes what a crash leaves of it: its name is no key.
        descriptor, name = tempfile.mkstemp(prefix="scratch-", dir=directory)
        try:
            with open(descriptor, "wb") as file:
                file.writelines(pieces)
            return FileBytes.of(Path(name))
        finally:
            os.unlink(name)
    except OSError as error:
        raise CapacityError(f"no room for a large payload: {error}") from error
