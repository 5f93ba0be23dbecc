#!/bin/sh
# Sets up all that running, building guests and testing needs. Safe to run again, and quick when
# nothing is left to do: Debian packages, .venv with the pinned packages, the guest library.
set -eu
cd "$(dirname "$0")/.."

PACKAGES="qemu-system-x86 qemu-system-arm g++ gcc make python3-venv tshark iproute2 golang-go gdb-multiarch faketime"
PACKAGES="$PACKAGES python3.11 libpython3.11-dev libexpat1-dev zlib1g-dev"
# Libraries that check themselves in a guest: `make conformance`.
PACKAGES="$PACKAGES libsqlite3-dev libeigen3-dev tiny-dnn libcereal-dev libstb-dev libgemmlowp-dev"
# Elsewhere than on Debian we only look for the commands.
COMMANDS="qemu-system-x86_64 qemu-system-aarch64 g++ gcc make tshark ip go gdb-multiarch"
# Images are built for both architectures everywhere.
if [ "$(uname -m)" = aarch64 ]; then
    PACKAGES="$PACKAGES g++-x86-64-linux-gnu"
    COMMANDS="$COMMANDS x86_64-linux-gnu-g++"
else
    PACKAGES="$PACKAGES g++-aarch64-linux-gnu"
    COMMANDS="$COMMANDS aarch64-linux-gnu-g++"
fi
MISSING_HINT="QEMU (qemu-system-x86_64, qemu-system-aarch64), g++, a cross g++, gcc, make, tshark, iproute2, Go >= 1.19, gdb-multiarch, Python >= 3.11 with venv"

say() { printf 'setup: %s\n' "$*"; }
fail() {
    printf 'setup: error: %s\n' "$*" >&2
    exit 1
}

# On a terminal one line that counts; elsewhere a line now and then.
tell_progress() {
    if [ -t 1 ]; then
        printf '\r\033[Ksetup: %s' "$1"
        tell_at=$((elapsed + 1))
    else
        say "$1"
        tell_at=$((elapsed + 8))
    fi
}

# step TITLE COMMAND...: run it with its output in a log, tell that it goes on from the second
# second on, and show the end of the log if it failed.
step() {
    title=$1
    shift
    log=.cache/setup.log
    began=$(date +%s)
    "$@" >"$log" 2>&1 </dev/null &
    worker=$!
    trap 'kill "$worker" 2>/dev/null; exit 130' INT TERM
    tell_at=2
    while kill -0 "$worker" 2>/dev/null; do
        elapsed=$(($(date +%s) - began))
        if [ "$elapsed" -ge "$tell_at" ]; then
            tell_progress "$title ... $elapsed s"
        fi
        sleep 0.1
    done
    [ ! -t 1 ] || printf '\r\033[K'
    status=0
    wait "$worker" || status=$?
    trap - INT TERM
    [ "$status" -eq 0 ] && say "$title: done ($(($(date +%s) - began)) s)" && return
    tail -n 20 "$log" >&2
    fail "$title failed; the lines above are the end of $PWD/$log"
}

missing_packages() {
    for package in $PACKAGES; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || printf '%s ' "$package"
    done
}

missing_commands() {
    for command in $COMMANDS; do
        command -v "$command" >/dev/null || printf '%s ' "$command"
    done
}

install_packages() {
    missing=$(missing_packages | sed 's/ $//')
    [ -n "$missing" ] || return 0
    privileged="env DEBIAN_FRONTEND=noninteractive"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            fail "not root and no sudo; as root: apt-get install --no-install-recommends $missing"
        say "Debian packages are missing ($missing); sudo installs them"
        sudo -v || fail "sudo refused; as root: apt-get install --no-install-recommends $missing"
        privileged="sudo $privileged"
    fi
    # Word splitting is meant: these are lists of words.
    # shellcheck disable=SC2086
    step "reading Debian's package lists" $privileged apt-get update -q
    # shellcheck disable=SC2086
    step "installing Debian packages: $missing" $privileged apt-get install -q -y \
        --no-install-recommends -o DPkg::Lock::Timeout=300 $missing
}

system() {
    if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
        install_packages
    elif [ -n "$(missing_commands)" ]; then
        fail "this is not Debian; install these and run again: $MISSING_HINT" \
            "(missing: $(missing_commands | sed 's/ $//'))"
    fi
}

# What Python programs for the other architecture are linked with; `build` gets it itself if need be.
foreign_root() {
    [ "$(uname -m)" = aarch64 ] && other=x86_64 || other=aarch64
    [ ! -e ".cache/sysroot/$other" ] && command -v apt-get >/dev/null || return 0
    step "unpacking Debian's Python for $other" scripts/sysroot.sh "$other" \
        "$PWD/.cache/sysroot/$other" libpython3.11-dev libexpat1-dev zlib1g-dev
}

usable_python() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if command -v "$candidate" >/dev/null && usable_python "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
}

# The stamp names what .venv holds: the lock file, this script, and the place of the checkout.
stamp_name() {
    { cat requirements.lock "scripts/setup.sh" && pwd; } | sha256sum | cut -c1-16
}

install_python_packages() {
    stamp=.venv/set-up-$(stamp_name)
    if [ -e "$stamp" ] && .venv/bin/python -c 'import trio' 2>/dev/null; then
        return
    fi
    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        [ -n "$python" ] || fail "no Python >= 3.11 with venv; install these: $MISSING_HINT"
        step "making .venv with $python" "$python" -m venv --clear .venv
    fi
    step "installing the pinned Python packages" .venv/bin/python -m pip install \
        --disable-pip-version-check --no-input --require-hashes --no-deps -r requirements.lock
    # The checkout itself, without building anything.
    .venv/bin/python -c 'import pathlib, sysconfig
site = pathlib.Path(sysconfig.get_path("purelib"))
(site / "radics_mesh_checkout.pth").write_text(f"{pathlib.Path.cwd()}\n")'
    rm -f .venv/set-up-*
    touch "$stamp"
}

build_guest_library() {
    # make knows best whether there is anything to do; asked first, it stays silent.
    make -s -q -C guest_lib >/dev/null 2>&1 || step "building the guest library" make -s -C guest_lib
}

mkdir -p .cache
if command -v flock >/dev/null; then
    # Two commands at once must not build the same .venv.
    exec 9>.cache/setup.lock
    flock 9
fi
system
foreign_root
install_python_packages
build_guest_library
