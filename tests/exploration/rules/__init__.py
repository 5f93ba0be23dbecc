"""The rules of the hand-off, of the mailbox and of the shell, each one removed.

`MUTANTS`: for each the least bounds in which an invariant breaks, and which one.
"""

from tests.exploration.rules.branches import BRANCHES
from tests.exploration.rules.handoff import DESIGN, SOURCE, TARGET
from tests.exploration.rules.mail import CHECKPOINTS, MESSAGES
from tests.exploration.rules.mutant import Mutant

__all__ = ["MUTANTS", "Mutant"]

MUTANTS = (*DESIGN, *SOURCE, *TARGET, *BRANCHES, *MESSAGES, *CHECKPOINTS)
