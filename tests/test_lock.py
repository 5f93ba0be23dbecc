"""The lock file and what it stands for."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCK = (ROOT / "requirements.lock").read_text()
PINS = re.findall(r"^([A-Za-z0-9._-]+)==(\S+) \\$", LOCK, re.MULTILINE)


def canonical(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_line_is_a_pin_a_hash_or_a_comment() -> None:
    for line in LOCK.splitlines():
        assert re.fullmatch(
            r"|[A-Za-z0-9._-]+==\S+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?|    #.*|#.*", line
        ), line


def test_every_pin_has_hashes() -> None:
    assert len(PINS) > 20
    assert len(re.findall(r"\\\n    --hash=", LOCK)) >= len(PINS)
    for name, _ in PINS:
        assert re.search(rf"^{re.escape(name)}==\S+ \\\n    --hash=sha256:", LOCK, re.MULTILINE)


def test_everything_that_setup_cfg_asks_for_is_pinned() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options"]["install_requires"] + setup["options.extras_require"]["dev"]
    pinned = {canonical(name) for name, _ in PINS}
    assert {canonical(name) for name in wanted.split()} <= pinned
