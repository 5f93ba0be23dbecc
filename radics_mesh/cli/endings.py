"""What a command ended by: mistakes, which are one line, or bugs, which are ours."""

from __future__ import annotations

from collections.abc import Iterator

from radics_mesh.errors import MeshError


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions themselves, without the groups that nurseries put around them."""
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from leaves(part)
    else:
        yield error


def only_mistakes(error: BaseException) -> bool:
    """Nothing but MeshErrors and an interrupt; the rest is a bug."""
    return all(isinstance(part, (MeshError, KeyboardInterrupt)) for part in leaves(error))
