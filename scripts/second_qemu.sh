#!/bin/sh
# Unpacks another version of QEMU into a directory, beside the installed one: that of the backports
# of this Debian release, from where the installed one came. Nothing is installed.
set -eu
into=$1
[ -x "$into/root/usr/bin/qemu-system-x86_64" ] && exit 0
mkdir -p "$into/parts" "$into/lists/partial" "$into/cache/archives/partial"
into=$(realpath "$into")
. /etc/os-release
suite=$VERSION_CODENAME-backports
awk -v suite="$suite" '/^Suites:/ { if (index($0, "security")) skip = 1; $0 = "Suites: " suite }
    { text = text $0 "\n" } /^$/ { if (!skip) printf "%s", text "\n"; skip = 0; text = "" }
    END { if (!skip) printf "%s", text }' /etc/apt/sources.list.d/debian.sources >"$into/parts/a.sources"
ask() {
    apt-get -q=2 -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$into/parts" \
        -o Dir::State::lists="$into/lists" -o Dir::Cache="$into/cache" -o APT::Sandbox::User=root "$@"
}
ask update
cd "$into"
ask download "qemu-system-x86/$suite" "qemu-system-arm/$suite" "qemu-system-common/$suite" \
    "qemu-system-data/$suite" "seabios/$suite"
mkdir root.new
for package in *.deb; do
    dpkg -x "$package" root.new
done
rm -f ./*.deb
mv root.new root
