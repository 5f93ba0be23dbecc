"""Mistakes and bugs told apart, however many nurseries they went through."""

from __future__ import annotations

from radics_mesh.cli.endings import leaves, only_mistakes
from radics_mesh.errors import LinkError, UsageError


def test_groups_are_taken_apart() -> None:
    error, bug = UsageError("no"), KeyError("yes")
    group = ExceptionGroup("", [ExceptionGroup("", [error]), bug])
    assert list(leaves(group)) == [error, bug]
    assert not only_mistakes(group)


def test_an_interrupt_and_refusals_are_no_bugs() -> None:
    assert only_mistakes(BaseExceptionGroup("", [KeyboardInterrupt(), LinkError("gone")]))
