#!/bin/sh
# Writes requirements.lock: the newest versions that setup.cfg allows, with the hashes of all their
# files on PyPI, so that the lock holds on every platform. It names no index: whoever installs uses
# the index that pip is configured for, and the hashes say what is accepted from it.
set -eu
cd "$(dirname "$0")/.."
tools=.cache/lock-tools
[ -x "$tools/bin/pip-compile" ] || {
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet pip-tools setuptools wheel
}
PIP_CONFIG_FILE=/dev/null "$tools/bin/pip-compile" --quiet --upgrade --extra dev \
    --generate-hashes --allow-unsafe --strip-extras --no-build-isolation --no-header \
    --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options \
    --output-file requirements.lock setup.cfg
