"""How long a test waits for what has to happen."""

from __future__ import annotations

# Far more than the slowest machine takes under load: only a test that fails waits this long.
PATIENCE_S = 300.0
